use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use super::{Ask, Asked, Borrowed, LeaseSource, LendError, Loan};
use crate::model::{Bindings, ConnectionName, Fields};

/// Connections in memory alone: those of `run --field`, and of tests. A clone is another handle
/// on the same connections.
#[derive(Clone)]
pub struct MemorySource {
    state: Arc<Mutex<State>>,
    moved: Arc<watch::Sender<u64>>,
}

/// A connection as it is handed in.
#[derive(Debug)]
pub struct MemoryConnection {
    /// Its name.
    pub name: ConnectionName,
    /// Where it may go, and how.
    pub bindings: Bindings,
    /// What it authenticates with.
    pub fields: Fields,
    /// When it ends, by the wall clock.
    pub expires_at: Option<SystemTime>,
}

#[derive(Default)]
struct State {
    made: u64,
    held: BTreeMap<ConnectionName, Held>,
}

struct Held {
    id: Arc<str>,
    version: u64,
    revoked: bool,
    given: MemoryConnection,
}

impl MemorySource {
    /// A source that holds these connections.
    pub fn new(connections: impl IntoIterator<Item = MemoryConnection>) -> Self {
        let source = Self { state: Arc::default(), moved: Arc::new(watch::Sender::new(0)) };
        for connection in connections {
            source.set(connection);
        }
        source
    }

    /// Makes a connection, or a new version of the one of this name.
    pub fn set(&self, given: MemoryConnection) {
        let mut state = self.state();
        let (id, version) = match state.held.get(&given.name) {
            Some(before) if !before.revoked => (Arc::clone(&before.id), before.version + 1),
            _ => {
                state.made += 1;
                (format!("memory-{}", state.made).into(), 1)
            }
        };
        state.held.insert(given.name.clone(), Held { id, version, revoked: false, given });
        drop(state);
        self.moved.send_modify(|moved| *moved += 1);
    }

    /// Revokes a connection; tells whether it was there.
    pub fn revoke(&self, name: &ConnectionName) -> bool {
        let revoked = self.state().held.get_mut(name).map(|held| {
            held.given.fields = Fields::new();
            held.revoked = true;
        });
        self.moved.send_modify(|moved| *moved += 1);
        revoked.is_some()
    }

    /// Deletes a connection; tells whether it was there.
    pub fn delete(&self, name: &ConnectionName) -> bool {
        let deleted = self.state().held.remove(name).is_some();
        self.moved.send_modify(|moved| *moved += 1);
        deleted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loan(&self, name: &ConnectionName) -> Result<Loan, LendError> {
        let state = self.state();
        let held = state.held.get(name).ok_or_else(|| LendError::NotFound(name.clone()))?;
        if held.revoked {
            return Err(LendError::Revoked(name.clone()));
        }
        let mut credentials = Fields::new();
        for (field, value) in held.given.fields.iter() {
            credentials.insert(field, value.duplicate());
        }
        Ok(Loan {
            id: Arc::clone(&held.id),
            version: held.version,
            bindings: held.given.bindings.clone(),
            credentials,
            expires_at: held.given.expires_at,
            refreshable: false,
        })
    }

    fn is_there(&self, name: &ConnectionName, id: &str) -> bool {
        self.state().held.get(name).is_some_and(|held| &*held.id == id && !held.revoked)
    }
}

impl LeaseSource for MemorySource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async {
            ask.refuse_scope()?;
            self.loan(&ask.connection).map(Borrowed::Loan)
        })
    }

    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        Box::pin(async { Ok(self.is_there(connection, id)) })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }
}
