//! Reads the master key from where the configuration says, and derives a key for each purpose
//! from it. The master key itself seals nothing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use super::store::Sqlite;
use crate::config::{AuthorityConfig, KeySource};
use crate::model::Secret;
use crate::sign::{SealError, Sealer};

mod command;
mod descriptor;
mod file;
mod passphrase;

pub(super) use file::write_whole;

/// What reading a key needs of the process around it.
pub struct KeyReader<'a> {
    /// Finds an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Asks a person, without echo.
    pub ask: &'a dyn Fn(&str) -> io::Result<Secret>,
}

/// A master key.
#[derive(Debug)]
pub struct MasterKey {
    secret: Secret,
    made: Option<PathBuf>,
}

/// What keeps a master key from being read. It names the source, and never what was in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
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
    /// A folder, a socket.
    #[error("the key {path} is not a file")]
    NotAFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others can read or write it.
    #[error("the key file {path} has mode {mode:03o}, so others than its owner may use it: run chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a store, and no key to it.
    #[error("{missing} is missing, and the store {store} was sealed with it: put it back, or move the store away")]
    Gone {
        /// What is missing.
        missing: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// Not the text of a key.
    #[error(
        "{origin} does not hold a key: it must be 32 bytes in base64, as head -c 32 /dev/urandom | base64 makes them"
    )]
    Malformed {
        /// Where it was read.
        origin: String,
    },
    /// The variable.
    #[error("the environment variable {0}, which should hold the key of the store, is not set")]
    Unset(String),
    /// The descriptor.
    #[error("cannot read the key of the store from the file descriptor {number}")]
    Descriptor {
        /// Its number.
        number: i32,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The terminal.
    #[error("cannot ask for the passphrase of the store")]
    Ask(#[source] io::Error),
    /// A passphrase that is refused.
    #[error("the passphrase was not taken: {0}")]
    Passphrase(&'static str),
    /// The command.
    #[error("the key command {program:?} {why}")]
    Command {
        /// Its program.
        program: String,
        /// What happened.
        why: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Reads the master key. A file and the salt of a passphrase are made on first use, but never
/// while there is a store that another key sealed.
pub fn read_key(config: &AuthorityConfig, reader: &KeyReader<'_>) -> Result<MasterKey, KeyError> {
    let store = Sqlite::is_in(&config.data_dir).then(|| Sqlite::path_in(&config.data_dir));
    let mut made = None;
    let secret = match &config.key {
        KeySource::File(path) => {
            let (secret, is_new) = file::read_or_make(path, store.as_deref())?;
            made = is_new.then(|| path.clone());
            secret
        }
        KeySource::Env(name) => from_environment(name, reader)?,
        KeySource::Fd(number) => descriptor::read(*number)?,
        KeySource::Passphrase => passphrase::read(&config.data_dir, store.as_deref(), reader)?,
        KeySource::Command(argv) => command::read(argv)?,
    };
    Ok(MasterKey { secret, made })
}

/// Reads the keys beside the master key. None of them is made.
pub fn read_other_keys(config: &AuthorityConfig, reader: &KeyReader<'_>) -> Result<Vec<MasterKey>, KeyError> {
    let read = |source: &KeySource| match source {
        KeySource::File(path) => file::read(path),
        KeySource::Env(name) => from_environment(name, reader),
        KeySource::Fd(number) => descriptor::read(*number),
        KeySource::Passphrase => Err(KeyError::Passphrase("it can be the store's key alone")),
        KeySource::Command(argv) => command::read(argv),
    };
    config.other_keys.iter().map(|source| read(source).map(MasterKey::new)).collect()
}

fn from_environment(name: &str, reader: &KeyReader<'_>) -> Result<Secret, KeyError> {
    let text = (reader.environment)(name).ok_or_else(|| KeyError::Unset(name.to_owned()))?;
    let text = Zeroizing::new(text.into_encoded_bytes());
    parse(&text, || format!("the environment variable {name}"))
}

/// Reads the text of a key: 32 bytes in base64, blanks and line ends around it ignored.
fn parse(text: &[u8], origin: impl Fn() -> String) -> Result<Secret, KeyError> {
    let malformed = || KeyError::Malformed { origin: origin() };
    let mut bytes = Zeroizing::new([0; 48]);
    let length = BASE64_STANDARD.decode_slice(text.trim_ascii(), bytes.as_mut_slice()).map_err(|_| malformed())?;
    if length == 32 { Ok(Secret::new(&bytes[..32])) } else { Err(malformed()) }
}

fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Io { action, path: path.to_owned(), source }
}

/// What a key is for. No two purposes share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Wraps the data keys of connections.
    Vault,
    /// Seals the constant that tells whether a store is this key's.
    Check,
    /// Seals the key of the interception CA.
    Ca,
}

impl MasterKey {
    /// Takes the 32 bytes of a key, for one that was not read from a source.
    pub fn new(secret: Secret) -> Self {
        Self { secret, made: None }
    }

    /// The file that was made to hold it, if this was its first use.
    pub fn made(&self) -> Option<&Path> {
        self.made.as_deref()
    }

    /// Tells whether both are one key.
    pub fn is(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.secret.expose(), other.secret.expose()).is_ok()
    }

    /// Derives the key of a purpose: HKDF-SHA256 (RFC 5869), the purpose as its `info`.
    pub(super) fn derive(&self, purpose: Purpose) -> Result<Sealer, SealError> {
        let info: &[u8] = match purpose {
            Purpose::Vault => b"nexus-sidecar vault 1",
            Purpose::Check => b"nexus-sidecar check 1",
            Purpose::Ca => b"nexus-sidecar ca 1",
        };
        Sealer::new(&Secret::new(self.expand(info)?.as_slice()))
    }

    /// What tells this key from others, and nothing else about it: 16 hex digits.
    pub(super) fn id(&self) -> Result<String, SealError> {
        Ok(hex::encode(&self.expand(b"nexus-sidecar key id 1")?[..8]))
    }

    fn expand(&self, info: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"nexus-sidecar").extract(self.secret.expose());
        let mut key = Zeroizing::new([0; 32]);
        root.expand(&[info], hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(&mut *key))
            .map_err(|_| SealError::Key)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests;
