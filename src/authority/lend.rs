use std::sync::Arc;

use tokio::sync::watch;

use super::connections::time;
use super::contract::read_bindings;
use super::store::{Row, State, Store};
use super::vault::Vault;
use crate::lease::{Ask, Asked, LeaseSource, LendError, Loan};
use crate::model::{ConnectionName, Workspace};
use crate::telemetry::Clock;

/// Lends from the embedded store. Every question is answered on a thread that may block.
pub(super) struct EmbeddedSource {
    desk: Arc<Desk>,
    moved: Arc<watch::Sender<u64>>,
}

struct Desk {
    store: Store,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedSource {
    pub(super) fn new(store: Store, vault: Arc<Vault>, clock: Arc<dyn Clock>, moved: Arc<watch::Sender<u64>>) -> Self {
        Self { desk: Arc::new(Desk { store, vault, clock }), moved }
    }

    fn ask<'a, T: Send + 'static>(
        &self,
        name: &ConnectionName,
        work: impl FnOnce(&Desk) -> Result<T, LendError> + Send + 'static,
    ) -> Asked<'a, T> {
        let (desk, name) = (Arc::clone(&self.desk), name.clone());
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&desk)).await;
            done.unwrap_or_else(|error| Err(LendError::Unavailable { name, why: error.to_string() }))
        })
    }
}

impl LeaseSource for EmbeddedSource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Loan> {
        let (workspace, name) = (ask.workspace.clone(), ask.connection.clone());
        self.ask(&ask.connection, move |desk| desk.lend(&workspace, &name))
    }

    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        let (name, id) = (connection.clone(), id.to_owned());
        self.ask(connection, move |desk| {
            let row = desk.find(&Workspace::local(), &name)?;
            Ok(row.id == id && row.state != State::Revoked)
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }
}

impl Desk {
    fn find(&self, workspace: &Workspace, name: &ConnectionName) -> Result<Row, LendError> {
        let found = self.store.read(|database| Row::find(database, workspace.as_str(), name.as_str()));
        let found = found.map_err(|error| {
            let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            LendError::Unavailable { name: name.clone(), why: format!("{error}{why}") }
        })?;
        found.ok_or_else(|| LendError::NotFound(name.clone()))
    }

    fn lend(&self, workspace: &Workspace, name: &ConnectionName) -> Result<Loan, LendError> {
        let row = self.find(workspace, name)?;
        let expires_at = row.expires_at.map(time);
        match row.state {
            State::Active if expires_at.is_some_and(|end| end <= self.clock.wall()) => {
                return Err(LendError::Expired(name.clone()));
            }
            State::Active => {}
            State::Pending | State::Failed => return Err(LendError::NotReady(name.clone())),
            State::Attention => return Err(LendError::Attention(name.clone())),
            State::Revoked => return Err(LendError::Revoked(name.clone())),
            State::Expired => return Err(LendError::Expired(name.clone())),
        }
        let unusable = |why: String| LendError::Unusable { name: name.clone(), why };
        let credentials = self.vault.open(&row).map_err(|error| unusable(error.to_string()))?;
        let bindings = read_bindings(&row).map_err(unusable)?;
        let mut loan = Loan { id: row.id.into(), version: row.version, bindings, credentials, expires_at };
        loan.keep_what_is_used();
        Ok(loan)
    }
}
