//! What a client of the sidecar is given: variables, the files that some of them name, and nothing
//! that is a credential.
//!
//! `run` gives it to its command, `env` and `ca export` print and write it for clients that `run`
//! cannot start. Both speak of the same table ([`variables`]) and the same files ([`trust`]).

mod credential;
#[cfg(feature = "authority")]
pub(super) mod export;
pub(super) mod java;
pub(super) mod trust;
pub(super) mod variables;
mod withheld;

pub(super) use self::variables::{Given, VARIABLES};
pub(super) use self::withheld::Withheld;
