//! The questions: may this agent borrow, and is what it borrowed still there?

use std::sync::{Arc, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::NexusSource;
use super::answer::{self, Lent};
use super::seen::Still;
use super::waits::ASKED_AGAIN;
use crate::lease::{Ask, Asked, Borrowed, Followed, Heard, LeaseSource, LendError};
use crate::model::{ConnectionName, Workspace};

impl LeaseSource for NexusSource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async {
            ask.refuse_scope()?;
            let lent = self.borrow(ask).await?;
            Ok(match lent.unchanged {
                true => Borrowed::Unchanged(lent.loan.expires_at),
                false => lent.loan.into(),
            })
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

    fn still_holds(&self, agent: &Arc<str>, connection: &ConnectionName, id: &str, version: u64) -> bool {
        self.seen().is_as_lent(agent, connection, id, version)
    }

    fn heard(&self) -> Option<Arc<Heard>> {
        Some(Arc::clone(&self.heard))
    }

    fn reconnect_page(&self, connection: &ConnectionName) -> Option<String> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).get(connection).cloned()
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
    /// Borrows; where a destination refused the version that is lent, once that was renewed.
    async fn borrow(&self, ask: &Ask) -> Result<Lent, LendError> {
        let lent = self.borrow_as_it_is(ask).await?;
        let refused = ask.held.as_ref().filter(|held| held.refused);
        let same = refused.is_some_and(|held| held.id == lent.loan.id && held.version == lent.loan.version);
        if !same || !lent.loan.refreshable {
            return Ok(lent);
        }
        match self.wire.refresh(&lent.loan.id).await {
            Ok(answer) if answer.status == StatusCode::OK => self.borrow_as_it_is(ask).await,
            // It may say now why there are no others.
            Ok(answer) if answer.status.is_client_error() => self.borrow_as_it_is(ask).await,
            Ok(answer) => {
                let why = answer::unexpected(answer.status, answer::code(answer.body.expose()).as_deref());
                Err(LendError::Later { name: ask.connection.clone(), why })
            }
            Err(why) => Err(LendError::Unavailable { name: ask.connection.clone(), why }),
        }
    }

    async fn borrow_as_it_is(&self, ask: &Ask) -> Result<Lent, LendError> {
        for _ in 0..=ASKED_AGAIN {
            let moment = {
                let seen = self.seen();
                if let Some(refusal) = seen.refusal(ask, self.clock.boot(), false) {
                    return Err(refusal);
                }
                seen.moment()
            };
            let lent = self.ask_to_borrow(ask).await?;
            if self.seen().lent(ask, (&lent.loan.id, lent.loan.version), lent.event, moment) {
                return Ok(lent);
            }
        }
        let why = "its answers know less than its events".to_owned();
        Err(LendError::Later { name: ask.connection.clone(), why })
    }

    async fn ask_to_borrow(&self, ask: &Ask) -> Result<Lent, LendError> {
        let name = &ask.connection;
        let asked_at = self.clock.wall();
        let answer = match self.wire.lease(ask).await {
            Ok(answer) => answer,
            Err(why) => return Err(self.unanswered(ask, LendError::Unavailable { name: name.clone(), why })),
        };
        if answer.status != StatusCode::OK {
            self.note_page(name, answer::reconnect_page(answer.body.expose()));
            let refusal = answer::refusal(answer.status, answer.body.expose(), name, &ask.host);
            return Err(self.unanswered(ask, refusal));
        }
        let unusable = |why: String| LendError::Unusable { name: name.clone(), why };
        let lent = answer::lease(answer.body.expose(), asked_at).map_err(unusable)?;
        if lent.name != *name && *lent.loan.id != *name.as_str() {
            return Err(unusable("the Authority lent another connection than was asked for".to_owned()));
        }
        let held = ask.held.as_ref().filter(|held| !held.refused);
        let same = held.is_some_and(|held| held.id == lent.loan.id && held.version == lent.loan.version);
        if lent.unchanged && !same {
            return Err(unusable("it says of what is not held that it is unchanged".to_owned()));
        }
        Ok(lent)
    }

    fn note_page(&self, name: &ConnectionName, page: Option<String>) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        match page {
            Some(page) => drop(pages.insert(name.clone(), page)),
            None => drop(pages.remove(name)),
        }
    }

    /// Where the Authority could not tell, what an event said holds, however long ago.
    fn unanswered(&self, ask: &Ask, error: LendError) -> LendError {
        match error {
            LendError::Later { .. } | LendError::Unavailable { .. } => {
                self.seen().refusal(ask, self.clock.boot(), true).unwrap_or(error)
            }
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
                Ok(*self.borrow_as_it_is(&ask).await?.loan.id == *id)
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
