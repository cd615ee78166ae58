//! Swaps what may change in a running sidecar.

use std::sync::Arc;

use crate::identity::Gate;
use crate::policy::Policy;
use crate::proxy::Pipeline;
use crate::telemetry::Clock;
use crate::tls::{Ca, Leaves};

/// Swaps policy, gate and CA; what is alive and no longer allowed is closed.
#[derive(Clone)]
pub struct Reloader {
    pipeline: Arc<Pipeline>,
    leaves: Arc<Leaves>,
    clock: Arc<dyn Clock>,
}

impl Reloader {
    pub(super) fn new(pipeline: Arc<Pipeline>, leaves: Arc<Leaves>, clock: Arc<dyn Clock>) -> Self {
        Self { pipeline, leaves, clock }
    }

    /// Takes a new policy.
    pub fn policy(&self, policy: Policy) {
        self.pipeline.take_policy(policy);
    }

    /// Takes a new gate.
    pub fn gate(&self, gate: Arc<Gate>) {
        self.pipeline.take_gate(gate);
    }

    /// Mints leaves under this CA from now on.
    pub fn ca(&self, ca: Ca) {
        self.leaves.replace(ca);
    }

    /// The time that the sidecar goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
