//! Certificates: our CA, the leaves that it signs, and the roots that destinations must chain to.
//!
//! The only room that knows the certificate library. It must never sign a leaf with the key of
//! another leaf, hand out the CA's key, trust our own CA towards destinations, or install a
//! process-wide TLS provider. Next: `dial`, which verifies with [`Roots`], and `proxy`, which
//! answers agents with [`Leaves`].

mod ca;
mod ca_dir;
mod client;
mod ends;
#[cfg(test)]
pub(crate) mod for_tests;
mod leaves;
mod names;
mod pem;
mod roots;
mod service;

pub use ca::{Ca, CaError};
pub use client::{ClientIdentity, IdentityError};
pub use ends::ends_at;
pub use leaves::Leaves;
pub use names::LeafNames;
pub use roots::{Roots, RootsError};
pub use service::{ServerTlsError, server_tls};
