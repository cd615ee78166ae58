//! Borrows: the trait of every source of credentials, and the cache in front of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::model::{Bindings, ConnectionName, Fields, Host, Refusal, Strategy, Workspace};
use crate::policy::{Grant, Permit, Verdict};
use crate::telemetry::Clock;

/// Where credentials come from.
pub trait LeaseSource: Send + Sync + 'static {
    /// Lends a connection's credentials for one host.
    fn lend<'a>(&'a self, ask: &'a Ask) -> Pin<Box<dyn Future<Output = Result<Loan, LendError>> + Send + 'a>>;

    /// A number that moves whenever something that was lent may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What is asked of a source.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The tenant.
    pub workspace: Workspace,
    /// On whose behalf.
    pub agent: Arc<str>,
    /// Which connection.
    pub connection: ConnectionName,
    /// For which host.
    pub host: Host,
}

/// What a source answers.
#[derive(Debug)]
pub struct Loan {
    /// The connection's id.
    pub id: Arc<str>,
    /// The version of its credentials.
    pub version: u64,
    /// Where they may go, and how.
    pub bindings: Bindings,
    /// What is needed to authenticate, and nothing else.
    pub credentials: Fields,
    /// When they end, by the wall clock.
    pub expires_at: Option<SystemTime>,
}

/// Why a source lends nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LendError {
    /// No such connection.
    #[error("there is no connection {0}")]
    NotFound(ConnectionName),
    /// Pending or failed.
    #[error("the connection {0} has no credentials yet")]
    NotReady(ConnectionName),
    /// Revoked.
    #[error("the connection {0} was revoked")]
    Revoked(ConnectionName),
    /// Past its end.
    #[error("the connection {0} has expired")]
    Expired(ConnectionName),
    /// A person has to look.
    #[error("the connection {0} needs attention")]
    Attention(ConnectionName),
    /// What is stored cannot be used.
    #[error("the connection {name} cannot be used: {why}")]
    Unusable {
        /// Its name.
        name: ConnectionName,
        /// What is wrong.
        why: String,
    },
    /// The source could not be asked.
    #[error("the source of the connection {name} could not be asked: {why}")]
    Unavailable {
        /// Its name.
        name: ConnectionName,
        /// What happened.
        why: String,
    },
}

/// The cache in front of the sources.
pub struct Leases {}

/// What an attempt may be made with.
#[derive(Debug)]
pub enum Lent {
    /// Credentials for a grant.
    Lease(Lease),
    /// Nothing, as the permit says.
    Nothing(Permit),
}

/// Live credentials with a deadline, of a connection that is bound to the grant's host. Made
/// only here.
#[derive(Debug)]
pub struct Lease {}

impl Leases {
    /// A cache over one source. `routes` maps a rule's name of a connection to the source's.
    pub fn new(_source: Arc<dyn LeaseSource>, _timeout: Duration, _clock: Arc<dyn Clock>) -> Self {
        todo!()
    }

    /// Borrows what a verdict needs.
    pub async fn lend(&self, _verdict: &Verdict) -> Result<Lent, Refusal> {
        todo!()
    }

    /// Moves whenever something that was lent may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }
}

impl Lent {
    /// Tells whether it may still be used.
    pub fn is_live(&self) -> bool {
        todo!()
    }
}

impl Lease {
    /// The grant that it was borrowed for.
    pub fn grant(&self) -> &Grant {
        todo!()
    }

    /// How to authenticate at the grant's host.
    pub fn strategy(&self) -> &Strategy {
        todo!()
    }

    /// What to authenticate with.
    pub fn credentials(&self) -> &Fields {
        todo!()
    }

    /// The connection's id.
    pub fn id(&self) -> &Arc<str> {
        todo!()
    }

    /// The version of the credentials.
    pub fn version(&self) -> u64 {
        todo!()
    }
}
