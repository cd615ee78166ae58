//! One SQLite database that several processes share.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, ToSql, params_from_iter};

use super::{Hints, Intent, Row, Store, StoreError, Transaction, Value, schema, steps, watcher};

/// How long a process waits for another one's write.
const BUSY: Duration = Duration::from_secs(5);

/// An open file.
pub(in crate::authority) struct Sqlite {
    path: PathBuf,
    file: Identity,
    writer: Mutex<Connection>,
    /// Another connection: who reads does not wait for a write to reach the disk.
    reader: Mutex<Connection>,
}

/// Device and inode: which file it is, whatever its name.
pub(super) type Identity = (u64, u64);

impl Sqlite {
    /// Where the store of a data folder is.
    pub(in crate::authority) fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("store.db")
    }

    /// Tells whether a data folder has a store that somebody used.
    pub(in crate::authority) fn is_in(data_dir: &Path) -> bool {
        fs::metadata(Self::path_in(data_dir)).is_ok_and(|about| about.len() > 0)
    }

    /// Opens the store of a data folder, made on first use: the folder with mode 0700, the file
    /// with mode 0600. The flag says whether it was made.
    pub(in crate::authority) fn open(data_dir: &Path) -> Result<(Self, bool), StoreError> {
        let path = Self::path_in(data_dir);
        make_folder(data_dir)?;
        make_file(&path)?;
        let file = identity(&path);
        let file = file.map_err(|source| StoreError::Io { action: "look at", path: path.clone(), source })?;
        let mut writer = connect(&path)?;
        let made = schema::bring_up(&mut writer, &path, steps::STEPS)?;
        let reader = Mutex::new(connect(&path)?);
        Ok((Self { path, file, writer: Mutex::new(writer), reader }, made))
    }

    /// The file.
    #[cfg(test)]
    pub(in crate::authority) fn path(&self) -> &Path {
        &self.path
    }

    /// Whoever removes the store takes the credentials away, though we still hold the file open.
    fn still_there(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(StoreError::Replaced { name: self.name() }),
        }
    }
}

impl Store for Sqlite {
    fn begin(&self, intent: Intent) -> Result<Box<dyn Transaction + '_>, StoreError> {
        self.still_there()?;
        let (database, sql) = match intent {
            Intent::Read => (&self.reader, "BEGIN"),
            Intent::Write => (&self.writer, "BEGIN IMMEDIATE"),
        };
        let database = database.lock().unwrap_or_else(PoisonError::into_inner);
        database.execute_batch(sql).map_err(|source| failed("read", &self.path, source))?;
        Ok(Box::new(Open { store: self, database, intent, ended: false }))
    }

    fn watch(&self, hints: Weak<Hints>) {
        watcher::start(&self.path, hints);
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

struct Open<'a> {
    store: &'a Sqlite,
    database: MutexGuard<'a, Connection>,
    intent: Intent,
    ended: bool,
}

impl Open<'_> {
    fn failed(&self, source: rusqlite::Error) -> StoreError {
        let doing = if self.intent == Intent::Read { "read" } else { "write" };
        failed(doing, &self.store.path, source)
    }

    fn rows(&self, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.database.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Row::new((0..columns).map(|column| row.get_ref(column)?.try_into()).collect::<Result<_, _>>()?));
        }
        Ok(found)
    }
}

impl Transaction for Open<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.rows(&numbered(sql), values).map_err(|source| self.failed(source))
    }

    fn each(&mut self, sql: &'static str, lists: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let sql = numbered(sql);
        let rows = lists.iter().map(|values| self.rows(&sql, values)).collect::<Result<_, _>>();
        rows.map_err(|source| self.failed(source))
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
        let statement = self.database.prepare_cached(&numbered(sql));
        let changed = statement.and_then(|mut statement| statement.execute(params_from_iter(values)));
        changed.map(|rows| rows as u64).map_err(|source| self.failed(source))
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.database.execute_batch("COMMIT").map_err(|source| self.failed(source))?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // A commit that failed may have ended the transaction already.
        if !self.ended && !self.database.is_autocommit() {
            let _ = self.database.execute_batch("ROLLBACK");
        }
    }
}

