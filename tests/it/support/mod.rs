//! The harness: a sidecar in this process, origins that record, and an agent.

pub mod authority;
pub mod client;
pub mod gateway;
pub mod issuer;
pub mod origin;
pub mod pki;
pub mod postgres;
pub mod process;
pub mod sidecar;
pub mod signature;
pub mod underway;

pub use authority::FakeAuthority;
pub use client::{Agent, Answer};
pub use issuer::Issuer;
pub use origin::{Origin, Received, Speaks};
pub use pki::Pki;
pub use process::Home;
pub use sidecar::Sidecar;
pub use underway::{ByHand, Underway, soon};
