use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};

use super::ca::{CaError, DAY, Issuing, random};
use super::pem;
use crate::sign::Sealer;

/// A successor is published this long before the end.
const AHEAD: Duration = Duration::from_secs(10 * 24 * 3600);

/// The current CA of a folder, and its successor once it is time.
///
/// Everything happens under an exclusive lock. A CA is always written as `next.*` (key first,
/// then certificate) and then moved to `ca.*` (key first, then certificate): a certificate
/// without its key is the trace of a move that was cut off, and is finished.
pub(super) fn load_or_make(
    dir: &Path,
    sealer: &Sealer,
    now: SystemTime,
) -> Result<(Issuing, Option<Issuing>), CaError> {
    let folder = Folder::open(dir)?;
    folder.finish_move()?;
    let mut next = folder.read(&NEXT, sealer)?.filter(|one| one.lives(now + DAY));
    let current = match folder.read(&CURRENT, sealer)?.filter(|one| one.lives(now + DAY)) {
        Some(current) => current,
        None => {
            let heir = match next.take() {
                Some(heir) => heir,
                None => folder.publish(sealer, now)?,
            };
            folder.promote()?;
            heir
        }
    };
    if next.is_none() && !current.lives(now + AHEAD) {
        next = Some(folder.publish(sealer, now)?);
    }
    Ok((current, next))
}

/// Seals the keys of a folder anew, so that they need no other key than the sealer's own. Tells
/// how many there are.
pub(super) fn reseal(dir: &Path, sealer: &Sealer) -> Result<usize, CaError> {
    if !is_folder(dir)? {
        return Ok(0);
    }
    let folder = Folder::open(dir)?;
    folder.finish_move()?;
    let mut count = 0;
    for names in [&CURRENT, &NEXT] {
        if let Some(issuing) = folder.read(names, sealer)? {
            folder.write(names.key, &folder.sealed(names, &issuing, sealer)?)?;
            count += 1;
        }
    }
    folder.sync()?;
    Ok(count)
}

/// Tells whether the folder is there. Fails for what is not a folder, or cannot be looked at.
pub(super) fn is_folder(dir: &Path) -> Result<bool, CaError> {
    match fs::metadata(dir) {
        Ok(meta) if !meta.is_dir() => {
            let why = "it is not a folder: ca.dir names the folder that holds the CA's files".to_owned();
            Err(CaError::Unusable { path: dir.to_owned(), why })
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", dir)(error)),
    }
}

/// The two files of a CA.
struct Names {
    certificate: &'static str,
    key: &'static str,
}

const CURRENT: Names = Names { certificate: "ca.pem", key: "ca.key.sealed" };
const NEXT: Names = Names { certificate: "next.pem", key: "next.key.sealed" };

/// `ca.dir`, locked as long as this lives.
struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    fn open(dir: &Path) -> Result<Self, CaError> {
        if !is_folder(dir)? {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(failed("make the folder", dir))?;
        }
        let path = dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        lock.lock().map_err(failed("lock", &path))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    fn read(&self, names: &Names, sealer: &Sealer) -> Result<Option<Issuing>, CaError> {
        let path = self.dir.join(names.certificate);
        if !exists(&path)? {
            return Ok(None);
        }
        let unusable = |path: &Path, why: String| CaError::Unusable { path: path.to_owned(), why };
        let found = pem::certificates_of(&path).map_err(|why| unusable(&path, why))?;
        let [der] =
            <[_; 1]>::try_from(found).map_err(|_| unusable(&path, "it holds more than one certificate".to_owned()))?;
        let key_path = self.dir.join(names.key);
        let sealed = fs::read(&key_path).map_err(failed("read", &key_path))?;
        let private = sealer
            .open(&associated(&der), &sealed)
            .map_err(|error| unusable(&key_path, format!("{error} (it belongs to {})", path.display())))?;
        let restored = Issuing::restore(der, private.expose())
            .ok_or_else(|| unusable(&key_path, "its content is not a CA key of this version".to_owned()))?;
        Ok(Some(restored))
    }

    /// Makes a CA and writes it as `next.*`.
    fn publish(&self, sealer: &Sealer, now: SystemTime) -> Result<Issuing, CaError> {
        let made = Issuing::kept(now)?;
        let sealed = self.sealed(&NEXT, &made, sealer)?;
        // An older successor's certificate must not stand beside the new key.
        self.remove(NEXT.certificate)?;
        self.write(NEXT.key, &sealed)?;
        self.write(NEXT.certificate, made.pem().as_bytes())?;
        Ok(made)
    }

    fn sealed(&self, names: &Names, issuing: &Issuing, sealer: &Sealer) -> Result<Vec<u8>, CaError> {
        let mut nonce = [0; 12];
        random(&mut nonce)?;
        sealer.seal(nonce, &associated(issuing.der()), &issuing.private()).map_err(|error| CaError::Unusable {
            path: self.dir.join(names.key),
            why: format!("it cannot be sealed: {error}"),
        })
    }

    /// Moves `next.*` to `ca.*`.
    fn promote(&self) -> Result<(), CaError> {
        self.rename(NEXT.key, CURRENT.key)?;
        self.rename(NEXT.certificate, CURRENT.certificate)?;
        self.sync()
    }

    fn finish_move(&self) -> Result<(), CaError> {
        let certificate = exists(&self.dir.join(NEXT.certificate))?;
        if certificate && !exists(&self.dir.join(NEXT.key))? {
            self.rename(NEXT.certificate, CURRENT.certificate)?;
        }
        Ok(())
    }

    /// Writes a whole file of mode 0600 or none.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CaError> {
        let path = self.dir.join(name);
        let fail = failed("write", &path);
        let written = tempfile::NamedTempFile::new_in(&self.dir).and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map(drop).map_err(fail)?;
        self.sync()
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), CaError> {
        let path = self.dir.join(from);
        fs::rename(&path, self.dir.join(to)).map_err(failed("move", &path))
    }

    fn remove(&self, name: &str) -> Result<(), CaError> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), CaError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", &self.dir))
    }
}

/// Binds a key to its certificate: neither can be exchanged alone.
fn associated(der: &[u8]) -> Vec<u8> {
    [b"nexus-sidecar ca key v1\0".as_slice(), digest(&SHA256, der).as_ref()].concat()
}

fn exists(path: &Path) -> Result<bool, CaError> {
    path.try_exists().map_err(failed("look at", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CaError + use<> {
    let path = path.to_owned();
    move |source| CaError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
