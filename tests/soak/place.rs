//! Where the rows of a trial are, how an Authority is opened over them, and how they are read past it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexus_sidecar::authority::{Authority, MasterKey};
use nexus_sidecar::config::{AuthorityConfig, KeySource, StoreConfig};
use nexus_sidecar::model::Secret;
use nexus_sidecar::telemetry::SystemClock;

use crate::Failure;

/// Everything that is looked at, in one statement and so of one moment.
const EVERYTHING: &str = "
    SELECT 'audit' AS what, event AS a, body AS b, '' AS c FROM audit
    UNION ALL SELECT 'event', kind, coalesce(name, agent, ''), '' FROM events
    UNION ALL SELECT 'numbers', CAST(count(*) AS TEXT), CAST(coalesce(min(number), 1) AS TEXT),
        CAST(coalesce(max(number), 0) AS TEXT) FROM events
    UNION ALL SELECT 'tip', CAST(last_event AS TEXT), '', '' FROM workspaces
    UNION ALL SELECT 'connection', name, state, CAST(version AS TEXT) FROM connections
    UNION ALL SELECT 'key', name, CASE WHEN revoked_at IS NULL THEN 'active' ELSE 'revoked' END, '' FROM keys
    UNION ALL SELECT 'agent', name, CASE WHEN revoked_at IS NULL THEN 'active' ELSE 'revoked' END, '' FROM agents
    UNION ALL SELECT 'grant', coalesce((SELECT name FROM connections WHERE id = grants.connection), ''), agent, ''
        FROM grants";

/// A row of it.
pub(crate) type Row = [String; 4];

pub(crate) struct Place {
    folder: PathBuf,
}

impl Place {
    pub(crate) fn sqlite(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The same for another process, and back.
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec![self.folder.display().to_string()]
    }

    pub(crate) fn of(arguments: &[String]) -> Result<Self, Failure> {
        let [folder] = arguments else { return Err("a place is a folder".into()) };
        Ok(Self { folder: folder.into() })
    }

    /// An Authority over the rows, made on first use.
    pub(crate) fn open(&self) -> Result<Authority, Failure> {
        let config = AuthorityConfig {
            data_dir: self.folder.clone(),
            key: KeySource::Passphrase,
            store: StoreConfig::Sqlite,
            other_keys: vec![],
        };
        Ok(Authority::open(&config, &MasterKey::new(Secret::new([7; 32])), Arc::new(SystemClock))?)
    }

    /// Every row that is looked at, read past the Authority.
    pub(crate) fn rows(&self) -> Result<Vec<Row>, Failure> {
        self.rows_after("")
    }

    /// The rows as they would be after these statements, which are undone.
    pub(crate) fn rows_after(&self, harm: &str) -> Result<Vec<Row>, Failure> {
        let database = rusqlite::Connection::open(self.folder.join("store.db"))?;
        let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if whole != "ok" {
            return Err(format!("SQLite finds its file damaged: {whole}").into());
        }
        database.execute_batch(&format!("BEGIN; {harm}"))?;
        // Dropped, the connection undoes it.
        let mut statement = database.prepare(EVERYTHING)?;
        let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
