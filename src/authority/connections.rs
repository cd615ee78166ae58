//! Makes, lists, changes and deletes connections, and checks what goes in. No value comes out.

use std::time::{Duration, SystemTime};

use super::contract::{bindings_json, names_json, read_bindings, read_names};
use super::store::{Row, State, StoreError};
use super::vault::{VaultError, random};
use super::{Authority, Store};
use crate::lease::{FieldError, check_fields};
use crate::model::{Binding, BindingError, Bindings, ConnectionName, Fields, Workspace};

/// A connection that somebody makes.
#[derive(Debug)]
pub struct NewConnection {
    /// Its name.
    pub name: ConnectionName,
    /// The provider whose contract it is; none for a contract of the maker's own.
    pub provider: Option<ConnectionName>,
    /// Where it may go, and how.
    pub bindings: Vec<Binding>,
    /// The zones of its wildcards are ours.
    pub owned: bool,
    /// What it authenticates with.
    pub fields: Fields,
    /// When it ends, by the wall clock.
    pub expires_at: Option<SystemTime>,
}

/// A connection as listings show it: no value of any field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: ConnectionName,
    /// The provider that it was made for.
    pub provider: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// The version of its credentials: 1, 2, …
    pub version: u64,
    /// Where it may go, and how.
    pub bindings: Bindings,
    /// The zones of its wildcards are ours.
    pub owned: bool,
    /// The names of its fields.
    pub field_names: Vec<String>,
    /// When it was made, by the wall clock, as are the next two.
    pub created_at: SystemTime,
    /// When its newest version was made.
    pub updated_at: SystemTime,
    /// When it ends.
    pub expires_at: Option<SystemTime>,
}

