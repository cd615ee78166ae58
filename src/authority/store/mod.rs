//! What the Authority keeps its rows in: SQL over one small trait, with a file that several
//! processes share (SQLite) or a server that replicas share (PostgreSQL) behind it. It knows
//! rows and sealed bytes; what is sealed in them is the vault's.
//!
//! Statements are written once for both: placeholders are `$1`, `$2` … in the order of their
//! first use, numbers are 64 bits, flags are 0 and 1, moments are seconds since 1970, and
//! ` FOR UPDATE` may stand at the very end, ` FOR UPDATE SKIP LOCKED` anywhere. Everything here blocks, and is never called on a thread that serves others.

use std::sync::{Arc, Weak};

use crate::config::{AuthorityConfig, StoreConfig};

mod error;
#[cfg(test)]
pub(super) mod for_tests;
mod hints;
mod postgres;
mod schema;
mod sqlite;
mod steps;
#[cfg(test)]
mod suite;
mod value;
mod watcher;

pub use error::StoreError;
pub(super) use hints::Hints;
pub(super) use postgres::Postgres;
pub(super) use sqlite::Sqlite;
pub(super) use value::{Row, Value};

/// The version of what a store holds.
pub(super) const VERSION: u64 = steps::STEPS.len() as u64;

/// Opens the store of a configuration, made on first use. The flag says whether it was made.
pub(super) fn open(config: &AuthorityConfig) -> Result<(Arc<dyn Store>, bool), StoreError> {
    Ok(match &config.store {
        StoreConfig::Sqlite => {
            let (store, made) = Sqlite::open(&config.data_dir)?;
            (Arc::new(store), made)
        }
        StoreConfig::Postgres(postgres) => {
            let (store, made) = Postgres::open(postgres)?;
            (Arc::new(store), made)
        }
    })
}

/// Tells whether a configuration's store is there. A database that cannot be asked may be: whoever
/// opens it learns why.
pub(super) fn is_there(config: &AuthorityConfig) -> bool {
    match &config.store {
        StoreConfig::Sqlite => Sqlite::is_in(&config.data_dir),
        StoreConfig::Postgres(postgres) => Postgres::is_there(postgres),
    }
}

/// Where rows are kept.
pub(super) trait Store: Send + Sync {
    /// Begins a transaction. A writing one has the right to write from the start, so that what it
    /// reads still holds when it writes.
    fn begin(&self, intent: Intent) -> Result<Box<dyn Transaction + '_>, StoreError>;

    /// Gives a hint soon after any process may have committed something, until nobody holds
    /// them. A hint may stand for nothing, and may be lost: the rows are the truth.
    fn watch(&self, hints: Weak<Hints>);

    /// What it is called: a path, or a host and a database. Never a password.
    fn name(&self) -> String;
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

/// Statements that take effect together. What is dropped without `commit` is undone.
pub(super) trait Transaction {
    /// Runs a statement that answers rows.
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError>;

    /// Runs one statement with each list of values; answers the rows of each.
    fn each(&mut self, sql: &'static str, lists: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, StoreError>;

    /// Runs a statement that answers nothing; tells how many rows it changed.
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError>;

    /// Makes everything durable and visible at once.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

impl dyn Transaction + '_ {
    /// The first row, if there is one, as what it is read as.
    pub(in crate::authority) fn find<T>(
        &mut self,
        sql: &'static str,
        values: &[Value],
        read: impl FnOnce(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.row(sql, values)?.as_ref().map(read).transpose()
    }

    /// Every row, as what each is read as.
    pub(in crate::authority) fn list<T>(
        &mut self,
        sql: &'static str,
        values: &[Value],
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.query(sql, values)?.iter().map(read).collect()
    }

    /// The only row, if there is one.
    pub(in crate::authority) fn row(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }
}
