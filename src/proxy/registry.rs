//! Everything alive: requests, tunnels and connections, each with what it asked for, so that a
//! reload, a revocation or a drain can end what is no longer allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;

use super::closer::Closer;
use super::lifeline::Lifeline;
use crate::identity::{Agent, Gate};
use crate::lease::Lent;
use crate::model::{Cause, Code, ConnectionName, Refusal};
use crate::policy::{Permit, Policy, Question, Verdict};

/// What is alive in this process.
#[derive(Default)]
pub(super) struct Registry {
    alive: DashMap<u64, Arc<Alive>>,
    next: AtomicU64,
    requests: AtomicI64,
    tunnels: AtomicI64,
}

/// One thing that is alive.
pub(super) struct Alive {
    kind: Kind,
    closer: Closer,
}

enum Kind {
    /// A request between its decision and its last byte.
    Request {
        question: Question,
        verdict: Verdict,
        connection_id: std::sync::OnceLock<Arc<str>>,
        /// The agent's connection that it came on.
        line: Arc<Lifeline>,
    },
    /// A tunnel.
    Tunnel { question: Question, permit: Permit },
    /// A connection whose agent was settled once, at its CONNECT.
    Connection(Agent),
}

/// A connection that a live request uses.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InUse {
    pub(super) agent: Arc<str>,
    /// Its name in rules.
    pub(super) name: ConnectionName,
    /// The id that it was lent under.
    pub(super) id: Arc<str>,
}

/// Holds a place in the registry; dropping it leaves.
pub(super) struct Stay {
    registry: Arc<Registry>,
    id: u64,
    alive: Arc<Alive>,
}

impl Registry {
    /// Enters a request.
    pub(super) fn request(self: &Arc<Self>, question: Question, verdict: Verdict, line: &Arc<Lifeline>) -> Stay {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let line = Arc::clone(line);
        self.enter(Kind::Request { question, verdict, connection_id: std::sync::OnceLock::new(), line })
    }

    /// Enters a tunnel.
    pub(super) fn tunnel(self: &Arc<Self>, question: Question, permit: Permit) -> Stay {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        self.enter(Kind::Tunnel { question, permit })
    }

    /// Enters a connection inside a CONNECT.
    pub(super) fn connection(self: &Arc<Self>, agent: Agent) -> Stay {
        self.enter(Kind::Connection(agent))
    }

    fn enter(self: &Arc<Self>, kind: Kind) -> Stay {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::new(Alive { kind, closer: Closer::default() });
        self.alive.insert(id, Arc::clone(&alive));
        Stay { registry: Arc::clone(self), id, alive }
    }

    /// Requests and tunnels.
    pub(super) fn counts(&self) -> (i64, i64) {
        (self.requests.load(Ordering::Relaxed), self.tunnels.load(Ordering::Relaxed))
    }

    /// Asks every question again and closes what this policy does not allow.
    pub(super) fn ask_again(&self, policy: &Policy) {
        for alive in self.all() {
            let allowed = match &alive.kind {
                Kind::Request { question, verdict, .. } => {
                    let connection = match verdict {
                        Verdict::Inject(grant) => Some(grant.connection()),
                        Verdict::Forward(_) => None,
                    };
                    policy.still_allows(question, verdict.terms(), connection)
                }
                Kind::Tunnel { question, permit } => policy.still_allows(question, permit.terms(), None),
                Kind::Connection(_) => true,
            };
            if !allowed {
                let message = "the policy was changed and no longer allows this";
                alive.close(Refusal::new(Code::PolicyDenied, message).with_cause(Cause::PolicyChanged));
            }
        }
    }

    /// Closes what belongs to agents that this gate no longer knows.
    pub(super) fn prove_again(&self, gate: &Gate) {
        for alive in self.all() {
            if !gate.still(alive.agent()) {
                let message = "the agent was removed or its password changed";
                alive.close(Refusal::new(Code::ProxyAuthenticationRequired, message));
            }
        }
    }

    /// The connections that live requests use, by agent, name and id, each once.
    pub(super) fn connections_in_use(&self) -> Vec<InUse> {
        let mut used: Vec<_> = self.all().iter().filter_map(|alive| alive.connection()).collect();
        used.sort();
        used.dedup();
        used
    }

    /// Closes what uses a connection that was revoked or deleted, or that its agent lost.
    pub(super) fn revoke(&self, gone: &InUse) {
        for alive in self.all() {
            if alive.connection().is_some_and(|used| used == *gone) {
                let message = format!("the connection {} was revoked or deleted", gone.name);
                alive.close(Refusal::new(Code::ConnectionRevoked, message));
            }
        }
    }

    /// Closes the rest at the end of a drain.
    pub(super) fn close_all(&self) {
        for alive in self.all() {
            alive.close(Refusal::new(Code::Unavailable, "the sidecar is shutting down"));
        }
    }

    /// A copy, so that nothing is closed while the map is locked.
    fn all(&self) -> Vec<Arc<Alive>> {
        self.alive.iter().map(|entry| Arc::clone(entry.value())).collect()
    }
}

impl Alive {
    fn close(&self, why: Refusal) {
        if self.closer.close(why)
            && let Kind::Request { line, .. } = &self.kind
        {
            line.owe();
        }
    }

    fn agent(&self) -> &Agent {
        match &self.kind {
            Kind::Request { verdict, .. } => verdict.terms().agent(),
            Kind::Tunnel { permit, .. } => permit.terms().agent(),
            Kind::Connection(agent) => agent,
        }
    }

    fn connection(&self) -> Option<InUse> {
        match &self.kind {
            Kind::Request { verdict: Verdict::Inject(grant), connection_id, .. } => {
                let (agent, name) = (Arc::clone(grant.terms().agent().name()), grant.connection().clone());
                connection_id.get().map(|id| InUse { agent, name, id: Arc::clone(id) })
            }
            _ => None,
        }
    }
}

impl Stay {
    /// Notes the id of the connection that was lent.
    pub(super) fn uses(&self, lent: &Lent) {
        if let (Kind::Request { connection_id, .. }, Lent::Lease(lease)) = (&self.alive.kind, lent) {
            // Two leases of one request are of one connection: the first id stays.
            let _ = connection_id.set(Arc::clone(lease.id()));
        }
    }

    /// Who may close it.
    pub(super) fn closer(&self) -> &Closer {
        &self.alive.closer
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.registry.alive.remove(&self.id);
        if self.alive.closer.end()
            && let Kind::Request { line, .. } = &self.alive.kind
        {
            line.settle();
        }
        match self.alive.kind {
            Kind::Request { .. } => self.registry.requests.fetch_sub(1, Ordering::Relaxed),
            Kind::Tunnel { .. } => self.registry.tunnels.fetch_sub(1, Ordering::Relaxed),
            Kind::Connection(_) => 0,
        };
    }
}
