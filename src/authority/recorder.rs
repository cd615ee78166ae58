//! The one writer of a process: a thread that runs the changes at hand in one transaction, appends
//! what they record to this instance's chain, and answers all of them once it is committed.
//!
//! Nobody waits for company: what arrives while a group is on its way to the disk is the next
//! group. A change that fails is undone by itself; its neighbours are not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::chain::{Chain, Line};
use super::event::{Event, News};
use super::record::{Actor, Record};
use super::rows::ConnectionRow;
use super::seconds;
use super::store::{Intent, Row, Store, StoreError, Transaction, Value};
use crate::model::Workspace;
use crate::telemetry::Clock;

/// How many changes one transaction takes at most.
const MOST: usize = 256;

/// The way to the writer.
pub(super) struct Recorder {
    way: Mutex<Way>,
}

/// The thread is started by the first change: who only reads has none.
enum Way {
    Idle(Writer),
    Running(Sender<Box<dyn Task>>, JoinHandle<()>),
    Broken,
}

/// What a change works with: the transaction, and what is said about it.
pub(super) struct Work<'a> {
    tx: &'a mut dyn Transaction,
    pub(super) workspace: &'a Workspace,
    pub(super) actor: &'a Actor,
    /// Seconds since 1970.
    pub(super) now: i64,
    lines: Vec<Line>,
    news: Vec<(String, News)>,
}

/// A change whose result is told once it is durable.
pub(super) trait Task: Send {
    /// Makes the change. False undoes it.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// In whose workspace, on whose behalf.
    fn whose(&self) -> (Workspace, Actor);
    /// Tells the result.
    fn settle(self: Box<Self>, committed: Result<(), StoreError>);
    /// It only reads and records, and so needs no savepoint: it cannot fail half-way.
    fn is_light(&self) -> bool {
        false
    }
}

impl Recorder {
    /// A writer of this chain. `committed` is called after each group that had news.
    pub(super) fn new(
        store: Arc<dyn Store>,
        chain: Chain,
        clock: Arc<dyn Clock>,
        committed: impl Fn() + Send + 'static,
    ) -> Self {
        let writer = Writer { store, chain, clock, committed: Box::new(committed) };
        Self { way: Mutex::new(Way::Idle(writer)) }
    }

    /// Hands in a change; `settle` is called in any case. The thread ends when the recorder is
    /// dropped and the last change is settled.
    pub(super) fn submit(&self, task: Box<dyn Task>) {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*way, Way::Idle(_))
            && let Way::Idle(writer) = std::mem::replace(&mut *way, Way::Broken)
        {
            let (tasks, inbox) = mpsc::channel();
            let thread = std::thread::Builder::new().name("recorder".into());
            match thread.spawn(move || writer.run(&inbox)) {
                Ok(thread) => *way = Way::Running(tasks, thread),
                Err(error) => tracing::error!(%error, "cannot start the thread that writes the store"),
            }
        }
        let refused = match &*way {
            Way::Running(tasks, _) => tasks.send(task).err().map(|mpsc::SendError(task)| task),
            Way::Idle(_) | Way::Broken => Some(task),
        };
        drop(way);
        if let Some(task) = refused {
            task.settle(Err(StoreError::Closed));
        }
    }

    /// Makes a change, and calls `reply` once it is durable or has failed.
    pub(super) fn write<T, E>(
        &self,
        whose: (Workspace, Actor),
        job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
        reply: impl FnOnce(Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(Box::new(Change { whose, job: Some(job), result: None, reply }));
    }
}

impl Drop for Recorder {
    /// Waits for the thread, so that the store is closed in order: SQLite then moves its log into the
    /// file, which would otherwise change under the next one who only looks.
    fn drop(&mut self) {
        let way = self.way.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Way::Running(tasks, thread) = std::mem::replace(way, Way::Broken) {
            drop(tasks);
            // A change may have held the last handle on us: a thread does not wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

struct Change<T, E, F, R> {
    whose: (Workspace, Actor),
    job: Option<F>,
    result: Option<Result<T, E>>,
    reply: R,
}

impl<T, E, F, R> Task for Change<T, E, F, R>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send,
    R: FnOnce(Result<T, E>) + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        let Some(job) = self.job.take() else { return false };
        let result = self.result.insert(job(work));
        result.is_ok()
    }

    fn whose(&self) -> (Workspace, Actor) {
        self.whose.clone()
    }

    fn settle(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            // What failed by itself says why, whatever became of its neighbours.
            (Err(_), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(StoreError::Panicked.into()),
        };
        (self.reply)(result);
    }
}

impl Work<'_> {
    /// The transaction.
    pub(super) fn tx(&mut self) -> &mut dyn Transaction {
        self.tx
    }

