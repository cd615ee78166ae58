//! The providers that an Authority is told of: documents in the store, beside those that are
//! compiled in.
//!
//! A definition says how consent is asked for and where credentials go; a profile is how the
//! reference writes one, a file how a person does. A connection pins endpoints and hosts of its
//! provider when it is made: what changes them later moves it to `attention`, and nothing that
//! was lent follows a document. No answer has a client secret in it.

mod affected;
mod change;
mod definition;
mod difference;
mod document;
mod endpoints;
mod pin;
mod plan;
mod profile;
mod registered;
#[cfg(test)]
pub(super) mod tests;

pub use change::ProviderChange;
pub use definition::Definition;
pub(super) use definition::Revocation as TakingBack;
pub use difference::Difference;
pub(super) use endpoints::Pinned;
pub(super) use pin::{end_of, pin, renewal, still};
pub use plan::{Plan, Step};
pub use profile::{Profile, ProfileError, SecretChange};
pub(super) use registered::{Client, rewrapped};
pub use registered::{ProviderError, Registered};
