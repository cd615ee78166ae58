//! Borrows from a Nexus Gateway, or from the Broker behind one, as the reference has them.
//!
//! They refresh nothing by themselves, tell failures by the status alone, serve what has ended
//! with 200, and hand out refresh tokens: those are dropped where they are read. Two refreshes of
//! one connection at once would cost it (a refresh token that rotates is good for one of them), so
//! there is one at a time, which goes on when nobody waits for it any more. Next: `payload` for
//! what an answer holds, `answer` for what a status means, `due` for when a refresh is wanted,
//! `refresh` for the one at a time, `source` for the course of a question.

mod answer;
mod due;
mod payload;
mod refresh;
mod source;
mod wire;

#[cfg(test)]
mod tests;

pub use source::GatewaySource;
pub use wire::{GatewayHealth, GatewayWire};
