//! Connections whose contract stands in the configuration: a source gives their credentials alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::source::{Borrowed, Followed};
use super::{Ask, Asked, LeaseSource, LendError, Loan};
use crate::model::{Bindings, ConnectionName, Fields, Scope};

/// What gives credentials, and knows neither hosts nor strategies.
pub trait Fetch: Send + Sync + 'static {
    /// What it has to know of a connection: where it is, as the configuration says.
    type Place: Send + Sync + 'static;

    /// Fetches the credentials of a connection. Asked again, it gives those of that moment.
    fn fetch<'a>(&'a self, place: &'a Self::Place, ask: &'a Ask) -> Asked<'a, Fetched>;

    /// Whether it heeds what a rule narrows a lease to. One that does not is never asked for a lease
    /// that is narrowed.
    fn narrows(&self) -> bool {
        false
    }

    /// Tells what of a connection may be different from now on: moves when something did, for a
    /// source that notices by itself.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Notices what moves [`Fetch::changes`], for as long as it is polled.
    fn follow(&self) -> Followed<'_> {
        Box::pin(std::future::ready(()))
    }

    /// Gives back what it holds elsewhere, at an orderly end.
    fn close(&self) -> Followed<'_> {
        Box::pin(std::future::ready(()))
    }
}

/// Credentials as they were fetched.
#[derive(Debug)]
pub struct Fetched {
    /// By the names that strategies say.
    pub fields: Fields,
    /// When they end, by the wall clock.
    pub expires_at: Option<SystemTime>,
    /// Whether fetching again can give others: true of what is minted, false of what is kept.
    pub refreshable: bool,
}

/// A source of connections that are configured.
pub struct Configured<F: Fetch> {
    name: Arc<str>,
    fetch: F,
    connections: BTreeMap<ConnectionName, (Bindings, F::Place)>,
    /// By agent, connection and scope: as many as rules name.
    versions: Mutex<BTreeMap<Question, Version>>,
    unmoved: watch::Sender<u64>,
}

/// On whose behalf, which connection, and what it is narrowed to.
type Question = (Arc<str>, ConnectionName, Option<Scope>);

/// Which credentials were fetched last: a number that moves with their content.
struct Version {
    number: u64,
    content: [u8; 32],
}

impl<F: Fetch> Configured<F> {
    /// A source of this name, for these connections.
    pub fn new(
        name: &str,
        fetch: F,
        connections: impl IntoIterator<Item = (ConnectionName, Bindings, F::Place)>,
    ) -> Self {
        let connections = connections.into_iter().map(|(name, contract, place)| (name, (contract, place))).collect();
        let unmoved = watch::Sender::new(0);
        Self { name: name.into(), fetch, connections, versions: Mutex::default(), unmoved }
    }

    async fn borrow(&self, ask: &Ask) -> Result<Borrowed, LendError> {
        let name = &ask.connection;
        let (bindings, place) = self.connections.get(name).ok_or_else(|| LendError::NotFound(name.clone()))?;
        if !self.fetch.narrows() {
            ask.refuse_scope()?;
        }
        let Fetched { fields, expires_at, refreshable } = self.fetch.fetch(place, ask).await?;
        super::check_usable(name, bindings, &fields)?;
        let version = self.version(ask, &fields);
        let id = self.id(name);
        Ok(Loan { id, version, bindings: bindings.clone(), credentials: fields, expires_at, refreshable }.into())
    }

    fn id(&self, name: &ConnectionName) -> Arc<str> {
        format!("{}/{name}", self.name).into()
    }

    fn version(&self, ask: &Ask, fields: &Fields) -> u64 {
        let content = content(fields);
        let key = (Arc::clone(&ask.agent), ask.connection.clone(), ask.scope.clone());
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let version = versions.entry(key).or_insert(Version { number: 0, content: [0; 32] });
        if version.content != content {
            *version = Version { number: version.number + 1, content };
        }
        version.number
    }
}

/// A digest of names and values, each with its length, so that no two sets of fields share one.
pub(super) fn content(fields: &Fields) -> [u8; 32] {
    let mut text = Zeroizing::new(Vec::new());
    for (name, value) in fields.iter() {
        for part in [name.as_bytes(), value.expose()] {
            text.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            text.extend_from_slice(part);
        }
    }
    let mut content = [0; 32];
    content.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    content
}

impl<F: Fetch> LeaseSource for Configured<F> {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(self.borrow(ask))
    }

    /// It stands in the configuration, and is there as long as this process.
    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        Box::pin(async move { Ok(self.connections.contains_key(connection) && *self.id(connection) == *id) })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.fetch.changes().unwrap_or_else(|| self.unmoved.subscribe())
    }

    fn follow(&self) -> Followed<'_> {
        self.fetch.follow()
    }

    fn close(&self) -> Followed<'_> {
        self.fetch.close()
    }
}
