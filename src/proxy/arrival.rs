//! How a request came, settled before it is read: the one door of the pipeline.

use std::net::SocketAddr;
use std::sync::Arc;

use super::lifeline::Lifeline;
use crate::identity::{Agent, Unproved};
use crate::model::{Destination, Facts, Refusal, TraceId};

/// Where a request came from, and for whom.
///
/// The agent is settled per CONNECT or per absolute-form request, never from a header inside a
/// tunnel.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) agent: Result<Agent, Unproved>,
    /// The other end of its socket; a request of our own has none.
    pub(super) peer: Option<SocketAddr>,
    /// The target of the CONNECT around it, under the scheme that was found inside.
    pub(super) tunnel: Option<Arc<Destination>>,
    /// A word for the audit.
    pub(super) via: &'static str,
    /// The connection that it came on.
    pub(super) line: Arc<Lifeline>,
}

impl Arrival {
    pub(super) fn agent(&self) -> Result<&Agent, Refusal> {
        self.agent.as_ref().map_err(|why| Refusal::from(*why))
    }

    /// What the audit knows of it.
    pub(super) fn facts(&self, trace: TraceId) -> Facts {
        Facts {
            trace,
            via: self.via,
            peer: self.peer,
            agent: self.agent.as_ref().ok().map(|agent| Arc::clone(agent.name())),
            proof: self.agent.as_ref().map_or("unproved", |agent| agent.proof().as_str()),
        }
    }
}
