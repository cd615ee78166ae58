//! What tests of several rooms of the Authority begin with: one over a file, whose clock stands
//! until it is moved, and connections to put into it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::Event;
use super::rows::ConnectionRow;
use super::store::StoreError;
use super::store::for_tests::store_in;
use super::{Authority, AuthorityError, MasterKey, NewConnection};
use crate::config::{AuthorityConfig, KeySource};
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Secret, Strategy};
use crate::telemetry::TestClock;

/// The moment at which tests begin, in seconds since 1970.
pub(super) const START: i64 = 1_800_000_000;

/// A clock that stands at that moment.
pub(super) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(START.unsigned_abs())))
}

/// Opens the store of a folder under a key that is this byte over and over, while others are known.
pub(super) fn opened(
    folder: &Path,
    key: u8,
    others: &[u8],
    clock: &Arc<TestClock>,
) -> Result<Authority, AuthorityError> {
    let config = AuthorityConfig {
        data_dir: folder.to_owned(),
        key: KeySource::Passphrase,
        store: store_in(folder),
        other_keys: vec![],
    };
    let master = |byte| MasterKey::new(Secret::new([byte; 32]));
    let others: Vec<_> = others.iter().map(|other| master(*other)).collect();
    Authority::open_also(&config, &master(key), &others, Arc::<TestClock>::clone(clock))
}

/// An Authority over a file of its own.
pub(super) struct Fixture {
    pub(super) authority: Authority,
    pub(super) clock: Arc<TestClock>,
    folder: Arc<tempfile::TempDir>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), clock())
    }

    /// Another process's handle on the same file, at the same time of day.
    pub(super) fn another(&self) -> Self {
        Self::over(Arc::clone(&self.folder), Arc::clone(&self.clock))
    }

    fn over(folder: Arc<tempfile::TempDir>, clock: Arc<TestClock>) -> Self {
        let authority = opened(folder.path(), 7, &[], &clock).unwrap();
        Self { authority, clock, folder }
    }

    pub(super) fn row(&self, name: &str) -> ConnectionRow {
        self.authority.read(|tx| ConnectionRow::find(tx, "local", name)).unwrap().unwrap()
    }

    /// The fields of a connection, opened.
    pub(super) fn fields(&self, name: &str) -> Fields {
        self.authority.desk.vault.open(&self.row(name)).unwrap()
    }

    /// Changes a row as nobody should, but tests.
    pub(super) fn alter(&self, name: &'static str, change: impl FnOnce(&mut ConnectionRow) + Send + 'static) {
        let altered = self.authority.write(move |work| {
            let mut row = work.lock(name)?.unwrap();
            change(&mut row);
            row.put(work.tx())
        });
        altered.unwrap();
    }

    /// The kinds of all events, in order.
    pub(super) fn news(&self) -> Vec<String> {
        let events = self.authority.read(|tx| Event::after(tx, "local", 0, i64::MAX)).unwrap();
        events.into_iter().map(|event| event.news.kind).collect()
    }

    /// All lines of the audit, in the order in which they were written by this handle and others.
    pub(super) fn lines(&self) -> Vec<String> {
        let sql = "SELECT body FROM audit ORDER BY at, instance, sequence";
        let rows = self.authority.read(|tx| tx.query(sql, &[])).unwrap();
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, StoreError>>().unwrap()
    }
}

pub(super) fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).unwrap()
}

pub(super) fn fields(given: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in given {
        fields.insert(*name, Secret::new(*value));
    }
    fields
}

/// A connection by a bearer token, with a refresh token `r`.
pub(super) fn bearer(named: &str, token: &str) -> NewConnection {
    let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
    let bindings = vec![Binding { hosts, strategy: Strategy::OAuth2 }];
    let fields = fields(&[("access_token", token), ("refresh_token", "r")]);
    NewConnection { name: name(named), provider: None, bindings, owned: false, fields, expires_at: None }
}
