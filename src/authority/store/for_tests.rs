//! Stores to test on: one of each kind, and several handles on the same rows, as processes and
//! replicas have them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Intent, Postgres, Sqlite, Store};
use crate::config::{PostgresConfig, PostgresPlace, StoreConfig};

#[path = "../../../tests/it/support/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the integration tests")]
pub(in crate::authority) mod server;

use server::Server;

/// Where rows are kept for one test.
pub(in crate::authority) struct Ground {
    folder: tempfile::TempDir,
    store: StoreConfig,
}

impl Ground {
    /// An empty file.
    pub(in crate::authority) fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store: StoreConfig::Sqlite }
    }

    /// An empty database of the server that tests share; none where there is no PostgreSQL.
    pub(in crate::authority) fn postgres() -> Option<Self> {
        Server::shared().map(Self::on)
    }

    /// An empty database of this server.
    pub(in crate::authority) fn on(server: &Server) -> Self {
        let store = StoreConfig::Postgres(Box::new(database(server, server.database())));
        Self { folder: tempfile::tempdir().unwrap(), store }
    }

    /// A further handle on the same rows.
    pub(in crate::authority) fn open(&self) -> Arc<dyn Store> {
        match &self.store {
            StoreConfig::Sqlite => Arc::new(Sqlite::open(self.folder.path()).unwrap().0),
            StoreConfig::Postgres(config) => Arc::new(Postgres::open(config).unwrap().0),
        }
    }
}

/// Which store tests of the domain run on: a file, or a database where this says `postgres`.
const KIND: &str = "NEXUS_TESTS_STORE";

/// Tells whether tests of the domain run on a file, as those have to that reach past the store.
pub(in crate::authority) fn on_file() -> bool {
    std::env::var_os(KIND).is_none_or(|kind| kind != "postgres")
}

/// The store of a data folder: its file, or the database that was made for it.
pub(in crate::authority) fn store_in(folder: &Path) -> StoreConfig {
    static MADE: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    if on_file() {
        return StoreConfig::Sqlite;
    }
    let server = Server::shared().expect("PostgreSQL is what the tests are to run on");
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = made.entry(folder.to_owned()).or_insert_with(|| server.database());
    StoreConfig::Postgres(Box::new(database(server, name.clone())))
}

/// Opens the store of a data folder.
pub(in crate::authority) fn open_in(folder: &Path) -> Arc<dyn Store> {
    match store_in(folder) {
        StoreConfig::Sqlite => Arc::new(Sqlite::open(folder).unwrap().0),
        StoreConfig::Postgres(config) => Arc::new(Postgres::open(&config).unwrap().0),
    }
}

/// Changes rows as nobody should, past every rule of ours. Tells how many the last statement changed.
pub(in crate::authority) fn edit(store: &dyn Store, sql: &'static str) -> u64 {
    let mut tx = store.begin(Intent::Write).unwrap();
    let mut changed = 0;
    for statement in sql.split(';') {
        changed = tx.execute(statement, &[]).unwrap();
    }
    tx.commit().unwrap();
    changed
}

/// The way to a database of a server of ours.
pub(in crate::authority) fn database(server: &Server, database: String) -> PostgresConfig {
    let (folder, port) = server.place();
    PostgresConfig {
        place: PostgresPlace::Socket(folder.to_owned(), port),
        database,
        user: server::USER.to_owned(),
        password: None,
        tls: false,
        ca_file: None,
        connections: 8,
    }
}

/// Makes a test of each of these functions on each kind of store.
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&$crate::authority::store::for_tests::Ground::sqlite());
            })+
        }
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(ground) = $crate::authority::store::for_tests::Ground::postgres() {
                    super::$name(&ground);
                }
            })+
        }
    };
}
pub(in crate::authority) use on_each_store;
