//! Ends what may be borrowed: one connection, all of a provider, all of a workspace, or whatever an
//! agent may borrow.
//!
//! It takes effect here in one transaction, whose events tell every sidecar; then the provider is
//! told, by whichever process comes first, until it has answered or it is hopeless. Credentials are
//! kept for that call and no longer. Go to `local` for the transaction, to `outcome` for how far it
//! has come, to `upstream` for what the provider is told, and to `worker` for who tells it.

mod local;
mod outcome;
mod providers;
mod upstream;
mod worker;

use super::Authority;
use super::life::NoSuchEdge;
use super::store::StoreError;

pub(super) use local::end_agent;
pub use outcome::{Ended, EndedAgent, Revocation, Revoked};
pub(super) use providers::Providers;
pub(super) use upstream::Upstream;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One connection, by its id or its name.
    Connection(String),
    /// Whatever this agent may borrow: its grants end, and so do the keys that speak for it alone.
    /// The connections stay for others.
    Agent(String),
    /// Every connection of this provider.
    Provider(String),
    /// Every connection of the workspace.
    All,
}

/// What keeps something from being revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No such connection.
    #[error("there is no connection {0}: nexus-sidecar connection list shows those that are")]
    NoConnection(String),
    /// Nothing is a connection of this provider.
    #[error("there is no connection of a provider {0}: nexus-sidecar connection list shows whose they are")]
    NoneOfProvider(String),
    /// The vault cannot seal that a connection has no credentials any more.
    #[error("cannot wipe the credentials of the connection {name}: {why}")]
    Wipe {
        /// The connection.
        name: String,
        /// Why not.
        why: String,
    },
    /// It cannot be revoked in the state that it is in.
    #[error(transparent)]
    Edge(#[from] NoSuchEdge),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Revokes, durably and for good; what is revoked already is told and left as it is. It blocks.
    pub fn revoke(&self, target: &Target) -> Result<Revoked, RevokeError> {
        let (vault, target) = (self.desk.vault.clone(), target.clone());
        self.write(move |work| local::revoke(work, &vault, &target))
    }

    /// How far the revocation of these connections has come; one that was deleted since is left
    /// out. It blocks.
    pub fn revocations(&self, of: &[Ended]) -> Result<Vec<Ended>, RevokeError> {
        let wanted: Vec<(&str, &str)> = of.iter().map(|ended| (self.workspace.as_str(), ended.id.as_str())).collect();
        self.read(|tx| {
            let rows = super::rows::ConnectionRow::find_each(tx, &wanted)?;
            Ok(rows.iter().flatten().map(Ended::of).collect::<Result<_, _>>()?)
        })
    }
}

#[cfg(test)]
mod tests;
