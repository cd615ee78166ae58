use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

use super::file::write_whole;
use super::{KeyError, KeyReader, cannot};
use crate::authority::vault::random;
use crate::model::Secret;

/// OWASP's figure for PBKDF2-HMAC-SHA256.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(599_999);

/// A new passphrase is at least this long, in characters: whoever has the file guesses offline.
const SHORTEST: usize = 12;

/// Asks for the passphrase, twice where there is no store yet, and derives the key from it under
/// the salt in `key.salt`, which is no secret and is made on first use.
pub(super) fn read(data_dir: &Path, store: Option<&Path>, reader: &KeyReader<'_>) -> Result<Secret, KeyError> {
    let path = data_dir.join("key.salt");
    let salt = match fs::read(&path) {
        Ok(text) => Some(read_salt(&text, &path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match store {
            None => None,
            Some(store) => return Err(KeyError::Gone { missing: path, store: store.to_owned() }),
        },
        Err(source) => return Err(KeyError::Io { action: "read the salt", path, source }),
    };
    let passphrase = match store {
        Some(_) => (reader.ask)("Passphrase of the store: ").map_err(KeyError::Ask)?,
        None => new_passphrase(reader)?,
    };
    // Made once there is a passphrase for it: a question that nobody answered leaves nothing behind.
    let salt = salt.map_or_else(|| make_salt(data_dir, &path), Ok)?;
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, passphrase.expose(), &mut *key);
    Ok(Secret::new(key.as_slice()))
}

fn new_passphrase(reader: &KeyReader<'_>) -> Result<Secret, KeyError> {
    let ask = |prompt| (reader.ask)(prompt).map_err(KeyError::Ask);
    let first = ask("New passphrase for the store: ")?;
    match first.expose_str() {
        None => return Err(KeyError::Passphrase("it is not UTF-8")),
        Some(text) if text.chars().count() < SHORTEST => {
            return Err(KeyError::Passphrase("a new one needs 12 characters or more"));
        }
        Some(_) => {}
    }
    let second = ask("The same again: ")?;
    if first.expose() == second.expose() { Ok(first) } else { Err(KeyError::Passphrase("the two differ")) }
}

fn read_salt(text: &[u8], path: &Path) -> Result<[u8; 16], KeyError> {
    let mut salt = [0; 16];
    hex::decode_to_slice(text.trim_ascii(), &mut salt).map_err(|_| KeyError::Io {
        action: "read the salt",
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "it must be 32 hex digits"),
    })?;
    Ok(salt)
}

fn make_salt(data_dir: &Path, path: &Path) -> Result<[u8; 16], KeyError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.map_err(cannot("make the folder", data_dir))?;
    let salt = *random::<16>().map_err(|_| KeyError::Random)?;
    match write_whole(data_dir, path, format!("{}\n", hex::encode(salt)).as_bytes()) {
        Ok(()) => Ok(salt),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_salt(&fs::read(path).map_err(cannot("read the salt", path))?, path)
        }
        Err(source) => Err(KeyError::Io { action: "make the salt", path: path.to_owned(), source }),
    }
}
