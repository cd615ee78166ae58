use std::time::SystemTime;

use crate::authority::connections::time;
use crate::authority::rows::{ConnectionRow, State};
use crate::authority::store::StoreError;

/// How far a connection's credentials are taken back by who gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The provider is being told.
    Pending,
    /// The provider has revoked them.
    Upstream,
    /// They are revoked here alone: their provider cannot be told, or did not hear of it in time.
    Local {
        /// When they end there by themselves, where that is known.
        until: Option<SystemTime>,
    },
    /// There were none.
    Nothing,
}

impl Revocation {
    /// The word in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Upstream => "upstream",
            Self::Local { .. } => "local",
            Self::Nothing => "none",
        }
    }

    /// How far a row has come; none for a connection that is not revoked.
    pub(in crate::authority) fn of(row: &ConnectionRow) -> Result<Option<Self>, StoreError> {
        if row.state != State::Revoked {
            return Ok(None);
        }
        Ok(Some(match row.revocation.as_deref() {
            Some("pending") => Self::Pending,
            Some("upstream") => Self::Upstream,
            Some("local") => Self::Local { until: row.expires_at.map(time) },
            // Revoked by a release that told nobody.
            Some("none") | None => Self::Nothing,
            Some(word) => return Err(StoreError::damaged("revocation", word, "no such word is known")),
        }))
    }
}

/// What was revoked, and what had been before.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Revoked {
    /// Connections that were revoked now.
    pub connections: Vec<Ended>,
    /// Connections that had been revoked before.
    pub before: Vec<Ended>,
    /// The agent, where one was revoked.
    pub agent: Option<EndedAgent>,
}

/// A revoked connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How far its provider has taken its credentials back.
    pub revocation: Revocation,
}

/// A revoked agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedAgent {
    /// Its name.
    pub name: String,
    /// It had been revoked before.
    pub before: bool,
    /// Nobody had added it: its name alone is revoked.
    pub unknown: bool,
    /// How many connections it might borrow.
    pub grants: u64,
    /// How many keys spoke for it alone.
    pub keys: u64,
}

impl Ended {
    pub(in crate::authority) fn of(row: &ConnectionRow) -> Result<Self, StoreError> {
        let revocation = Revocation::of(row)?.unwrap_or(Revocation::Nothing);
        Ok(Self { id: row.id.clone(), name: row.name.clone(), revocation })
    }
}
