use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use super::pool::Link;
use super::way::say;
use super::{Intent, Postgres, StoreError, Transaction, failed, value};
use crate::authority::store::{Row, Value};

/// The longest that an answer is waited for: longer than the server lets a statement run.
const ANSWER: Duration = Duration::from_secs(15);

/// A transaction on a connection of its own. Nothing is sent before the first question.
pub(super) struct Open<'a> {
    store: &'a Postgres,
    intent: Intent,
    /// None once it was given back.
    link: Option<Link>,
    /// What is sent in front of the next question.
    pending: Vec<&'static str>,
    /// The server knows of it.
    begun: bool,
    /// A statement failed: the server refuses every other until a savepoint is gone back to, and
    /// would answer a commit by an undoing that looks like success.
    spoiled: bool,
    /// The connection is of no use to others.
    broken: bool,
}

/// What the server says before it closes a connection.
const ENDS: [SqlState; 4] = [
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    SqlState::DATABASE_DROPPED,
];

/// Why a statement brought nothing.
enum Trouble {
    Server(Error),
    Late,
}

impl<'a> Open<'a> {
    pub(super) fn new(store: &'a Postgres, link: Link, intent: Intent) -> Self {
        let begin = match intent {
            Intent::Read => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
            Intent::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        Self { store, intent, link: Some(link), pending: vec![begin], begun: false, spoiled: false, broken: false }
    }

    /// Sends what is pending and then this, and waits for both.
    fn ask<T>(&mut self, question: impl AsyncFnOnce(&mut Link, &str) -> Result<T, Error>) -> Result<T, StoreError> {
        let before = self.pending.join(";");
        self.pending.clear();
        self.begun = true;
        let Some(link) = self.link.as_mut() else { return Err(StoreError::Closed) };
        let answer = self.store.wait(async {
            match tokio::time::timeout(ANSWER, question(link, &before)).await {
                Ok(answer) => answer.map_err(Trouble::Server),
                Err(_) => Err(Trouble::Late),
            }
        });
        answer.map_err(|trouble| self.failed(&trouble))
    }

    fn failed(&mut self, trouble: &Trouble) -> StoreError {
        self.spoiled = true;
        let doing = if self.intent == Intent::Read { "read" } else { "write" };
        let name = &self.store.way.name;
        match trouble {
            Trouble::Late => {
                self.broken = true;
                failed(doing, name, format!("no answer within {} s", ANSWER.as_secs()))
            }
            Trouble::Server(error) => {
                // A server that became a standby is another one's to speak to.
                let standby =
                    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) && self.intent == Intent::Write;
                self.broken |= standby || error.is_closed() || error.code().is_some_and(|code| ENDS.contains(code));
                match error.code() {
                    Some(&SqlState::UNIQUE_VIOLATION) => StoreError::Taken { name: name.clone() },
                    _ => failed(doing, name, say(error)),
                }
            }
        }
    }

    /// Ends the transaction without a word from the server.
    fn undo(&mut self) {
        let Some(link) = self.link.take() else { return };
        if self.begun && !self.broken {
            // The request is on its way once this was polled; the answer is nobody's.
            let mut undoing = pin!(link.client.batch_execute("ROLLBACK"));
            if let Poll::Ready(Err(_)) = undoing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                self.broken = true;
            }
        }
        self.store.pool.give((!self.broken).then_some(link));
    }
}

impl Transaction for Open<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.ask(async |link, before| {
            let (before, statement) = begin_with(link, before, sql).await?;
            let (begun, found) =
                tokio::join!(biased; send(&link.client, before), rows(&link.client, &statement, values));
            begun.and(found)
        })
    }

    fn each(&mut self, sql: &'static str, lists: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, StoreError> {
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(async |link, before| {
            let (before, statement) = begin_with(link, before, sql).await?;
            let all = together(lists.iter().map(|values| rows(&link.client, &statement, values)));
            let (begun, all) = tokio::join!(biased; send(&link.client, before), all);
            begun.and(all)
        })
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
        if sql.starts_with("SAVEPOINT ") || sql.starts_with("RELEASE SAVEPOINT ") {
            self.pending.push(sql);
            return Ok(0);
        }
        if sql.starts_with("ROLLBACK TO SAVEPOINT ") {
            self.pending.push(sql);
            self.ask(async |link, before| link.client.batch_execute(before).await)?;
            self.spoiled = false;
            return Ok(0);
        }
        self.ask(async |link, before| {
            let (before, statement) = begin_with(link, before, sql).await?;
            let values = borrowed(values);
            let (begun, changed) =
                tokio::join!(biased; send(&link.client, before), link.client.execute(&statement, &values));
            begun.and(changed)
        })
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.spoiled {
            return Err(failed(
                "write",
                &self.store.way.name,
                "a statement of the transaction failed: nothing of it was kept",
            ));
        }
        if self.begun {
            self.pending.push("COMMIT");
            let known = self.ask(async |link, before| link.client.batch_execute(before).await);
            if let (Err(error), true) = (&known, self.broken) {
                let why = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
                let why = format!("{why}; it is not known whether what was being written was kept");
                return Err(failed("write", &self.store.way.name, why));
            }
            known?;
        }
        let link = self.link.take();
        self.store.pool.give(link);
        Ok(())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.undo();
    }
}

/// Sends what is to come before a question, without waiting for it.
async fn send(client: &Client, before: &str) -> Result<(), Error> {
    if before.is_empty() { Ok(()) } else { client.batch_execute(before).await }
}

/// The statement for a question, and what is still to be sent before it: a statement that has to be
/// prepared takes that along.
async fn begin_with<'b>(link: &mut Link, before: &'b str, sql: &'static str) -> Result<(&'b str, Statement), Error> {
    if let Some(statement) = link.known(sql) {
        return Ok((before, statement));
    }
    let (begun, statement) = tokio::join!(biased; send(&link.client, before), link.client.prepare(sql));
    begun?;
    let statement = statement?;
    link.keep(sql, &statement);
    Ok(("", statement))
}

async fn rows(client: &Client, statement: &Statement, values: &[Value]) -> Result<Vec<Row>, Error> {
    client.query(statement, &borrowed(values)).await?.iter().map(value::row).collect()
}

fn borrowed(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// Sends all of them before it waits for the first: the server answers in the same order.
async fn together<T>(questions: impl Iterator<Item = impl Future<Output = Result<T, Error>>>) -> Result<Vec<T>, Error> {
    let mut asked: Vec<_> = questions.map(|question| (Box::pin(question), None)).collect();
    poll_fn(|cx| {
        for (question, answer) in &mut asked {
            if let Poll::Ready(ready) = question.as_mut().poll(cx) {
                *answer = Some(ready);
            }
        }
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(asked.len());
    for (question, answer) in asked {
        answers.push(match answer {
            Some(answer) => answer?,
            None => question.await?,
        });
    }
    Ok(answers)
}
