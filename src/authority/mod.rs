//! Owns secrets: store, vault and connections; lends them to the sidecar.
//!
//! The embedded Authority is a file that several processes share, and a master key that is read
//! once. What leaves this room is what a strategy uses, through a [`LeaseSource`]; listings show
//! names, versions and hosts. Go to `vault` for what is sealed and how, to `store` for the file,
//! to `key` for where keys come from, and to `connections` for the checks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::config::AuthorityConfig;
use crate::lease::LeaseSource;
use crate::sign::{SealError, Sealer};
use crate::telemetry::Clock;

mod connections;
mod contract;
mod key;
mod lend;
mod store;
mod vault;

pub use connections::{Connection, ConnectionError, NewConnection};
pub use key::{KeyError, KeyReader, MasterKey, read_key};
pub use store::{State, StoreError};

use key::Purpose;
use lend::EmbeddedSource;
use store::Store;
use vault::Vault;

/// The embedded Authority.
pub struct Authority {
    store: Store,
    vault: Arc<Vault>,
    ca: Sealer,
    clock: Arc<dyn Clock>,
    moved: Arc<watch::Sender<u64>>,
    source: OnceLock<Arc<EmbeddedSource>>,
    made: bool,
}

/// What keeps the Authority from opening.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key is not the store's.
    #[error(
        "the store {path} was sealed under another key or passphrase than the one that was given: \
         put back the one that it was made with, or move the store away and add its connections again"
    )]
    OtherKey {
        /// The store.
        path: PathBuf,
    },
    /// The key is no key, or the system gives no random bytes.
    #[error("cannot use the master key")]
    Key(#[from] SealError),
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Authority {
    /// Tells whether there is a store. `open` makes one; whoever only looks should ask first.
    pub fn has_store(config: &AuthorityConfig) -> bool {
        Store::is_in(&config.data_dir)
    }

    /// Opens the store of a configuration, made on first use, with its master key.
    ///
    /// Fails for a store that another key sealed, that a newer release made, or that is no store.
    pub fn open(config: &AuthorityConfig, key: &MasterKey, clock: Arc<dyn Clock>) -> Result<Self, AuthorityError> {
        let (vault, check, ca) = (key.derive(Purpose::Vault)?, key.derive(Purpose::Check)?, key.derive(Purpose::Ca)?);
        let (store, made) = Store::open(&config.data_dir)?;
        check_key(&store, &check)?;
        let moved = Arc::new(watch::Sender::new(0));
        let vault = Arc::new(Vault::new(vault));
        Ok(Self { store, vault, ca, clock, moved, source: OnceLock::new(), made })
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Tells whether this was the store's first use.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Seals the key of the interception CA. It shares nothing with the vault's key.
    pub fn ca_sealer(&self) -> &Sealer {
        &self.ca
    }

    /// Lends from the store; changes by other processes are followed within a second.
    pub fn source(&self) -> Arc<dyn LeaseSource> {
        let source = self.source.get_or_init(|| {
            self.store.watch(&self.moved);
            let (store, vault) = (self.store.clone(), Arc::clone(&self.vault));
            Arc::new(EmbeddedSource::new(store, vault, Arc::clone(&self.clock), Arc::clone(&self.moved)))
        });
        Arc::<EmbeddedSource>::clone(source)
    }
}

/// Compares the key with the one that the store was made with, by a constant that was sealed
/// under it.
fn check_key(store: &Store, check: &Sealer) -> Result<(), AuthorityError> {
    const NAME: &str = "key_check";
    let other = || AuthorityError::OtherKey { path: store.path().to_owned() };
    let nonce = vault::random().map_err(|_| AuthorityError::Random)?;
    let fresh = check.seal(*nonce, NAME.as_bytes(), b"")?;
    // Under the write lock: of two first users with two keys, one finds the other's constant.
    let found = match store.read(|database| store::meta(database, NAME))? {
        Some(found) => found,
        None => store.write(|database| {
            let failed = |source| store.failed(source);
            if let Some(found) = store::meta(database, NAME).map_err(failed)? {
                return Ok(found);
            }
            store::set_meta(database, NAME, &fresh).map_err(failed)?;
            Ok::<_, StoreError>(fresh)
        })?,
    };
    check.open(NAME.as_bytes(), &found).map(drop).map_err(|_| other())
}

#[cfg(test)]
mod tests;
