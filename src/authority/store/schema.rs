//! The file's identity and its version, and how one version becomes the next.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use super::sqlite::failed;
use super::steps::Step;

/// "nexs" in ASCII: what `file` and we recognise a store by.
const APPLICATION_ID: i64 = 0x6e65_7873;

/// Brings a store to the newest version that `migrations` know; a copy of an older one is put
/// beside it first. Tells whether the store was new.
pub(super) fn bring_up(database: &mut Connection, path: &Path, migrations: &[Step]) -> Result<bool, StoreError> {
    let known = migrations.len() as u64;
    let newer = |found| StoreError::Newer { name: path.display().to_string(), found, known };
    match version(database, path)? {
        found if found == known => return Ok(false),
        found if found > known => return Err(newer(found)),
        _ => {}
    }
    // The write lock comes first: of two processes that start at once, one migrates and the
    // other then finds nothing to do.
    let doing = "bring up to date";
    let step = database
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|source| failed(doing, path, source))?;
    let found = version(&step, path)?;
    if found > known {
        return Err(newer(found));
    }
    if found > 0 && found < known {
        back_up(path, found)?;
    }
    for (index, sql) in (0_u64..).zip(migrations).skip_while(|(index, _)| *index < found) {
        let done = step.execute_batch(sql.sqlite).and_then(|()| step.execute_batch(sql.both));
        done.map_err(|source| StoreError::Migrate {
            name: path.display().to_string(),
            to: index + 1,
            source: source.into(),
        })?;
    }
    let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};");
    step.execute_batch(&marks).map_err(|source| failed(doing, path, source))?;
    step.commit().map_err(|source| failed(doing, path, source))?;
    Ok(found == 0)
}

/// The version of a store of ours; 0 for an empty file.
fn version(database: &Connection, path: &Path) -> Result<u64, StoreError> {
    let number = |sql: &str| {
        let read = database.query_row(sql, [], |row| row.get::<_, i64>(0));
        read.map_err(|source| failed("read", path, source))
    };
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, 1.., _) => Ok(version.unsigned_abs()),
        _ => Err(StoreError::Foreign { name: path.display().to_string() }),
    }
}

/// Copies the store as it is now into `store.db.backup-v<N>`, mode 0600.
fn back_up(path: &Path, version: u64) -> Result<PathBuf, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".backup-v{version}"));
    let backup = PathBuf::from(name);
    let fresh = backup.with_extension(format!("backup-v{version}.new"));
    let io = |action, source| StoreError::Io { action, path: fresh.clone(), source };
    // SQLite fills an empty file that is there, and would make one with a wider mode itself.
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    file.map_err(|source| io("make", source))?;
    // A second connection reads what is committed while ours holds the write lock.
    let copied = Connection::open(path).and_then(|reader| reader.execute("VACUUM INTO ?1", [fresh.to_string_lossy()]));
    copied.map_err(|source| failed("back up", path, source))?;
    fs::rename(&fresh, &backup).map_err(|source| io("rename", source))?;
    Ok(backup)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(path: &Path) -> Connection {
        let database = Connection::open(path).unwrap();
        database.pragma_update(None, "journal_mode", "wal").unwrap();
        database
    }

    #[test]
    fn an_older_store_is_copied_before_it_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let one = || Step::alike("CREATE TABLE a (x INTEGER)");
        assert!(bring_up(&mut open(&path), &path, &[one()]).unwrap());
        open(&path).execute("INSERT INTO a VALUES (7)", []).unwrap();
        let two = || Step::alike("ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 8");
        assert!(!bring_up(&mut open(&path), &path, &[one(), two()]).unwrap());
        let after: (i64, i64) =
            open(&path).query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(after, (7, 8));
        let backup = folder.path().join("store.db.backup-v1");
        assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
        let copy = Connection::open(&backup).unwrap();
        assert_eq!(version(&copy, &backup).unwrap(), 1);
        assert_eq!(copy.query_row("SELECT x FROM a", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
        assert!(copy.query_row("SELECT y FROM a", [], |row| row.get::<_, i64>(0)).is_err());
        assert!(!bring_up(&mut open(&path), &path, &[one(), two()]).unwrap());
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let one = || Step::alike("CREATE TABLE a (x INTEGER)");
        bring_up(&mut open(&path), &path, &[one()]).unwrap();
        let broken = bring_up(&mut open(&path), &path, &[one(), Step::alike("CREATE TABLE b (x INTEGER); NOT SQL")]);
        assert!(matches!(broken, Err(StoreError::Migrate { to: 2, .. })));
        let database = open(&path);
        assert_eq!(version(&database, &path).unwrap(), 1);
        assert!(database.prepare("SELECT x FROM b").is_err());
    }

    #[test]
    fn a_newer_store_and_somebody_elses_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let steps = ["CREATE TABLE a (x INTEGER)", "CREATE TABLE b (x INTEGER)"].map(Step::alike);
        bring_up(&mut open(&path), &path, &steps).unwrap();
        let error = bring_up(&mut open(&path), &path, &steps[..1]).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("version 1"), "{error}");
        let other = folder.path().join("other.db");
        open(&other).execute_batch("CREATE TABLE notes (x INTEGER)").unwrap();
        assert!(matches!(bring_up(&mut open(&other), &other, &steps), Err(StoreError::Foreign { .. })));
        let text = folder.path().join("text.db");
        fs::write(&text, "not a database, but a text that is long enough to be read as a header".repeat(10)).unwrap();
        assert!(matches!(
            bring_up(&mut Connection::open(&text).unwrap(), &text, &steps),
            Err(StoreError::Foreign { .. })
        ));
    }
}
