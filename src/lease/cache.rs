use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OnceCell, watch};

use super::lent::Shared;
use super::{Ask, Lease, LeaseSource, LendError, Lent};
use crate::model::{ConnectionName, Host, Refusal, Workspace};
use crate::policy::{Grant, Verdict};
use crate::telemetry::Clock;

/// The cache in front of a source: concurrent first requests ask it once, and what it says has
/// changed is asked again.
pub struct Leases {
    source: Arc<dyn LeaseSource>,
    routes: BTreeMap<ConnectionName, ConnectionName>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    changes: watch::Receiver<u64>,
    flights: DashMap<Key, Arc<Flight>>,
}

/// On whose behalf, and which connection of the source: what one agent may borrow says nothing
/// about another.
type Key = (Arc<str>, ConnectionName);

/// One question to the source, shared by all who ask while it is open. A failure is told to
/// those who wait for it and to nobody later.
struct Flight {
    generation: u64,
    answer: OnceCell<Result<Arc<Shared>, LendError>>,
}

impl Flight {
    fn new(generation: u64) -> Arc<Self> {
        Arc::new(Self { generation, answer: OnceCell::new() })
    }

    fn serves(&self, generation: u64) -> bool {
        self.generation >= generation
            && match self.answer.get() {
                None => true,
                Some(Ok(shared)) => shared.deadline.is_ahead(),
                Some(Err(_)) => false,
            }
    }
}

impl Leases {
    /// A cache over one source. `routes` maps a rule's name of a connection to the source's,
    /// where they differ; `timeout` bounds each question to the source.
    pub fn new(
        source: Arc<dyn LeaseSource>,
        routes: BTreeMap<ConnectionName, ConnectionName>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let changes = source.changes();
        Self { source, routes, timeout, clock, changes, flights: DashMap::new() }
    }

    /// Borrows what a verdict needs.
    pub async fn lend(&self, verdict: &Verdict) -> Result<Lent, Refusal> {
        match verdict {
            Verdict::Forward(permit) => Ok(Lent::Nothing(permit.clone())),
            Verdict::Inject(grant) => self.lease(grant).await.map(Lent::Lease),
        }
    }

    async fn lease(&self, grant: &Grant) -> Result<Lease, Refusal> {
        let terms = grant.terms();
        let shared = self.borrow_for(terms.agent().name(), grant.connection(), terms.destination().host()).await?;
        Lease::of(grant.clone(), shared)
    }

    async fn borrow_for(
        &self,
        agent: &Arc<str>,
        connection: &ConnectionName,
        host: &Host,
    ) -> Result<Arc<Shared>, LendError> {
        let connection = self.routed(connection);
        let flight = self.flight((Arc::clone(agent), connection.clone()));
        let answer = flight.answer.get_or_init(|| async {
            self.sweep();
            let (workspace, agent) = (Workspace::local(), Arc::clone(agent));
            // Boxed: seldom taken, and large, which every request would carry around.
            Box::pin(self.ask(Ask { workspace, agent, connection: connection.clone(), host: host.clone() })).await
        });
        answer.await.clone()
    }

    /// The open or answered question that serves now, or a new one. No guard of the map
    /// outlives this call.
    fn flight(&self, key: Key) -> Arc<Flight> {
        let generation = *self.changes.borrow();
        if let Some(found) = self.flights.get(&key)
            && found.serves(generation)
        {
            return Arc::clone(&found);
        }
        let mut slot = self.flights.entry(key).or_insert_with(|| Flight::new(generation));
        if !slot.serves(generation) {
            *slot = Flight::new(generation);
        }
        Arc::clone(&slot)
    }

    async fn ask(&self, ask: Ask) -> Result<Arc<Shared>, LendError> {
        let asked = tokio::select! {
            asked = self.source.lend(&ask) => asked,
            () = self.clock.sleep(self.timeout) => Err(LendError::Unavailable {
                name: ask.connection.clone(),
                why: format!("no answer within {:?}", self.timeout),
            }),
        };
        Shared::of(asked?, &self.clock).ok_or(LendError::Expired(ask.connection))
    }

    /// Tells whether a connection, by its name in rules, is still there for an agent under the id
    /// that it was lent under: false once it was deleted or revoked, or that agent lost it; true
    /// for a new version of it, and true while the source cannot be asked, since an outage revokes
    /// nothing.
    pub async fn still_lent(&self, agent: &Arc<str>, name: &ConnectionName, id: &str) -> bool {
        self.sweep();
        let there = tokio::select! {
            there = self.source.still_lends(agent, self.routed(name), id) => there,
            () = self.clock.sleep(self.timeout) => return true,
        };
        match there {
            Ok(there) => there,
            Err(LendError::NotFound(_) | LendError::Revoked(_)) => false,
            Err(_) => true,
        }
    }

    /// Tells at once whether an agent's connection is known to be gone; nobody is asked.
    pub fn is_gone(&self, agent: &str, name: &ConnectionName, id: &str) -> bool {
        self.source.is_gone(agent, self.routed(name), id)
    }

    /// Follows the source for as long as it is polled, for a source that has to be listened to.
    pub async fn follow(&self) {
        self.source.follow().await;
    }

    /// What `/status` says of the source.
    pub fn source_status(&self) -> Option<serde_json::Value> {
        self.source.status()
    }

    /// Moves whenever something that was lent may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    fn routed<'a>(&'a self, name: &'a ConnectionName) -> &'a ConnectionName {
        self.routes.get(name).unwrap_or(name)
    }

    /// Forgets, and thereby wipes, what is dead or may have changed.
    fn sweep(&self) {
        let generation = *self.changes.borrow();
        self.flights.retain(|_, flight| flight.serves(generation));
    }
}

#[cfg(test)]
mod tests;
