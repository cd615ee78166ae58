//! Borrows: the trait of every source of credentials, and the cache in front of it.
//!
//! A [`Lease`] is made here and nowhere else, and only for a grant whose destination is among
//! the hosts that its connection is bound to. Every lease has a deadline, and is dead when either
//! clock says so. Nothing here stores a secret on disk; sources that do are in `authority`.

mod cache;
mod deadline;
mod fields;
#[cfg(test)]
mod for_tests;
mod layered;
mod lent;
mod memory;
mod nexus;
mod source;

pub use cache::Leases;
pub use fields::{FieldError, check_fields};
pub use layered::LayeredSource;
pub use lent::{Lease, Lent, Memo};
pub use memory::{MemoryConnection, MemorySource};
pub use nexus::{NexusSource, PolicyDocument, PolicyError};
pub use source::{Ask, Asked, Followed, LeaseSource, LendError, Loan};
