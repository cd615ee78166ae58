//! What the tables hold, as values: one file for each table and its statements.

mod connection;
mod meta;
mod provider;
mod workspace;

pub(super) use connection::ConnectionRow;
pub use connection::State;
pub(super) use meta::{lock_meta, meta, set_meta};
pub(super) use provider::provider_secret;
pub(super) use workspace::Tip;
