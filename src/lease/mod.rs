//! Borrows: the trait of every source of credentials, and the cache in front of it.
//!
//! A [`Lease`] is made here and nowhere else, and only for a grant whose destination is among
//! the hosts that its connection is bound to. Every lease has a deadline, and is dead when either
//! clock says so. Nothing here stores a secret on disk; sources that do are in `authority`.

mod backoff;
mod breaker;
mod cache;
mod cloud;
mod command;
mod configured;
mod deadline;
mod environment;
mod failed;
mod fields;
mod file;
#[cfg(test)]
mod for_tests;
mod gateway;
mod key;
mod kubernetes;
mod lent;
mod memory;
mod nexus;
mod schedule;
mod secret_json;
mod source;
mod sources;
mod spiffe;
#[cfg(test)]
pub(crate) mod suite;
mod vault;
mod watched;

pub use cache::{Blame, Healed, Leases};
pub use cloud::{AwsFetch, AzureFetch, Calls, GithubAppFetch, GoogleFetch};
pub use command::CommandFetch;
pub use configured::{Configured, Fetch, Fetched};
pub use environment::EnvironmentFetch;
pub use fields::{FieldError, check_fields};
pub use file::FileFetch;
pub use gateway::{GatewayHealth, GatewaySource, GatewayWire};
pub use kubernetes::{KubernetesFetch, KubernetesServer};
pub use lent::{Lease, Lent, Memo};
pub use memory::{MemoryConnection, MemorySource};
pub use nexus::{NexusSource, PolicyDocument, PolicyError};
pub use source::{Ask, Asked, Borrowed, Followed, Heard, Held, LeaseSource, LendError, Loan};
pub use sources::{Source, Sources};
pub use spiffe::{SpiffeFetch, X509Svid, X509Svids};
pub use vault::VaultFetch;

pub use crate::model::Scope;

use fields::check_usable;
