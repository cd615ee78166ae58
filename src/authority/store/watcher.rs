use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::Hints;
use super::sqlite::{Identity, identity};

/// Between two looks: what one process changes, every other follows within a second.
const PERIOD: Duration = Duration::from_millis(100);

/// Starts the thread that looks. It asks for the file's identity and reads one number of SQLite's
/// shared memory each time, and ends once nobody takes hints.
pub(super) fn start(path: &Path, hints: Weak<Hints>) {
    let path = path.to_owned();
    let started = thread::Builder::new().name("store-watcher".into()).spawn(move || look(&path, &hints));
    if let Err(error) = started {
        // Without the thread, whoever waits for hints looks for itself each second.
        tracing::error!(%error, "cannot watch the store: changes by other processes are seen late");
    }
}

fn look(path: &PathBuf, hints: &Weak<Hints>) {
    let mut watcher = Watcher { path, database: None, seen: None, silent: false };
    while let Some(hints) = hints.upgrade() {
        if watcher.has_moved() {
            hints.give();
        }
        drop(hints);
        thread::sleep(PERIOD);
    }
}

struct Watcher<'a> {
    path: &'a Path,
    database: Option<Connection>,
    seen: Option<(Identity, i64)>,
    silent: bool,
}

impl Watcher<'_> {
    /// Tells whether the file may have changed. A file that cannot be read counts as changed:
    /// then nothing that was cached is used, and each request learns what is wrong.
    fn has_moved(&mut self) -> bool {
        match self.state() {
            Ok(state) => {
                self.silent = false;
                self.seen.replace(state) != Some(state)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.silent, true) {
                    tracing::warn!(%error, path = %self.path.display(), "cannot look at the store");
                }
                (self.database, self.seen) = (None, None);
                true
            }
        }
    }

    /// Which file it is, and SQLite's `data_version`, which differs after a commit by any other
    /// connection.
    fn state(&mut self) -> Result<(Identity, i64), LookError> {
        let file = identity(self.path)?;
        let database = match self.database.take() {
            Some(database) => database,
            None => Connection::open_with_flags(self.path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        };
        let number = database.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        self.database = Some(database);
        Ok((file, number))
    }
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}
