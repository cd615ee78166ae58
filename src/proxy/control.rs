//! How the composition root makes a pipeline, and changes what it goes by while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::pipeline::{Pipeline, PipelineParts};
use super::registry::{InUse, Registry};
use super::upstream::{PoolLimits, Upstream, Waits};
use crate::identity::{Agent, Gate};
use crate::model::{Cause, Code, Refusal};
use crate::policy::{Permit, Policy};

impl Pipeline {
    /// Puts a pipeline together.
    pub(crate) fn new(parts: PipelineParts) -> Self {
        let PipelineParts { policy, gate, leases, dialer, audit, metrics, clock, config, on_refusal } = parts;
        let pool = PoolLimits {
            per_key: config.upstream.max_idle_per_key,
            total: config.upstream.max_idle,
            idle: config.timeouts.idle,
        };
        let waits = Waits { response: config.timeouts.response, stall: config.timeouts.body };
        let upstream = Upstream::new(Arc::new(dialer), pool, waits, Arc::clone(&metrics));
        let mut question_key = [0; 32];
        // A key of zeros would only make the hashes of this process guessable to itself.
        let _ = aws_lc_rs::rand::fill(&mut question_key);
        Self {
            policy: ArcSwap::from_pointee(policy),
            gate: ArcSwap::new(gate),
            leases,
            upstream: Arc::new(upstream),
            audit,
            registry: Arc::new(Registry::default()),
            metrics,
            clock,
            limits: config.limits,
            timeouts: config.timeouts,
            grace: config.lease.grace,
            on_refusal,
            question_key,
        }
    }

    /// Takes a new policy, and closes what it does not allow.
    pub(crate) fn take_policy(&self, policy: Policy) {
        let policy = Arc::new(policy);
        self.policy.store(Arc::clone(&policy));
        self.registry.ask_again(&policy);
    }

    /// Takes a new gate, and closes what belongs to agents that it does not know.
    pub(crate) fn take_gate(&self, gate: Arc<Gate>) {
        self.gate.store(Arc::clone(&gate));
        self.registry.prove_again(&gate);
    }

    /// Refuses an agent that a gate replaced while it came in no longer knows. Asked once its
    /// place in the registry is taken, so that every replacement is noticed here or there.
    pub(super) fn still_knows(&self, agent: &Agent) -> Result<(), Refusal> {
        if self.gate.load().still(agent) {
            return Ok(());
        }
        Err(Refusal::new(Code::ProxyAuthenticationRequired, "the agent was removed or its password changed"))
    }

    /// Refuses a tunnel of an older policy or gate, likewise.
    pub(super) fn is_current(&self, permit: &Permit) -> Result<(), Refusal> {
        self.still_knows(permit.terms().agent())?;
        if self.policy.load().version() == permit.terms().policy() {
            return Ok(());
        }
        let message = "the policy changed while the tunnel was opened: try again";
        Err(Refusal::new(Code::PolicyDenied, message).with_cause(Cause::PolicyChanged))
    }

    /// Closes what uses a connection that is known to be gone, without asking anybody.
    pub(crate) fn close_gone(&self) {
        for used in self.registry.connections_in_use() {
            if self.leases.is_gone(&used.agent, &used.name, &used.id) {
                self.revoke(used);
            }
        }
    }

    /// Closes what uses a connection that is gone: now, or when its grace is over.
    fn revoke(&self, gone: InUse) {
        if self.grace.is_zero() {
            return self.registry.revoke(&gone);
        }
        let (registry, clock, grace) = (Arc::clone(&self.registry), Arc::clone(&self.clock), self.grace);
        tokio::spawn(async move {
            clock.sleep(grace).await;
            registry.revoke(&gone);
        });
    }

    /// Closes what uses a connection that was revoked or deleted, or that its agent lost. The
    /// source may have to be asked for each.
    pub(crate) async fn close_revoked(&self) {
        for used in self.registry.connections_in_use() {
            if !self.leases.still_lent(&used.agent, &used.name, &used.id).await {
                self.revoke(used);
            }
        }
    }

    /// Requests and tunnels that are alive.
    pub(crate) fn alive(&self) -> (i64, i64) {
        self.registry.counts()
    }

    /// Writes of the audit that have failed since the start.
    pub(crate) fn audit_failures(&self) -> u64 {
        self.audit.failures()
    }

    /// Drops idle upstream connections that died or waited too long.
    pub(crate) fn sweep(&self) {
        self.upstream.sweep();
    }

    /// Closes everything that is alive.
    pub(crate) fn close_all(&self) {
        self.registry.close_all();
    }
}
