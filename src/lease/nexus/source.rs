//! The questions: may this agent borrow, and is what it borrowed still there?

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::NexusSource;
use super::answer::{self, Lent};
use super::seen::Still;
use super::waits::ASKED_AGAIN;
use crate::lease::{Ask, Asked, Borrowed, Followed, LeaseSource, LendError, Loan};
use crate::model::{ConnectionName, Workspace};

impl LeaseSource for NexusSource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async {
            ask.refuse_scope()?;
            self.borrow(ask).await.map(Borrowed::Loan)
        })
    }

    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        Box::pin(self.ask_for(connection, id))
    }

    fn still_lends<'a>(&'a self, agent: &'a Arc<str>, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        Box::pin(self.is_lent(agent, connection, id))
    }

    fn is_gone(&self, agent: &str, _: &ConnectionName, id: &str) -> bool {
        self.seen().is_gone(agent, id)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn follow(&self) -> Followed<'_> {
        Box::pin(self.follow_events())
    }

    fn status(&self) -> Option<Value> {
        let seen = self.seen();
        let stream = if seen.is_live() { "open" } else { "cut off" };
        Some(json!({ "name": self.name, "dialect": "nexus", "stream": stream, "event": seen.last() }))
    }
}

impl NexusSource {
    async fn borrow(&self, ask: &Ask) -> Result<Loan, LendError> {
        for _ in 0..=ASKED_AGAIN {
            let moment = {
                let seen = self.seen();
                if let Some(refusal) = seen.refusal(ask, self.clock.boot(), false) {
                    return Err(refusal);
                }
                seen.moment()
            };
            let Lent { event, loan, .. } = self.ask_to_borrow(ask).await?;
            if self.seen().lent(ask, &loan.id, event, moment) {
                return Ok(loan);
            }
        }
        let why = "its answers know less than its events".to_owned();
        Err(LendError::Unavailable { name: ask.connection.clone(), why })
    }

    async fn ask_to_borrow(&self, ask: &Ask) -> Result<Lent, LendError> {
        let name = &ask.connection;
        let asked_at = self.clock.wall();
        let answer = match self.wire.lease(ask).await {
            Ok(answer) => answer,
            Err(why) => return Err(self.unanswered(ask, LendError::Unavailable { name: name.clone(), why })),
        };
        if answer.status != StatusCode::OK {
            let refusal = answer::refusal(answer.status, answer.body.expose(), name, &ask.host);
            return Err(self.unanswered(ask, refusal));
        }
        let unusable = |why: String| LendError::Unusable { name: name.clone(), why };
        let lent = answer::lease(answer.body.expose(), asked_at).map_err(unusable)?;
        if lent.name != *name && *lent.loan.id != *name.as_str() {
            return Err(unusable("the Authority lent another connection than was asked for".to_owned()));
        }
        Ok(lent)
    }

    /// Where the Authority could not tell, what an event said holds, however long ago.
    fn unanswered(&self, ask: &Ask, error: LendError) -> LendError {
        match error {
            LendError::Unavailable { .. } => self.seen().refusal(ask, self.clock.boot(), true).unwrap_or(error),
            error => error,
        }
    }

    async fn is_lent(&self, agent: &Arc<str>, connection: &ConnectionName, id: &str) -> Result<bool, LendError> {
        let (still, moment) = {
            let seen = self.seen();
            (seen.still(agent, connection, id), seen.moment())
        };
        match still {
            Still::Gone => Ok(false),
            Still::There => Ok(true),
            Still::AskToBorrow(host) => {
                let (workspace, agent) = (Workspace::local(), Arc::clone(agent));
                let ask = Ask { workspace, agent, connection: connection.clone(), host, scope: None, held: None };
                Ok(*self.borrow(&ask).await?.id == *id)
            }
            Still::Ask => {
                let there = self.ask_for(connection, id).await?;
                if there {
                    self.seen().confirmed(agent, connection, id, moment);
                }
                Ok(there)
            }
        }
    }

    async fn ask_for(&self, connection: &ConnectionName, id: &str) -> Result<bool, LendError> {
        let unavailable = |why| LendError::Unavailable { name: connection.clone(), why };
        let answer = self.wire.connection(id).await.map_err(unavailable)?;
        let body = answer.body.expose();
        match (answer.status, answer::code(body)) {
            (StatusCode::OK, _) => answer::is_there(body, id).map_err(unavailable),
            // Any other code is about our key, and none is the word of something between us.
            (StatusCode::NOT_FOUND | StatusCode::GONE, Some(code)) if code.starts_with("CONNECTION_") => Ok(false),
            (status, code) => Err(unavailable(answer::unexpected(status, code.as_deref()))),
        }
    }
}