/// SQLite numbers `$1` by its place in the text, and `?1` by its digits: the latter is meant. It
/// locks no rows, since whoever may write is alone.
fn numbered(sql: &str) -> String {
    let sql = sql.replace(" FOR UPDATE SKIP LOCKED", "");
    sql.strip_suffix(" FOR UPDATE").unwrap_or(&sql).replace('$', "?")
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => rusqlite::types::Null.into(),
            Self::Int(value) => (*value).into(),
            // PostgreSQL keeps no such text, and a store of one kind has to fit into the other.
            Self::Text(value) if value.contains('\0') => {
                return Err(rusqlite::Error::ToSqlConversionFailure("a text with NUL in it".into()));
            }
            Self::Text(value) => value.as_str().into(),
            Self::Bytes(value) => value.as_slice().into(),
        })
    }
}

impl TryFrom<ValueRef<'_>> for Value {
    type Error = rusqlite::Error;

    fn try_from(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Int(value),
            ValueRef::Text(value) => Self::Text(std::str::from_utf8(value)?.to_owned()),
            ValueRef::Blob(value) => Self::Bytes(value.to_owned()),
            ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
        })
    }
}

pub(super) fn failed(doing: &'static str, path: &Path, source: rusqlite::Error) -> StoreError {
    let name = path.display().to_string();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Foreign { name },
        Some(rusqlite::ErrorCode::ConstraintViolation) if is_taken(&source) => StoreError::Taken { name },
        _ => StoreError::Database { doing, name, source: Box::<dyn Error + Send + Sync>::from(source) },
    }
}

fn is_taken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE))
}

pub(super) fn identity(path: &Path) -> io::Result<Identity> {
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
            Ok(about) if !about.is_file() => Err(StoreError::Foreign { name: path.display().to_string() }),
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
        database.set_prepared_statement_cache_capacity(64);
        Ok(database)
    };
    open().map_err(|source| failed("open", path, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(store: &Sqlite) -> Result<(), StoreError> {
        store.begin(Intent::Read)?.query("SELECT name FROM meta WHERE name = $1", &["x".into()]).map(drop)
    }

    #[test]
    fn folder_and_file_are_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        assert!(!Sqlite::is_in(&data));
        let (store, made) = Sqlite::open(&data).unwrap();
        assert!(made && Sqlite::is_in(&data));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        for entry in fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{path:?}");
        }
        assert!(!Sqlite::open(&data).unwrap().1);
        assert_eq!(store.path(), data.join("store.db"));
    }

    #[test]
    fn a_store_that_was_removed_or_replaced_is_not_used_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Sqlite::open(folder.path()).unwrap();
        assert!(read(&store).is_ok());
        fs::rename(store.path(), folder.path().join("away")).unwrap();
        assert!(matches!(read(&store), Err(StoreError::Replaced { .. })));
        fs::write(store.path(), "").unwrap();
        assert!(matches!(read(&store), Err(StoreError::Replaced { .. })));
        assert!(matches!(store.begin(Intent::Write).err(), Some(StoreError::Replaced { .. })));
        fs::rename(folder.path().join("away"), store.path()).unwrap();
        assert!(read(&store).is_ok());
    }

    #[test]
    fn what_is_no_store_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store.db")).unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Foreign { .. })));
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(Sqlite::open(&file), Err(StoreError::Io { .. })));
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let text = "a text, and no database. ".repeat(100);
        fs::write(other.join("store.db"), &text).unwrap();
        assert!(matches!(Sqlite::open(&other), Err(StoreError::Foreign { .. })));
        assert_eq!(fs::read_to_string(other.join("store.db")).unwrap(), text);
    }
}
