//! Owns secrets: store, vault and connections; lends them to sidecars.
//!
//! Everything that must survive is in the store, which processes of one machine share (a file)
//! or replicas of one service (a server); the master key is read once. What leaves this room is
//! what a strategy uses; listings show names, versions and hosts. One thread of each process
//! writes (`recorder`), and appends what it does to this process's chain (`chain`); another
//! follows what any process commits (`feed`). Everything that touches the store blocks. Go to
//! `vault` for what is sealed and how, to `store` for rows, to `key` for where keys come from,
//! and to `lend` for who gets what.

use std::sync::{Arc, OnceLock, mpsc};

use aws_lc_rs::rand;
use tokio::sync::oneshot;

use crate::config::AuthorityConfig;
use crate::dial::Caller;
use crate::lease::LeaseSource;
use crate::model::{Secret, Workspace};
use crate::sign::{SealError, Sealer};
use crate::telemetry::Clock;

mod access;
mod agents;
pub mod api;
mod background;
mod backup;
mod chain;
mod connections;
mod contract;
mod event;
mod feed;
#[cfg(test)]
mod for_tests;
mod freeze;
mod grants;
/// The issuer of the integration tests, which needs nothing else of theirs.
#[cfg(test)]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "written for another crate")]
#[path = "../../tests/it/support/issuer/mod.rs"]
mod issuer;
mod key;
mod keys;
mod lend;
mod life;
mod oauth2;
mod overview;
mod policies;
mod proof;
mod providers;
mod prune;
mod record;
mod recorder;
mod records;
mod refresh;
mod revoke;
mod rotate;
mod rows;
mod states;
mod store;
mod stream;
mod vault;

pub use access::{AccessError, ApiKey, Dialers, Scope};
pub use agents::ListedAgent;
pub use backup::{BackupError, Counts, Restored};
pub use connections::{Connection, ConnectionError, NewConnection};
pub use freeze::Freeze;
pub use grants::{Changed, Granted};
pub use key::{KeyError, KeyReader, MasterKey, read_key, read_other_keys};
pub use keys::{ListedKey, NewKey};
pub use life::NoSuchEdge;
pub use overview::Overview;
pub use policies::{PolicyError, PolicyVersion, check_policy};
pub use proof::{StoreHead, StoreReport};
pub use providers::{
    Definition, Difference, Plan, Profile, ProfileError, ProviderChange, ProviderError, Registered, SecretChange, Step,
};
pub use record::Actor;
pub use refresh::{Forced, RefreshError};
pub use revoke::{Ended, EndedAgent, Revocation, RevokeError, Revoked, Target};
pub use rotate::Rotated;
pub use rows::State;
pub use store::StoreError;

use self::oauth2::TokenClient;
use background::Background;
use chain::Chain;
use connections::seconds;
use feed::Feed;
use key::Purpose;
use lend::{Desk, EmbeddedSource};
use recorder::{Recorder, Work};
use refresh::Issuer;
use revoke::{Providers, Upstream};
use rows::{meta, set_meta};
use store::{Intent, Store, Transaction};
use vault::{MasterSeal, Vault, VaultError};

/// The Authority, as somebody in one workspace uses it. A clone is another handle on the same.
#[derive(Clone)]
pub struct Authority {
    desk: Arc<Desk>,
    ca: Arc<Sealer>,
    check: Arc<Sealer>,
    audit_key: Arc<Secret>,
    source: Arc<OnceLock<Arc<EmbeddedSource>>>,
    issuer: Option<Arc<dyn Issuer>>,
    upstream: Option<Arc<dyn Upstream>>,
    workers: Arc<OnceLock<Vec<Background>>>,
    made: bool,
    workspace: Workspace,
    actor: Actor,
}