/// What keeps a connection from being made, shown or changed. It names fields, never a value.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The name is taken.
    #[error("there is a connection {0} already: nexus-sidecar connection set {0} gives it new credentials")]
    Exists(ConnectionName),
    /// No such connection.
    #[error("there is no connection {0}: nexus-sidecar connection list shows those that are")]
    NotFound(ConnectionName),
    /// Revoked for good.
    #[error("the connection {0} was revoked: delete it, and add it again")]
    Revoked(ConnectionName),
    /// Its hosts.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// Its fields.
    #[error(transparent)]
    Fields(#[from] FieldError),
    /// It would be of no use.
    #[error("the connection would have ended already: expires-at is in the past")]
    Past,
    /// The credentials do not open.
    #[error("the credentials of the connection {name} cannot be read: {why}")]
    Sealed {
        /// The connection.
        name: ConnectionName,
        /// Why not.
        why: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NewConnection {
    /// Checks what can be checked without a store, and answers the contract.
    pub fn check(&self, now: SystemTime) -> Result<Bindings, ConnectionError> {
        let bindings = Bindings::new(self.bindings.clone(), self.owned)?;
        check_fields(&bindings, &self.fields)?;
        end(self.expires_at, seconds(now)).map(|_| bindings)
    }
}

impl Authority {
    /// Makes a connection.
    pub fn add(&self, new: NewConnection) -> Result<Connection, ConnectionError> {
        let bindings = new.check(self.clock.wall())?;
        let now = self.now();
        let mut row = Row {
            id: fresh_id(&new.name)?,
            workspace: Workspace::local().as_str().to_owned(),
            name: new.name.as_str().to_owned(),
            provider: new.provider.map(|provider| provider.to_string()),
            state: State::Active,
            version: 1,
            bindings: bindings_json(&bindings),
            owned: new.owned,
            field_names: names_json(&new.fields),
            sealed: Vec::new(),
            wrapped_key: Vec::new(),
            created_at: now,
            updated_at: now,
            expires_at: end(new.expires_at, now)?,
        };
        self.vault.seal(&mut row, &new.fields).map_err(sealed(&new.name))?;
        self.store.write(|database| {
            if Row::find(database, &row.workspace, &row.name).map_err(|e| self.store.failed(e))?.is_some() {
                return Err(ConnectionError::Exists(new.name.clone()));
            }
            Ok(row.put(database).map_err(|e| self.store.failed(e))?)
        })?;
        self.changed();
        self.view(&row)
    }

    /// Makes a new version of a connection: `fields` replace those of their names, the others
    /// stay. `expires_at` is set where one is given; without one, it stays as it is unless it has
    /// passed, in which case the new credentials have none.
    pub fn set(
        &self,
        name: &ConnectionName,
        fields: Fields,
        expires_at: Option<SystemTime>,
    ) -> Result<Connection, ConnectionError> {
        let now = self.now();
        let row = self.store.write(|database| {
            let found = Row::find(database, Workspace::local().as_str(), name.as_str());
            let mut row = found.map_err(|e| self.store.failed(e))?.ok_or(ConnectionError::NotFound(name.clone()))?;
            if row.state == State::Revoked {
                return Err(ConnectionError::Revoked(name.clone()));
            }
            let bindings = self.bindings(&row)?;
            let mut merged = self.vault.open(&row).map_err(sealed(name))?;
            for (field, value) in fields.iter() {
                merged.insert(field, value.duplicate());
            }
            check_fields(&bindings, &merged)?;
            row.version += 1;
            row.state = State::Active;
            row.field_names = names_json(&merged);
            row.updated_at = now;
            row.expires_at = end(expires_at, now)?.or(row.expires_at.filter(|end| *end > now));
            self.vault.seal(&mut row, &merged).map_err(sealed(name))?;
            row.put(database).map_err(|e| self.store.failed(e))?;
            Ok(row)
        })?;
        self.changed();
        self.view(&row)
    }

    /// Every connection, by name.
    pub fn list(&self) -> Result<Vec<Connection>, ConnectionError> {
        let rows = self.store.read(|database| Row::list(database, Workspace::local().as_str()))?;
        rows.iter().map(|row| self.view(row)).collect()
    }

    /// One connection.
    pub fn show(&self, name: &ConnectionName) -> Result<Connection, ConnectionError> {
        let row = self.store.read(|database| Row::find(database, Workspace::local().as_str(), name.as_str()))?;
        self.view(&row.ok_or(ConnectionError::NotFound(name.clone()))?)
    }

    /// Deletes a connection and its credentials.
    pub fn delete(&self, name: &ConnectionName) -> Result<(), ConnectionError> {
        let deleted = self.store.write(|database| {
            Row::delete(database, Workspace::local().as_str(), name.as_str()).map_err(|e| self.store.failed(e))
        })?;
        self.changed();
        if deleted { Ok(()) } else { Err(ConnectionError::NotFound(name.clone())) }
    }

    fn now(&self) -> i64 {
        seconds(self.clock.wall())
    }

    /// Our own sidecar need not wait for the watcher.
    fn changed(&self) {
        self.moved.send_modify(|moved| *moved += 1);
    }

    fn bindings(&self, row: &Row) -> Result<Bindings, StoreError> {
        read_bindings(row).map_err(|why| damaged(&self.store, row, why))
    }

    fn view(&self, row: &Row) -> Result<Connection, ConnectionError> {
        let name = ConnectionName::parse(&row.name).map_err(|e| damaged(&self.store, row, e.to_string()))?;
        Ok(Connection {
            id: row.id.clone(),
            name,
            provider: row.provider.clone(),
            state: row.state,
            version: row.version,
            bindings: self.bindings(row)?,
            owned: row.owned,
            field_names: read_names(row).map_err(|why| damaged(&self.store, row, why))?,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
            expires_at: row.expires_at.map(time),
        })
    }
}

fn damaged(store: &Store, row: &Row, why: String) -> StoreError {
    StoreError::Damaged { path: store.path().to_owned(), name: row.name.clone(), why }
}

fn sealed(name: &ConnectionName) -> impl Fn(VaultError) -> ConnectionError {
    move |error| ConnectionError::Sealed { name: name.clone(), why: error.to_string() }
}

fn end(expires_at: Option<SystemTime>, now: i64) -> Result<Option<i64>, ConnectionError> {
    match expires_at.map(seconds) {
        Some(end) if end <= now => Err(ConnectionError::Past),
        end => Ok(end),
    }
}

/// A random id in the form of a UUID (RFC 9562, version 4).
fn fresh_id(name: &ConnectionName) -> Result<String, ConnectionError> {
    let mut bytes = *random::<16>().map_err(sealed(name))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The moment of a number of seconds since 1970.
pub(super) fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
