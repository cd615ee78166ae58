//! The composition root: configuration -> bound addresses -> run until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::Audit;
use crate::config::{Config, Document, Problems};
use crate::identity::Gate;
use crate::lease::LeaseSource;
use crate::model::Refusal;
use crate::policy::Policy;
use crate::telemetry::{Clock, Metrics};
use crate::tls::Ca;

/// Everything a sidecar is made of, each part given by whoever starts it.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The rules to start with.
    pub policy: Policy,
    /// Who may use the port.
    pub gate: Arc<Gate>,
    /// Our CA.
    pub ca: Ca,
    /// Where credentials come from.
    pub source: Arc<dyn LeaseSource>,
    /// The log.
    pub audit: Audit,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Called with every refusal, for the summary of `run`.
    pub on_refusal: Option<Box<dyn Fn(&Refusal, &str) + Send + Sync>>,
}

/// A sidecar whose sockets are open.
pub struct Bound {}

/// What keeps a sidecar from starting.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The roots of destinations.
    #[error(transparent)]
    Roots(#[from] crate::tls::RootsError),
    /// Our CA.
    #[error(transparent)]
    Ca(#[from] crate::tls::CaError),
}

/// Opens the sockets; port 0 picks a free one.
pub async fn bind(_parts: Parts) -> Result<Bound, AppError> {
    todo!()
}

impl Bound {
    /// The proxy's addresses.
    pub fn proxy(&self) -> &[SocketAddr] {
        todo!()
    }

    /// The admin addresses.
    pub fn admin(&self) -> &[SocketAddr] {
        todo!()
    }

    /// Health addresses.
    pub fn health(&self) -> &[SocketAddr] {
        todo!()
    }

    /// What clients must trust.
    pub fn trust_pem(&self) -> String {
        todo!()
    }

    /// The system's roots, `upstream.ca_files` included, as PEM.
    pub fn roots_pem(&self) -> String {
        todo!()
    }

    /// A handle that swaps policy and gate in a running sidecar.
    pub fn reloader(&self) -> Reloader {
        todo!()
    }

    /// Serves until `shutdown` is done, then drains.
    pub async fn run(self, _shutdown: impl Future<Output = ()> + Send) {
        todo!()
    }
}

/// Swaps policy and gate; what is alive and no longer allowed is closed.
#[derive(Clone)]
pub struct Reloader {}

impl Reloader {
    /// Takes a new policy.
    pub fn policy(&self, _policy: Policy) {
        todo!()
    }

    /// Takes a new gate.
    pub fn gate(&self, _gate: Arc<Gate>) {
        todo!()
    }
}

/// Reads and compiles policy files as one set.
pub fn load_policy(_files: &[PathBuf]) -> Result<Policy, Problems> {
    let _: Vec<Document> = Vec::new();
    todo!()
}
