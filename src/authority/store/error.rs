use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What keeps the store from being used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file or a database that others made.
    #[error("{name} is not a store of nexus-sidecar")]
    Foreign {
        /// The store.
        name: String,
    },
    /// Another file lies where ours was.
    #[error("the store {name} was removed or replaced while it was in use: start again")]
    Replaced {
        /// The store.
        name: String,
    },
    /// A store of a later release.
    #[error("{name} is a store of version {found}, and this program knows version {known} at most: use a newer one")]
    Newer {
        /// The store.
        name: String,
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// A step to a newer version.
    #[error("cannot bring the store {name} to version {to}")]
    Migrate {
        /// The store.
        name: String,
        /// The step.
        to: u64,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// SQLite or PostgreSQL.
    #[error("cannot {doing} the store {name}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The store.
        name: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Somebody else made a row of the same name at the same time, or before.
    #[error("the store {name} holds something of that name already")]
    Taken {
        /// The store.
        name: String,
    },
    /// What one of ours never writes.
    #[error("a column of the store ({column}) should be {wanted}, and is {found}")]
    Column {
        /// Its place in the statement.
        column: usize,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// What one of ours never writes.
    #[error("the {what} {name} in the store cannot be read: {why}")]
    Damaged {
        /// A connection, a provider.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The transaction that a change was part of failed for all of its changes.
    #[error(transparent)]
    Together(Arc<StoreError>),
    /// A defect of ours: nothing was changed.
    #[error("a change of the store ended in a panic, and was undone")]
    Panicked,
    /// The thread that writes has gone.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(in crate::authority) fn damaged(what: &'static str, name: &str, why: impl ToString) -> Self {
        Self::Damaged { what, name: name.to_owned(), why: why.to_string() }
    }
}
