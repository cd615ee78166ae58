//! Makes, lists, changes and deletes connections, and checks what goes in. No value comes out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Authority;
use super::contract::{bindings_json, names_json, read_bindings, read_names};
use super::event::{News, granted};
use super::life::{NoSuchEdge, step};
use super::providers::{ProviderError, Registered, end_of, pin, renewal, still};
use super::record::Record;
use super::refresh::chance;
use super::revoke::Revocation;
use super::rows::{ConnectionRow, State};
use super::store::StoreError;
use super::vault::{VaultError, random};
use crate::lease::{FieldError, check_fields};
use crate::model::{Binding, BindingError, Bindings, ConnectionName, Fields};

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
    /// When it ends, by the wall clock; without it, `expires_in` among the fields says so.
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
    /// Why it is in this state, as a word of ours.
    pub why: Option<String>,
    /// When it is renewed next; none for one that nothing renews by itself.
    pub refresh_at: Option<SystemTime>,
    /// How often in a row its token endpoint gave nothing.
    pub refresh_tries: u64,
    /// How far its provider has taken its credentials back, once it is revoked.
    pub revocation: Option<Revocation>,
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
    /// Its life has no such way.
    #[error(transparent)]
    Life(#[from] NoSuchEdge),
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
    /// Its provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
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
        self.add_of(new, None)
    }

    /// Makes a connection of a provider that the Authority was told of: it pins its endpoints.
    pub fn add_of(&self, new: NewConnection, provider: Option<Registered>) -> Result<Connection, ConnectionError> {
        let bindings = new.check(self.desk.clock.wall())?;
        let now = self.now();
        let mut row = ConnectionRow {
            id: fresh_id().map_err(sealed(&new.name))?,
            workspace: self.workspace.as_str().to_owned(),
            name: new.name.as_str().to_owned(),
            provider: new.provider.map(|provider| provider.to_string()),
            state: State::Active,
            version: 1,
            bindings: bindings_json(&bindings),
            owned: new.owned,
            field_names: names_json(&new.fields),
            created_at: now,
            updated_at: now,
            expires_at: end(new.expires_at, now)?.or(end_of(&new.fields, now)?),
            ..ConnectionRow::default()
        };
        if let Some(provider) = &provider {
            pin(&mut row, provider);
        }
        row.refresh_at = renewal(&row, &new.fields, now, chance());
        self.desk.vault.seal(&mut row, &new.fields).map_err(sealed(&new.name))?;
        let row = self.write(move |work| {
            if ConnectionRow::find(work.tx(), &row.workspace, &row.name)?.is_some() {
                return Err(ConnectionError::Exists(new.name));
            }
            if let Some(provider) = &provider {
                still(work.tx(), &row, provider)?;
            }
            row.put(work.tx()).map_err(|error| match error {
                // Somebody else was faster.
                StoreError::Taken { .. } => ConnectionError::Exists(new.name),
                error => error.into(),
            })?;
            work.record(Record::new("connection.added").connection(&row.id, &row.name));
            work.announce(News::new("connection.changed").connection(&row.id, &row.name));
            Ok(row)
        })?;
        view(&row)
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
        let (vault, name) = (Arc::clone(&self.desk.vault), name.clone());
        let row = self.write(move |work| {
            let found = work.lock(name.as_str())?;
            let mut row = found.ok_or_else(|| ConnectionError::NotFound(name.clone()))?;
            if row.state == State::Revoked {
                return Err(ConnectionError::Revoked(name));
            }
            let bindings = bindings(&row)?;
            let mut merged = vault.open(&row).map_err(sealed(&name))?;
            for (field, value) in fields.iter() {
                merged.insert(field, value.duplicate());
            }
            check_fields(&bindings, &merged)?;
            row.version += 1;
            match row.state {
                State::Active => {
                    work.announce(News::new("connection.changed").connection(&row.id, &row.name));
                }
                _ => step(work, &mut row, State::Active, None)?,
            }
            // Whoever renews it now has the credentials before these, and finds that out.
            (row.claimed_by, row.claimed_until) = (None, None);
            row.field_names = names_json(&merged);
            row.updated_at = work.now;
            let said = end(expires_at, work.now)?.or(end_of(&fields, work.now)?);
            row.expires_at = said.or(row.expires_at.filter(|end| *end > work.now));
            row.refresh_at = renewal(&row, &merged, work.now, chance());
            row.refresh_tries = 0;
            vault.seal(&mut row, &merged).map_err(sealed(&name))?;
            row.put(work.tx())?;
            work.record(Record::new("connection.set").connection(&row.id, &row.name).with("version", row.version));
            Ok(row)
        })?;
        view(&row)
    }

    /// Every connection, by name.
    pub fn list(&self) -> Result<Vec<Connection>, ConnectionError> {
        let rows = self.read(|tx| ConnectionRow::list(tx, self.workspace.as_str()))?;
        rows.iter().map(view).collect()
    }

    /// At most `limit` connections that come after this name and id, in that order.
    pub(in crate::authority) fn page(
        &self,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Connection>, ConnectionError> {
        let rows = self.read(|tx| ConnectionRow::page(tx, self.workspace.as_str(), after, limit))?;
        rows.iter().map(view).collect()
    }

    /// One connection, by its id or its name.
    pub fn show(&self, name: &ConnectionName) -> Result<Connection, ConnectionError> {
        let wanted = [(self.workspace.as_str(), name.as_str())];
        let row = self.read(|tx| ConnectionRow::find_each(tx, &wanted))?.into_iter().flatten().next();
        view(&row.ok_or(ConnectionError::NotFound(name.clone()))?)
    }

    /// Deletes a connection and its credentials.
    pub fn delete(&self, name: &ConnectionName) -> Result<(), ConnectionError> {
        let name = name.clone();
        self.write(move |work| {
            let found = work.lock(name.as_str())?;
            let row = found.ok_or(ConnectionError::NotFound(name))?;
            // With the connection goes who might borrow it, and those are to hear of it.
            let concerned = granted(work.tx(), &row.workspace, &row.id)?;
            ConnectionRow::delete(work.tx(), &row.workspace, &row.id)?;
            work.record(Record::new("connection.deleted").connection(&row.id, &row.name));
            work.announce(News::new("connection.deleted").connection(&row.id, &row.name).concerning(&concerned));
            Ok(())
        })
    }
}

fn bindings(row: &ConnectionRow) -> Result<Bindings, StoreError> {
    read_bindings(row).map_err(|why| StoreError::damaged("connection", &row.name, why))
}

/// A row as listings show it.
pub(super) fn view(row: &ConnectionRow) -> Result<Connection, ConnectionError> {
    let damaged = |why: String| StoreError::damaged("connection", &row.name, why);
    Ok(Connection {
        id: row.id.clone(),
        name: ConnectionName::parse(&row.name).map_err(|error| damaged(error.to_string()))?,
        provider: row.provider.clone(),
        state: row.state,
        version: row.version,
        bindings: bindings(row)?,
        owned: row.owned,
        field_names: read_names(row).map_err(damaged)?,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        expires_at: row.expires_at.map(time),
        why: row.why.clone(),
        refresh_at: row.refresh_at.map(time),
        refresh_tries: row.refresh_tries.unsigned_abs(),
        revocation: Revocation::of(row)?,
    })
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
pub(super) fn fresh_id() -> Result<String, VaultError> {
    let mut bytes = *random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The moment of a number of seconds since 1970.
pub(super) fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
