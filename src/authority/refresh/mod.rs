//! Renews tokens ahead of their end, and on demand.
//!
//! A connection is renewed by exactly one worker of all processes: the one whose claim stands in its
//! row, until it has answered or the claim has run out. What the issuer gives is kept before anybody
//! uses it, and only if the row is still what it was given for. An issuer that is not well is asked
//! again, later each time; one that refuses makes the connection wait for a person. Go to `claim`
//! for who may, to `attempt` for the call, to `keep` for what becomes of the row, to `worker` for
//! when, and to `force` for who asks.

mod attempt;
mod claim;
mod force;
mod issuer;
mod keep;
mod schedule;
mod sweep;
mod worker;

use super::life::NoSuchEdge;
use super::oauth2::TokenEndpoint;
use super::rows::ConnectionRow;
use super::store::StoreError;
use super::vault::random;
use crate::model::Secret;

pub use force::{Forced, RefreshError};
#[cfg(test)]
pub(super) use issuer::Busy;
pub(super) use issuer::Issuer;
pub(super) use schedule::due;
pub(super) use worker::work;

/// What one refresh needs: under whose claim, of which connection, by what.
struct Ready {
    id: String,
    name: String,
    by: String,
    endpoint: TokenEndpoint,
    refresh_token: Secret,
}

/// What came of one refresh.
#[derive(Debug)]
enum Outcome {
    /// It has new tokens: the row as it is now.
    Refreshed(Box<ConnectionRow>),
    /// It waits for a person.
    Attention(&'static str),
    /// It will be tried again.
    Later,
    /// It got other credentials meanwhile, or somebody else claimed it.
    Overtaken,
    /// It was revoked or deleted meanwhile.
    Orphaned,
}

/// Any number, at random: it spreads what would happen together.
pub(super) fn chance() -> u32 {
    random::<4>().map(|bytes| u32::from_ne_bytes(*bytes)).unwrap_or_default()
}

/// A row in a state that its claim excludes.
fn unfit(row: &ConnectionRow, error: &NoSuchEdge) -> StoreError {
    StoreError::damaged("connection", &row.name, error)
}

#[cfg(test)]
mod tests;