/// What keeps the Authority from opening.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key is not the store's.
    #[error(
        "the store {name} was sealed under another key or passphrase than the one that was given: \
         put back the one that it was made with, or move the store away and add its connections again"
    )]
    OtherKey {
        /// The store.
        name: String,
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
        store::is_there(config)
    }

    /// Opens the store of a configuration, made on first use, with its master key.
    ///
    /// Fails for a store that another key sealed, that a newer release made, or that is no store.
    pub fn open(config: &AuthorityConfig, key: &MasterKey, clock: Arc<dyn Clock>) -> Result<Self, AuthorityError> {
        Self::open_also(config, key, &[], clock)
    }

    /// Opens it as `open` does, while `others` are master keys that some of it may still be, or
    /// already be, sealed under.
    pub fn open_also(
        config: &AuthorityConfig,
        key: &MasterKey,
        others: &[MasterKey],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        let (check, ca) = (sealer(key, others, Purpose::Check)?, sealer(key, others, Purpose::Ca)?);
        let (store, made) = store::open(config)?;
        check_key(&*store, &check)?;
        let seal = |key: &MasterKey| Ok(MasterSeal { id: key.id()?, wrap: key.derive(Purpose::Vault)? });
        let others = others.iter().map(seal).collect::<Result<_, SealError>>()?;
        let vault = Arc::new(Vault::new(seal(key)?, others));
        let audit_key = Arc::new(audit_key(&*store, &vault)?);
        let chain = Chain::new(instance()?, host(), Arc::clone(&audit_key));
        let feed = Feed::new();
        let told = Arc::clone(&feed);
        let recorder = Recorder::new(Arc::clone(&store), chain, Arc::clone(&clock), move || told.committed());
        let desk = Arc::new(Desk { store, recorder: Arc::new(recorder), feed, vault, clock });
        let (source, workers, workspace, actor) =
            (Arc::default(), Arc::default(), Workspace::local(), Actor::CommandLine);
        let (ca, check) = (Arc::new(ca), Arc::new(check));
        Ok(Self { desk, ca, check, audit_key, source, issuer: None, upstream: None, workers, made, workspace, actor })
    }

    /// The same Authority, used in another workspace.
    #[must_use]
    pub fn within(&self, workspace: Workspace) -> Self {
        Self { workspace, ..self.clone() }
    }

    /// The same Authority, used on somebody else's behalf.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// The same Authority, which renews and revokes tokens: it calls their endpoints through this.
    #[must_use]
    pub fn calling_through(self, caller: Caller) -> Self {
        let client = Arc::new(TokenClient::new(caller, Arc::clone(&self.desk.clock)));
        let upstream = Providers { desk: Arc::clone(&self.desk), client: Arc::clone(&client) };
        Self { issuer: Some(client), upstream: Some(Arc::new(upstream)), ..self }
    }

    /// Starts what the Authority does by itself, if nobody has: connections are renewed ahead of their
    /// end, and providers are told what was revoked. It goes on as long as a handle on it, or the source, is there.
    pub fn start_workers(&self) {
        self.workers.get_or_init(|| {
            let (renewing, telling) = (self.detached(), self.detached());
            let renew = self.issuer.clone().map(|issuer| |stop| refresh::work(renewing, issuer, stop));
            let tell = self.upstream.clone().map(|upstream| |stop| telling.tell_providers(upstream, stop));
            let renew = renew.and_then(|work| Background::start("refresh", work));
            renew.into_iter().chain(tell.and_then(|work| Background::start("revocation", work))).collect()
        });
    }

    /// A handle for what works in the background, and must not keep itself alive.
    fn detached(&self) -> Self {
        Self { source: Arc::default(), workers: Arc::default(), ..self.clone() }
    }

    /// What the store is called: a path, or a host and a database.
    pub fn store_name(&self) -> String {
        self.desk.store.name()
    }

    /// Tells whether this was the store's first use.
    pub fn made(&self) -> bool {
        self.made
    }

    /// Seals the key of the interception CA. It shares nothing with the vault's key.
    pub fn ca_sealer(&self) -> &Sealer {
        &self.ca
    }

    /// Lends from the store; changes by other processes are followed within a second. Whoever has the
    /// source renews its connections, too.
    pub fn source(&self) -> Arc<dyn LeaseSource> {
        let source = self.source.get_or_init(|| {
            self.desk.feed.follow(&self.desk.store);
            self.start_workers();
            Arc::new(EmbeddedSource::new(Arc::clone(&self.desk), self.detached(), Arc::clone(&self.workers)))
        });
        Arc::<EmbeddedSource>::clone(source)
    }

    /// Makes a change, and answers once it is durable. It blocks.
    fn write<T, E>(&self, job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = mpsc::sync_channel(1);
        let whose = (self.workspace.clone(), self.actor.clone());
        self.desk.recorder.write(whose, job, move |result| {
            // Whoever no longer waits has gone; the change stands.
            let _ = reply.send(result);
        });
        answer.recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// The same for who must not block.
    async fn write_async<T, E>(&self, job: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let whose = (self.workspace.clone(), self.actor.clone());
        self.desk.recorder.write(whose, job, move |result| {
            let _ = reply.send(result);
        });
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Reads at one moment, or close to it: PostgreSQL sees what is committed between two
    /// statements. It blocks.
    fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>) -> Result<T, E> {
        let mut tx = self.desk.store.begin(Intent::Read)?;
        work(&mut *tx)
    }

    /// Tells whether the store can be read.
    pub(in crate::authority) fn check(&self) -> Result<(), StoreError> {
        self.read(|tx| meta(tx, KEY_CHECK)).map(drop)
    }

    fn now(&self) -> i64 {
        seconds(self.desk.clock.wall())
    }
}

