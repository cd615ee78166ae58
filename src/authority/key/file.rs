use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use super::{KeyError, cannot, parse};
use crate::authority::vault::random;
use crate::model::Secret;

/// More than a key's text ever is; a larger file is no key.
const LONGEST: u64 = 4096;

/// Reads a key file, or makes one. The flag says whether it was made.
pub(super) fn read_or_make(path: &Path, store: Option<&Path>) -> Result<(Secret, bool), KeyError> {
    match (read(path), store) {
        (Err(KeyError::Io { source, .. }), None) if source.kind() == io::ErrorKind::NotFound => make(path),
        (Err(KeyError::Io { source, .. }), Some(store)) if source.kind() == io::ErrorKind::NotFound => {
            Err(KeyError::Gone { missing: path.to_owned(), store: store.to_owned() })
        }
        (read, _) => read.map(|secret| (secret, false)),
    }
}

/// Reads a key file.
pub(super) fn read(path: &Path) -> Result<Secret, KeyError> {
    let file = File::open(path).map_err(cannot("open the key file", path))?;
    // Asked of the open file, so that nobody can exchange it in between.
    let about = file.metadata().map_err(cannot("look at the key file", path))?;
    if !about.is_file() {
        return Err(KeyError::NotAFile { path: path.to_owned() });
    }
    let mode = about.mode() & 0o777;
    if exposed(mode, about.uid(), about.gid()) {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_end(&mut text).map_err(cannot("read the key file", path))?;
    parse(&text, || format!("the key file {}", path.display()))
}

/// Whether others than its owner may use it. A credential of systemd is as good as private: root's,
/// and the service is let in by an access list, which shows as the right of root's group to read.
fn exposed(mode: u32, owner: u32, group: u32) -> bool {
    mode & 0o077 != 0 && (mode, owner, group) != (0o440, 0, 0)
}

/// Makes a key file, mode 0600, whole or not at all. Where another process was faster, its key
/// is the key.
fn make(path: &Path) -> Result<(Secret, bool), KeyError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(cannot("make the folder", folder))?;
    let key = random::<32>().map_err(|_| KeyError::Random)?;
    let mut text = Zeroizing::new([b'\n'; 45]);
    BASE64_STANDARD.encode_slice(key.as_slice(), &mut text[..44]).map_err(|_| KeyError::Random)?;
    match write_whole(folder, path, &*text) {
        Ok(()) => Ok((Secret::new(key.as_slice()), true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path).map(|secret| (secret, false)),
        Err(source) => Err(KeyError::Io { action: "make the key file", path: path.to_owned(), source }),
    }
}

/// Writes a file under another name and links it in, unless its own name is taken.
pub(in crate::authority) fn write_whole(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    // `tempfile` makes files of mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_or_a_credential_of_systemd() {
        for (mode, owner, group) in [(0o600, 1000, 1000), (0o400, 1000, 1000), (0o440, 0, 0), (0o600, 0, 0)] {
            assert!(!exposed(mode, owner, group), "{mode:o} {owner} {group}");
        }
        for (mode, owner, group) in
            [(0o440, 1000, 1000), (0o440, 0, 1000), (0o440, 1000, 0), (0o640, 0, 0), (0o444, 0, 0), (0o604, 0, 0)]
        {
            assert!(exposed(mode, owner, group), "{mode:o} {owner} {group}");
        }
    }
}