    /// Runs a statement that answers rows.
    pub(super) fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.tx.query(sql, values)
    }

    /// Runs a statement; tells how many rows it changed.
    pub(super) fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
        self.tx.execute(sql, values)
    }

    /// Finds a connection by its id or its name, and keeps every other writer from it.
    pub(super) fn lock(&mut self, which: &str) -> Result<Option<ConnectionRow>, StoreError> {
        ConnectionRow::lock(self.tx, self.workspace.as_str(), which)
    }

    /// Says it to the audit, if this change stands.
    pub(super) fn record(&mut self, record: Record) {
        self.record_in(self.workspace.as_str().to_owned(), record);
    }

    /// Says it to the audit of another workspace.
    pub(super) fn record_in(&mut self, workspace: String, record: Record) {
        let (event, connection) = (record.event, record.connection.clone());
        self.lines.push(Line { workspace, at: self.now, event, connection, body: record.body(self.actor) });
    }

    /// Says it to the sidecars of the workspace, if this change stands.
    pub(super) fn announce(&mut self, news: News) {
        self.announce_in(self.workspace.as_str().to_owned(), news);
    }

    /// Says it to the sidecars of another workspace.
    pub(super) fn announce_in(&mut self, workspace: String, news: News) {
        self.news.push((workspace, news));
    }
}

struct Writer {
    store: Arc<dyn Store>,
    chain: Chain,
    clock: Arc<dyn Clock>,
    committed: Box<dyn Fn() + Send>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Box<dyn Task>>) {
        while let Ok(first) = inbox.recv() {
            let mut tasks = vec![first];
            tasks.extend(inbox.try_iter().take(MOST - 1));
            match self.group(&mut tasks) {
                Ok(()) => tasks.into_iter().for_each(|task| task.settle(Ok(()))),
                Err(error) => {
                    let error = Arc::new(error);
                    for task in tasks {
                        task.settle(Err(StoreError::Together(Arc::clone(&error))));
                    }
                }
            }
        }
    }

    fn group(&mut self, tasks: &mut [Box<dyn Task>]) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        let mut tx = store.begin(Intent::Write)?;
        let now = seconds(self.clock.wall());
        let (mut lines, mut news) = (Vec::new(), Vec::new());
        for task in tasks {
            let (workspace, actor) = task.whose();
            let mut work =
                Work { tx: &mut *tx, workspace: &workspace, actor: &actor, now, lines: Vec::new(), news: Vec::new() };
            if guarded(&mut **task, &mut work)? {
                lines.append(&mut work.lines);
                news.append(&mut work.news);
            }
        }
        let moved = !news.is_empty();
        // Every writer takes the workspaces in one order, so that no two wait for each other.
        news.sort_by(|one, other| one.0.cmp(&other.0));
        for of_one in news.chunk_by(|one, other| one.0 == other.0) {
            let news: Vec<&News> = of_one.iter().map(|(_, news)| news).collect();
            Event::write(&mut *tx, &of_one[0].0, &news, now)?;
        }
        let head = match lines.is_empty() {
            true => None,
            false => Some(self.chain.append(&mut *tx, &lines, now)?),
        };
        tx.commit()?;
        if let Some(head) = head {
            self.chain.keep(head);
        }
        if moved {
            (self.committed)();
        }
        Ok(())
    }
}

/// Runs a task so that it is whole or has never been.
fn guarded(task: &mut dyn Task, work: &mut Work<'_>) -> Result<bool, StoreError> {
    if task.is_light() {
        return Ok(catch_unwind(AssertUnwindSafe(|| task.run(work))).unwrap_or(false));
    }
    work.execute("SAVEPOINT change", &[])?;
    let done = catch_unwind(AssertUnwindSafe(|| task.run(work))).unwrap_or(false);
    if !done {
        work.execute("ROLLBACK TO SAVEPOINT change", &[])?;
    }
    work.execute("RELEASE SAVEPOINT change", &[])?;
    Ok(done)
}

#[cfg(test)]
mod tests;
