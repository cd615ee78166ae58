//! Where the rows of a trial are, how an Authority is opened over them, and how they are read past it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nexus_sidecar::authority::{Authority, MasterKey};
use nexus_sidecar::config::{AuthorityConfig, KeySource, PostgresConfig, PostgresPlace, StoreConfig};
use nexus_sidecar::model::Secret;
use nexus_sidecar::telemetry::SystemClock;

use crate::{Failure, server};

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
    /// The folder of a server's socket, the number in the socket's name, and the database.
    database: Option<(PathBuf, u16, String)>,
}

impl Place {
    pub(crate) fn sqlite(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), database: None }
    }

    pub(crate) fn postgres(folder: &Path, (socket, port): (&Path, u16), database: String) -> Self {
        Self { folder: folder.to_owned(), database: Some((socket.to_owned(), port, database)) }
    }

    /// The same for another process, and back.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![self.folder.display().to_string()];
        if let Some((socket, port, database)) = &self.database {
            arguments.extend([socket.display().to_string(), port.to_string(), database.clone()]);
        }
        arguments
    }

    pub(crate) fn of(arguments: &[String]) -> Result<Self, Failure> {
        match arguments {
            [folder] => Ok(Self::sqlite(Path::new(folder))),
            [folder, socket, port, database] => {
                Ok(Self::postgres(Path::new(folder), (Path::new(socket), port.parse()?), database.clone()))
            }
            _ => Err("a place is a folder, or a folder, a socket, a port and a database".into()),
        }
    }

    /// An Authority over the rows, made on first use.
    pub(crate) fn open(&self) -> Result<Authority, Failure> {
        let store = match &self.database {
            None => StoreConfig::Sqlite,
            Some((socket, port, database)) => StoreConfig::Postgres(Box::new(PostgresConfig {
                place: PostgresPlace::Socket(socket.clone(), *port),
                database: database.clone(),
                user: server::USER.to_owned(),
                password: None,
                tls: false,
                ca_file: None,
                connections: 4,
            })),
        };
        let data_dir = self.folder.clone();
        let config = AuthorityConfig { data_dir, key: KeySource::Passphrase, other_keys: Vec::new(), store };
        Ok(Authority::open(&config, &MasterKey::new(Secret::new([7; 32])), Arc::new(SystemClock))?)
    }

    /// Every row that is looked at, read past the Authority.
    pub(crate) fn rows(&self) -> Result<Vec<Row>, Failure> {
        self.rows_after("")
    }

    /// The rows as they would be after these statements, which are undone.
    pub(crate) fn rows_after(&self, harm: &str) -> Result<Vec<Row>, Failure> {
        match &self.database {
            None => self.rows_of_the_file(harm),
            Some((socket, port, database)) => rows_of_a_server(socket, *port, database, harm),
        }
    }

    fn rows_of_the_file(&self, harm: &str) -> Result<Vec<Row>, Failure> {
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

fn rows_of_a_server(socket: &Path, port: u16, database: &str, harm: &str) -> Result<Vec<Row>, Failure> {
    let mut psql = Command::new("psql");
    psql.args(["-qXAt", "-v", "ON_ERROR_STOP=1", "-F", "\u{1f}", "-R", "\u{1e}", "-U", server::USER, "-d", database]);
    psql.arg("-h").arg(socket).args(["-p", &port.to_string()]);
    let output = psql.arg("-c").arg(format!("BEGIN; {harm}; {EVERYTHING}; ROLLBACK")).output()?;
    if !output.status.success() {
        return Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let rows = text.trim_end_matches('\n').split('\u{1e}').filter(|row| !row.is_empty());
    rows.map(|row| {
        let parts: Vec<String> = row.split('\u{1f}').map(str::to_owned).collect();
        parts.try_into().map_err(|parts| format!("a row is not of four parts: {parts:?}").into())
    })
    .collect()
}
