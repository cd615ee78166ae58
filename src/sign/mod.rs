//! Signs, and verifies what issuers signed. Pure functions: SigV4, HMAC, JWT, and the seal of the
//! vault. No clock, no randomness, no I/O.

mod hmac;
pub mod jwt;
mod seal;
mod sigv4;
#[cfg(test)]
pub(crate) mod verifier;

pub use hmac::hmac;
pub use seal::{SealError, Sealer};
pub use sigv4::{PathEncoding, PayloadHash, SigV4Error, SigV4Request, SigV4Settings, SignedHeaders, is_s3, sign};