/// What the store keeps under these names: the constant that tells whose key it is, and the key of
/// the chains of the audit.
const KEY_CHECK: &str = "key_check";
const AUDIT_KEY: &str = "audit_key";

/// Seals under one master key, and opens under the others too.
fn sealer(key: &MasterKey, others: &[MasterKey], purpose: Purpose) -> Result<Sealer, SealError> {
    let others = others.iter().map(|other| other.derive(purpose)).collect::<Result<Vec<_>, _>>()?;
    Ok(key.derive(purpose)?.opening_also(others))
}

/// Seals the key of the interception CA where there is no store here to open.
pub fn ca_sealer(key: &MasterKey, others: &[MasterKey]) -> Result<Sealer, AuthorityError> {
    Ok(sealer(key, others, Purpose::Ca)?)
}

/// Compares the key with the one that the store was made with, by a constant that was sealed
/// under it.
fn check_key(store: &dyn Store, check: &Sealer) -> Result<(), AuthorityError> {
    let nonce = vault::random().map_err(|_| AuthorityError::Random)?;
    let fresh = check.seal(*nonce, KEY_CHECK.as_bytes(), b"")?;
    // Under the write lock: of two first users with two keys, one finds the other's constant.
    let found = once(store, KEY_CHECK, fresh)?;
    let other = |_| AuthorityError::OtherKey { name: store.name() };
    check.open(KEY_CHECK.as_bytes(), &found).map(drop).map_err(other)
}

/// The key of the chains of the audit: made by the store's first user, sealed like credentials.
fn audit_key(store: &dyn Store, vault: &Vault) -> Result<Secret, AuthorityError> {
    let random = |_: VaultError| AuthorityError::Random;
    let fresh = Secret::new(vault::random::<32>().map_err(random)?.as_slice());
    let fresh = vault.seal_secret(&[AUDIT_KEY], &fresh).map_err(random)?;
    let found = once(store, AUDIT_KEY, fresh.to_bytes())?;
    let damaged = || StoreError::damaged("key", AUDIT_KEY, VaultError::Open);
    let found = vault::Sealed::from_bytes(&found).ok_or_else(damaged)?;
    vault.open_secret(&[AUDIT_KEY], &found).map_err(|_| damaged().into())
}

/// What the store says by this name; `fresh`, if it says nothing yet.
fn once(store: &dyn Store, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if let Some(found) = meta(&mut *store.begin(Intent::Read)?, name)? {
        return Ok(found);
    }
    let mut tx = store.begin(Intent::Write)?;
    rows::lock_meta(&mut *tx)?;
    if let Some(found) = meta(&mut *tx, name)? {
        return Ok(found);
    }
    set_meta(&mut *tx, name, &fresh)?;
    tx.commit()?;
    Ok(fresh)
}

/// A name for this process in the audit.
fn instance() -> Result<String, AuthorityError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| AuthorityError::Random)?;
    Ok(hex::encode(bytes))
}

/// What the machine calls itself.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", name.trim(), std::process::id())
}

#[cfg(test)]
mod tests;
