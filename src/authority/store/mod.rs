//! The embedded Authority's file: one SQLite database that several processes share. It knows
//! rows and sealed bytes; what is sealed in them is the vault's.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

mod rows;
mod schema;
mod watcher;

pub use rows::State;
pub(super) use rows::{Row, meta, set_meta};

/// How long a process waits for another one's write.
const BUSY: Duration = Duration::from_secs(5);

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
    /// A file that others made.
    #[error("{path} is not a store of nexus-sidecar")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another file lies where ours was.
    #[error("the store {path} was removed or replaced while it was in use: start again")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A file of a later release.
    #[error("{path} is a store of version {found}, and this program knows version {known} at most: use a newer one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// A step to a newer version.
    #[error("cannot bring the store {path} to version {to}")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The step.
        to: u64,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite.
    #[error("cannot {doing} the store {path}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// What one of ours never writes.
    #[error("the connection {name} in the store {path} cannot be read: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The connection's name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

impl StoreError {
    fn database(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::Foreign { path: path.to_owned() },
            _ => Self::Database { doing, path: path.to_owned(), source },
        }
    }
}

/// An open store. A clone is another handle on the same connection to it.
#[derive(Clone)]
pub(super) struct Store {
    path: Arc<Path>,
    file: Identity,
    database: Arc<Mutex<Connection>>,
}

/// Device and inode: which file it is, whatever its name.
type Identity = (u64, u64);

impl Store {
    /// Where the store of a data folder is.
    pub(super) fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("store.db")
    }

    /// Tells whether a data folder has a store that somebody used.
    pub(super) fn is_in(data_dir: &Path) -> bool {
        fs::metadata(Self::path_in(data_dir)).is_ok_and(|about| about.len() > 0)
    }

    /// Opens the store of a data folder, made on first use: the folder with mode 0700, the file
    /// with mode 0600. The flag says whether it was made.
    pub(super) fn open(data_dir: &Path) -> Result<(Self, bool), StoreError> {
        let path = Self::path_in(data_dir);
        make_folder(data_dir)?;
        make_file(&path)?;
        let file = identity(&path);
        let file = file.map_err(|source| StoreError::Io { action: "look at", path: path.clone(), source })?;
        let mut database = connect(&path)?;
        let made = schema::bring_up(&mut database, &path, schema::MIGRATIONS)?;
        Ok((Self { path: path.into(), file, database: Arc::new(Mutex::new(database)) }, made))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.still_there()?;
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        work(&database).map_err(|source| StoreError::database("read", &self.path, source))
    }

    /// Writes in one transaction, which is undone unless `work` succeeds. The lock is taken
    /// before `work` reads, so that what it read still holds when it writes.
    pub(super) fn write<T, E>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.still_there()?;
        let failed = |source| StoreError::database("write", &self.path, source);
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// Whoever removes the store takes the credentials away, though we still hold the file open.
    fn still_there(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(StoreError::Replaced { path: self.path.to_path_buf() }),
        }
    }

    /// What went wrong with a statement of a `write`.
    pub(super) fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::database("write", &self.path, source)
    }

    /// Bumps a number within 100 ms of every change that any process commits, for as long as
    /// somebody holds the number.
    pub(super) fn watch(&self, moved: &Arc<tokio::sync::watch::Sender<u64>>) {
        watcher::start(&self.path, moved);
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|about| (about.dev(), about.ino()))
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::Io { action: "make the folder", path: folder.to_owned(), source })
}

fn make_file(path: &Path) -> Result<(), StoreError> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(about) if !about.is_file() => Err(StoreError::Foreign { path: path.to_owned() }),
            _ => Ok(()),
        },
        Err(source) => Err(StoreError::Io { action: "make", path: path.to_owned(), source }),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let database = Connection::open_with_flags(path, flags)?;
        database.busy_timeout(BUSY)?;
        database.pragma_update(None, "trusted_schema", false)?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.pragma_update(None, "foreign_keys", true)?;
        // Deleted credentials are sealed bytes; they are overwritten all the same.
        database.pragma_update(None, "secure_delete", true)?;
        Ok(database)
    };
    open().map_err(|source| StoreError::database("open", path, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folder_and_file_are_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        assert!(!Store::is_in(&data));
        let (store, made) = Store::open(&data).unwrap();
        assert!(made && Store::is_in(&data));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        for entry in fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{path:?}");
        }
        assert!(!Store::open(&data).unwrap().1);
        assert_eq!(store.path(), data.join("store.db"));
    }

    #[test]
    fn a_store_that_was_removed_or_replaced_is_not_used_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let read = || store.read(|database| meta(database, "x"));
        assert!(read().is_ok());
        fs::rename(store.path(), folder.path().join("away")).unwrap();
        assert!(matches!(read(), Err(StoreError::Replaced { .. })));
        fs::write(store.path(), "").unwrap();
        assert!(matches!(read(), Err(StoreError::Replaced { .. })));
        assert!(matches!(store.write(|_| Ok::<_, StoreError>(())), Err(StoreError::Replaced { .. })));
        fs::rename(folder.path().join("away"), store.path()).unwrap();
        assert!(read().is_ok());
    }

    #[test]
    fn what_is_no_store_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store.db")).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign { .. })));
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(Store::open(&file), Err(StoreError::Io { .. })));
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let text = "a text, and no database. ".repeat(100);
        fs::write(other.join("store.db"), &text).unwrap();
        assert!(matches!(Store::open(&other), Err(StoreError::Foreign { .. })));
        assert_eq!(fs::read_to_string(other.join("store.db")).unwrap(), text);
    }
}
