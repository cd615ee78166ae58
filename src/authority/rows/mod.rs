//! What the tables hold, as values: one file for each table and its statements.

mod agent;
mod connection;
mod grant;
mod key;
mod meta;
mod provider;
mod workspace;

pub(super) use agent::AgentRow;
pub(super) use connection::ConnectionRow;
pub use connection::State;
pub(super) use grant::GrantRow;
pub(super) use key::KeyRow;
pub(super) use meta::{lock_meta, meta, set_meta};
pub(super) use provider::ProviderRow;
pub(super) use workspace::{Tip, oldest_event};
