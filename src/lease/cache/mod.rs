//! The cache in front of the sources: what every request asks.
//!
//! What is cached is the credentials of one question (source, workspace, agent, connection, and
//! what they are narrowed to); a [`Lease`] is a grant with them. The configuration's version is no
//! part of the key, since sources and connections are read once. One question is asked once,
//! however many requests wait for it, on a task of its own that no request's end takes along.
//! Whoever finds it live takes no lock but that of a shard of the map, for a look. Next: `slot` for
//! one question, `ask` for asking its source, `keep` for renewing, `heal` for what a destination
//! refused.

mod ask;
mod heal;
mod keep;
mod slot;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::watch;

pub use heal::{Blame, Healed};

use self::slot::Slot;
use super::breaker::Breaker;
use super::deadline::Bounds;
use super::lent::Shared;
use super::{Heard, Lease, LendError, Lent, Source, Sources};
use crate::config::LeaseConfig;
use crate::model::{ConnectionName, Host, Refusal, Scope};
use crate::policy::{Grant, Verdict};
use crate::telemetry::Clock;

/// Borrows for every request, and renews what is borrowed. A clone is another handle on the same.
#[derive(Clone)]
pub struct Leases {
    inner: Arc<Inner>,
}

struct Inner {
    sources: Sources,
    sides: Vec<Side>,
    slots: DashMap<Key, Arc<Slot>>,
    /// For a question to a source, and for whoever waits for its answer.
    timeout: Duration,
    bounds: Bounds,
}

/// What is known of a source beside what it lent.
struct Side {
    breaker: Mutex<Breaker>,
    changes: watch::Receiver<u64>,
    heard: Option<Arc<Heard>>,
}

/// One question: of which source, for whom, which connection there, narrowed to what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: usize,
    agent: Arc<str>,
    connection: ConnectionName,
    scope: Option<Scope>,
}

impl Leases {
    /// A cache over these sources; `timeout` bounds each question to one.
    pub fn new(sources: Sources, config: &LeaseConfig, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let side = |source: &Source| Side {
            breaker: Mutex::default(),
            changes: source.lender.changes(),
            heard: source.lender.heard(),
        };
        let sides = sources.iter().map(side).collect();
        let bounds = Bounds { max_age: config.max_age, max_stale: config.max_stale, clock };
        Self { inner: Arc::new(Inner { sources, sides, slots: DashMap::new(), timeout, bounds }) }
    }

    /// Borrows what a verdict needs.
    ///
    /// # Errors
    /// Why nothing is lent, with the page where a person mends that, if there is one.
    pub async fn lend(&self, verdict: &Verdict) -> Result<Lent, Refusal> {
        match verdict {
            Verdict::Inject(grant) => self.lease(grant).await.map(Lent::Lease),
            Verdict::Forward(permit) => Ok(Lent::Nothing(permit.clone())),
        }
    }

    async fn lease(&self, grant: &Grant) -> Result<Lease, Refusal> {
        let terms = grant.terms();
        let (agent, host) = (terms.agent().name(), terms.destination().host());
        match self.borrow_for(agent, grant.connection(), grant.scope(), host).await {
            Ok(shared) => Lease::of(grant.clone(), shared),
            Err(error) => Err(self.inner.refusal(agent, grant.connection(), grant.scope(), error)),
        }
    }

    async fn borrow_for(
        &self,
        agent: &Arc<str>,
        connection: &ConnectionName,
        scope: Option<&Scope>,
        host: &Host,
    ) -> Result<Arc<Shared>, LendError> {
        let key = self.inner.key(agent, connection, scope)?;
        if let Some(slot) = self.inner.slots.get(&key)
            && let Some(shared) = self.inner.fresh(&key, &slot)
        {
            return Ok(shared);
        }
        // Boxed: seldom taken, and large, which every request would carry around.
        Box::pin(self.inner.wait(key, host.clone())).await
    }

    /// Tells whether a connection, by its name in rules, is still there for an agent under the id
    /// that it was lent under: false once it was deleted or revoked, or that agent lost it; true
    /// for a new version of it, and true while the source cannot be asked, since an outage revokes
    /// nothing.
    pub async fn still_lent(&self, agent: &Arc<str>, name: &ConnectionName, id: &str) -> bool {
        let inner = &self.inner;
        inner.sweep();
        let Some((index, source, there)) = inner.sources.route(name) else { return false };
        let still = tokio::select! {
            still = source.lender.still_lends(agent, there, id) => still,
            () = inner.bounds.clock.sleep(inner.timeout) => return true,
        };
        let still = match still {
            Ok(still) => still,
            Err(LendError::NotFound(_) | LendError::Revoked(_)) => false,
            Err(_) => true,
        };
        if !still {
            inner.forget(index, agent, there, id);
        }
        still
    }

    /// Tells whether nothing was heard of since that may have changed what was lent.
    pub fn holds(&self, lent: &Lent) -> bool {
        let Lent::Lease(lease) = lent else { return true };
        let agent = lease.grant().terms().agent().name();
        let key = self.inner.key(agent, lease.grant().connection(), lease.grant().scope());
        key.is_ok_and(|key| self.inner.holds(&key, lease.shared()))
    }

    /// Tells at once whether an agent's connection is known to be gone; nobody is asked.
    pub fn is_gone(&self, agent: &str, name: &ConnectionName, id: &str) -> bool {
        self.inner.sources.route(name).is_none_or(|(_, source, there)| source.lender.is_gone(agent, there, id))
    }

