//! The file that holds the chain's key.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::AuditError;
use super::chain::ChainKey;

/// Longer than the text of a key, so that a wrong file is not read whole.
const LONGEST: u64 = 128;

/// Reads the key: 32 bytes in base64, one line, in a file that its owner alone can read.
pub(super) fn read(path: &Path) -> Result<ChainKey, AuditError> {
    let failed = |source| AuditError::Key { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(AuditError::KeyMode { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(128));
    file.take(LONGEST).read_to_end(&mut text).map_err(failed)?;
    match STANDARD.decode(text.trim_ascii()).map(Zeroizing::new) {
        Ok(bytes) if bytes.len() == 32 => Ok(ChainKey::new(&bytes)),
        _ => Err(AuditError::KeyForm { path: path.to_owned() }),
    }
}

/// Reads the key, or makes it at the first start. Of two processes that make it at once, one wins
/// and both use that one.
pub(super) fn read_or_make(path: &Path) -> Result<ChainKey, AuditError> {
    match read(path) {
        Err(AuditError::Key { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|source| AuditError::Key { action: "make", path: path.to_owned(), source })?;
            read(path)
        }
        known => known,
    }
}

fn make(path: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|_| io::Error::other("no random bytes"))?;
    let text = Zeroizing::new(STANDARD.encode(*bytes) + "\n");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".key").permissions(fs::Permissions::from_mode(0o600)).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_read_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(matches!(read(&path), Err(AuditError::Key { .. })));
        let made = read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made.seed("x"), read_or_make(&path).unwrap().seed("x"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(AuditError::KeyMode { .. })), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in ["", "short", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33]), &"A".repeat(5000)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read_or_make(&path), Err(AuditError::KeyForm { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
