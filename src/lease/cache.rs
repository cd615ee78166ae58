use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OnceCell, watch};

use super::lent::Shared;
use super::{Ask, Borrowed, Lease, LendError, Lent, Source, Sources};
use crate::model::{ConnectionName, Host, Refusal, Workspace};
use crate::policy::{Grant, Verdict};
use crate::telemetry::Clock;

/// The cache in front of a source: concurrent first requests ask it once, and what it says has
/// changed is asked again.
pub struct Leases {
    sources: Sources,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    changes: Vec<watch::Receiver<u64>>,
    flights: DashMap<(usize, Key), Arc<Flight>>,
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
    /// A cache over these sources; `timeout` bounds each question to one.
    pub fn new(sources: Sources, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let changes = sources.iter().map(|source| source.lender.changes()).collect();
        Self { sources, timeout, clock, changes, flights: DashMap::new() }
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
        let route = self.sources.route(connection).ok_or_else(|| LendError::NotFound(connection.clone()))?;
        let (index, source, there) = route;
        let flight = self.flight(index, (Arc::clone(agent), there.clone()));
        let answer = flight.answer.get_or_init(|| async {
            self.sweep();
            let (workspace, agent) = (Workspace::local(), Arc::clone(agent));
            let ask = Ask { workspace, agent, connection: there.clone(), host: host.clone(), scope: None, held: None };
            // Boxed: seldom taken, and large, which every request would carry around.
            Box::pin(self.ask(source, ask)).await
        });
        answer.await.clone()
    }

    /// The open or answered question that serves now, or a new one. No guard of the map
    /// outlives this call.
    fn flight(&self, source: usize, key: Key) -> Arc<Flight> {
        let generation = self.generation(source);
        if let Some(found) = self.flights.get(&(source, key.clone()))
            && found.serves(generation)
        {
            return Arc::clone(&found);
        }
        let mut slot = self.flights.entry((source, key)).or_insert_with(|| Flight::new(generation));
        if !slot.serves(generation) {
            *slot = Flight::new(generation);
        }
        Arc::clone(&slot)
    }

    fn generation(&self, source: usize) -> u64 {
        self.changes.get(source).map(|changes| *changes.borrow()).unwrap_or_default()
    }

    async fn ask(&self, source: &Source, ask: Ask) -> Result<Arc<Shared>, LendError> {
        let unavailable = |why| LendError::Unavailable { name: ask.connection.clone(), why };
        let asked = tokio::select! {
            asked = source.lender.lend(&ask) => asked,
            () = self.clock.sleep(self.timeout) => Err(unavailable(format!("no answer within {:?}", self.timeout))),
        };
        match asked? {
            Borrowed::Loan(loan) => Shared::of(loan, &self.clock).ok_or(LendError::Expired(ask.connection)),
            Borrowed::Unchanged(_) => Err(unavailable("nothing was held that could be unchanged".to_owned())),
        }
    }

    /// Tells whether a connection, by its name in rules, is still there for an agent under the id
    /// that it was lent under: false once it was deleted or revoked, or that agent lost it; true
    /// for a new version of it, and true while the source cannot be asked, since an outage revokes
    /// nothing.
    pub async fn still_lent(&self, agent: &Arc<str>, name: &ConnectionName, id: &str) -> bool {
        self.sweep();
        let Some((_, source, there)) = self.sources.route(name) else { return false };
        let there = tokio::select! {
            there = source.lender.still_lends(agent, there, id) => there,
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
        self.sources.route(name).is_none_or(|(_, source, there)| source.lender.is_gone(agent, there, id))
    }

    /// The sources, each to be followed for as long as the sidecar serves.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Forgets, and thereby wipes, what is dead or may have changed.
    fn sweep(&self) {
        self.flights.retain(|(source, _), flight| flight.serves(self.generation(*source)));
    }
}

#[cfg(test)]
mod tests;
