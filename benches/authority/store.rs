//! The two kinds of store, as their operators configure them.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::server::{Server, USER};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Lease calls a second that are to be reached.
    pub(crate) const fn bar(self) -> f64 {
        match self {
            Self::Sqlite => 3000.0,
            Self::Postgres => 2000.0,
        }
    }
}

/// A store of its own.
pub(crate) struct Store {
    folder: tempfile::TempDir,
    /// A server of its own, and the database in it.
    server: Option<(Server, String)>,
}

impl Store {
    /// An empty one; none where there is no such server.
    pub(crate) fn new(kind: Kind) -> Result<Option<Self>, Failure> {
        let folder = tempfile::tempdir()?;
        if kind == Kind::Sqlite {
            return Ok(Some(Self { folder, server: None }));
        }
        let Some(server) = Server::start() else { return Ok(None) };
        let database = server.database();
        Ok(Some(Self { folder, server: Some((server, database)) }))
    }

    /// The home of the Authority.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// What the configuration says of it as `authority.store`.
    pub(crate) fn setting(&self) -> String {
        match &self.server {
            None => "sqlite".to_owned(),
            Some((server, database)) => {
                let socket = server.place().0.display();
                format!("{{ postgres: {{ host: '{socket}', database: {database}, user: {USER} }} }}")
            }
        }
    }

    /// Runs statements past the Authority.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), Failure> {
        match &self.server {
            Some((server, database)) => psql(server, database, sql).map(drop),
            None => Ok(self.file()?.execute_batch(sql)?),
        }
    }

    /// The number that a query answers, asked past the Authority.
    pub(crate) fn number(&self, sql: &str) -> Result<u64, Failure> {
        match &self.server {
            Some((server, database)) => Ok(psql(server, database, sql)?.trim().parse()?),
            None => Ok(self.file()?.query_row(sql, [], |row| row.get::<_, i64>(0))?.try_into()?),
        }
    }

    fn file(&self) -> Result<rusqlite::Connection, Failure> {
        let database = rusqlite::Connection::open(self.home().join(".local/share/nexus-sidecar/store.db"))?;
        database.busy_timeout(std::time::Duration::from_secs(20))?;
        Ok(database)
    }
}

fn psql(server: &Server, database: &str, sql: &str) -> Result<String, Failure> {
    let (socket, port) = server.place();
    let mut psql = Command::new("psql");
    psql.args(["-qXAt", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-p", &port.to_string(), "-c", sql]);
    let output = psql.arg("-h").arg(socket).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