    /// The sources, each to be followed for as long as the sidecar serves.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.inner.sources.iter()
    }

    /// What `/status` says of each source.
    pub fn status(&self) -> Vec<serde_json::Value> {
        let each = self.inner.sources.iter().zip(&self.inner.sides);
        let said = each.filter_map(|(source, side)| {
            let mut status = source.lender.status()?;
            status["circuit"] = side.breaker.lock().unwrap_or_else(PoisonError::into_inner).word().into();
            Some(status)
        });
        said.collect()
    }
}

impl Inner {
    fn key(&self, agent: &Arc<str>, connection: &ConnectionName, scope: Option<&Scope>) -> Result<Key, LendError> {
        let route = self.sources.route(connection).ok_or_else(|| LendError::NotFound(connection.clone()))?;
        let (source, _, there) = route;
        Ok(Key { source, agent: Arc::clone(agent), connection: there.clone(), scope: scope.cloned() })
    }

    /// What is held, if it may be used now.
    fn fresh(&self, key: &Key, slot: &Slot) -> Option<Arc<Shared>> {
        let shared = slot.held()?;
        self.holds(key, &shared).then_some(shared)
    }

    /// Whether nothing that was heard of since may have changed what was lent.
    fn holds(&self, key: &Key, shared: &Shared) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        let generation = self.generation(key.source);
        if shared.generation.load(Relaxed) == generation {
            return true;
        }
        let lender = self.sources.number(key.source).map(|source| &source.lender);
        let (id, version) = (&shared.id, shared.version);
        let holds = lender.is_some_and(|lender| lender.still_holds(&key.agent, &key.connection, id, version));
        if holds {
            // Read before it was asked: what moved meanwhile is asked about by the next.
            shared.generation.store(generation, Relaxed);
        }
        holds
    }

    fn generation(&self, source: usize) -> u64 {
        self.sides.get(source).map(|side| *side.changes.borrow()).unwrap_or_default()
    }

    /// Waits for an answer: that of the question which is open, or of one that is asked now.
    async fn wait(self: &Arc<Self>, key: Key, host: Host) -> Result<Arc<Shared>, LendError> {
        let unavailable = |why: String| LendError::Unavailable { name: key.connection.clone(), why };
        let slot = self.slot(&key);
        let waiting = async {
            loop {
                if let Some(shared) = self.fresh(&key, &slot) {
                    return Ok(shared);
                }
                match self.flight(&key, &slot, &host, None).answer().await {
                    Ok(shared) if self.holds(&key, &shared) => return Ok(shared),
                    // It changed while it was asked for.
                    Ok(_) => {}
                    // That was about the host of who asked first.
                    Err(LendError::Unbound { host: of, .. }) if of != host => {}
                    // What is held may be good again: a renewal came to nothing.
                    Err(error) if !error.ends_lease() => return self.fresh(&key, &slot).ok_or(error),
                    Err(error) => return Err(error),
                }
            }
        };
        tokio::select! {
            answer = waiting => answer,
            () = self.bounds.clock.sleep(self.timeout) => Err(unavailable(format!("no answer within {:?}", self.timeout))),
        }
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(key) {
            return Arc::clone(&slot);
        }
        Arc::clone(&self.slots.entry(key.clone()).or_default())
    }

    /// Forgets, and thereby wipes, what is dead or gone.
    fn sweep(&self) {
        self.slots.retain(|key, slot| {
            let Some(held) = slot.last() else { return !slot.state().is_blank() };
            let lender = self.sources.number(key.source).map(|source| &source.lender);
            let gone = lender.is_none_or(|lender| lender.is_gone(&key.agent, &key.connection, &held.id));
            // What may only have changed is asked about when it is wanted: until then it tells since
            // when its version is here, and what was judged of it.
            if gone || !held.deadline.is_ahead() {
                slot.forget();
            }
            !gone
        });
    }

    /// Forgets what an agent was lent of a connection that it has no longer.
    fn forget(&self, source: usize, agent: &str, connection: &ConnectionName, id: &str) {
        self.slots.retain(|key, slot| {
            let asked = key.source == source && *key.agent == *agent && key.connection == *connection;
            let gone = asked && slot.last().is_some_and(|held| *held.id == *id);
            if gone {
                slot.forget();
            }
            !gone
        });
    }

    /// How long there is no use in asking again.
    fn pause(&self, key: &Key) -> Duration {
        let now = self.bounds.clock.boot();
        let own = self.slots.get(key).and_then(|slot| slot.state().breaker.wait(now));
        let side = self.sides.get(key.source);
        let of_source = side.and_then(|side| side.breaker.lock().unwrap_or_else(PoisonError::into_inner).wait(now));
        own.max(of_source).unwrap_or_default()
    }

    /// A refusal for the agent: when to ask again, or where a person mends it.
    fn refusal(&self, agent: &Arc<str>, name: &ConnectionName, scope: Option<&Scope>, error: LendError) -> Refusal {
        let Ok(key) = self.key(agent, name, scope) else { return Refusal::from(error) };
        match &error {
            LendError::Unavailable { .. } | LendError::Later { .. } => {
                Refusal::from(error).with_retry_after(self.pause(&key))
            }
            LendError::Attention(_) | LendError::Revoked(_) | LendError::Expired(_) | LendError::NotReady(_) => {
                let source = self.sources.number(key.source);
                match source.and_then(|source| source.lender.reconnect_page(&key.connection)) {
                    Some(page) => {
                        tracing::warn!(connection = %name, page, why = error.word(), "a person has to reconnect it");
                        Refusal::from(error).with_page(page)
                    }
                    None => Refusal::from(error),
                }
            }
            _ => Refusal::from(error),
        }
    }
}

#[cfg(test)]
mod tests;
