//! The white paper's loop on this machine alone: three look-alike services that really check
//! what they get, an agent without a credential, and the sidecar between them.
//!
//! The services share no code with `sign` or `strategy`: they agree with the sidecar only if both
//! are right. Nothing here prints; `cli` shows what the progress callback and the report say.

mod act;
mod agent;
mod chat;
mod error;
mod report;
mod secrets;
mod service;
mod services;
mod sidecar;
mod signature;
mod storage;
mod tickets;

pub use act::{EnvironmentOf, Surroundings, place, run};
pub use error::DemoError;
pub use report::{Call, Check, Progress, Report};
