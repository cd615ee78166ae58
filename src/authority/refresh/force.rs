//! A refresh that somebody asks for: one a connection a minute, whoever asks and wherever.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::attempt;
use super::claim::{CLAIM, is_renewable, ready};
use super::{Outcome, Ready};
use crate::authority::connections::view;
use crate::authority::recorder::Work;
use crate::authority::rows::{ConnectionRow, State};
use crate::authority::store::StoreError;
use crate::authority::vault::{Vault, random};
use crate::authority::{Authority, Connection, ConnectionError};

/// How long after a forced refresh the next one is answered with what that gave, in seconds.
const APART: i64 = 60;

/// How often one looks whether the refresh that somebody else has begun has ended.
const LOOK: Duration = Duration::from_millis(250);

/// What a forced refresh came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forced {
    /// It was refreshed, by us or by who was already at it.
    Refreshed(Connection),
    /// A refresh was forced less than a minute ago: it is as that left it.
    Recent(Connection),
}

/// What keeps a connection from being refreshed.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// No such connection.
    #[error("there is no connection {0}: nexus-sidecar connection list shows those that are")]
    NotFound(String),
    /// Nothing renews it.
    #[error(
        "the connection {0} is not one that can be refreshed: it has no refresh token, or its provider no token endpoint"
    )]
    Static(String),
    /// Pending, failed, revoked or expired.
    #[error("the connection {name} is {}, and is not refreshed", state.as_str())]
    NotActive {
        /// Its name.
        name: String,
        /// What it is.
        state: State,
    },
    /// A person has to look.
    #[error("the connection {name} needs attention{}: nexus-sidecar connection set {name} gives it new credentials", because(why.as_deref()))]
    Attention {
        /// Its name.
        name: String,
        /// Why: a word of ours.
        why: Option<String>,
    },
    /// The token endpoint gave nothing; it will be asked again.
    #[error("the token endpoint of the connection {0} gave no tokens: it will be asked again")]
    Later(String),
    /// This process does not speak with token endpoints.
    #[error("this process refreshes no connections")]
    Offline,
    /// The store, or what lies in it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

fn because(why: Option<&str>) -> String {
    why.map(|why| format!(" ({why})")).unwrap_or_default()
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Self::Connection(error.into())
    }
}

/// What asking found.
enum Found {
    /// It is ours to refresh.
    Ours(Box<Ready>),
    /// Somebody refreshes the one of this id, which has this version.
    UnderWay { id: String, version: u64 },
    /// It was just now.
    Recent(Box<ConnectionRow>),
    /// It cannot be opened, and waits for a person from now on.
    Broken { id: String },
}

impl Authority {
    /// Refreshes a connection now, named by its id or its name: at most once a minute in all
    /// processes. Who asks while a refresh is under way waits for that one. Once begun, it goes on
    /// though nobody waits any longer.
    ///
    /// # Errors
    /// Why there are no new credentials; those before stay.
    pub async fn force_refresh(&self, which: &str) -> Result<Forced, RefreshError> {
        let issuer = Arc::clone(self.issuer.as_ref().ok_or(RefreshError::Offline)?);
        let (vault, which) = (Arc::clone(&self.desk.vault), which.to_owned());
        let by = random::<8>().map(|bytes| hex::encode(*bytes)).unwrap_or_default();
        match self.write_async(move |work| ask(work, &vault, &which, by)).await? {
            Found::Recent(row) => Ok(Forced::Recent(view(&row)?)),
            Found::UnderWay { id, version } => self.wait_for(&id, version).await,
            Found::Broken { id } => self.now_of(&id).await,
            Found::Ours(ready) => {
                let (authority, id, name) = (self.detached(), ready.id.clone(), ready.name.clone());
                let task = tokio::spawn(async move { attempt(&authority, &issuer, *ready).await });
                match task.await.map_err(|_| StoreError::Panicked)?? {
                    Outcome::Refreshed(row) => Ok(Forced::Refreshed(view(&row)?)),
                    Outcome::Later => Err(RefreshError::Later(name)),
                    Outcome::Attention(why) => Err(RefreshError::Attention { name, why: Some(why.to_owned()) }),
                    Outcome::Overtaken | Outcome::Orphaned => self.now_of(&id).await,
                }
            }
        }
    }

    /// Waits until whoever refreshes a connection has ended.
    async fn wait_for(&self, id: &str, version: u64) -> Result<Forced, RefreshError> {
        let mut moves = self.desk.feed.moves();
        loop {
            moves.mark_unchanged();
            let row = self.look_at(id).await?;
            if row.version > version {
                return Ok(Forced::Refreshed(view(&row)?));
            }
            if row.state != State::Active || !is_claimed(&row, self.now()) {
                return answer(row);
            }
            tokio::select! {
                _ = moves.changed() => {}
                () = self.desk.clock.sleep(LOOK) => {}
            }
        }
    }

    /// What is so now, of a connection that somebody else changed.
    async fn now_of(&self, id: &str) -> Result<Forced, RefreshError> {
        let row = self.look_at(id).await?;
        match row.state {
            State::Active => Ok(Forced::Recent(view(&row)?)),
            _ => answer(row),
        }
    }

    async fn look_at(&self, id: &str) -> Result<ConnectionRow, RefreshError> {
        let (reader, wanted) = (self.clone(), id.to_owned());
        let read = move || reader.read(|tx| ConnectionRow::by_id(tx, reader.workspace.as_str(), &wanted));
        let row = tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Panicked)??;
        row.ok_or_else(|| RefreshError::NotFound(id.to_owned()))
    }
}

/// Why a connection has no new credentials.
fn answer(row: ConnectionRow) -> Result<Forced, RefreshError> {
    Err(match row.state {
        State::Active => RefreshError::Later(row.name),
        State::Attention => RefreshError::Attention { name: row.name, why: row.why },
        state => RefreshError::NotActive { name: row.name, state },
    })
}

fn is_claimed(row: &ConnectionRow, now: i64) -> bool {
    row.claimed_until.is_some_and(|until| until >= now)
}

/// Claims a connection for who asks, and notes when, unless it is not to be refreshed now.
fn ask(work: &mut Work<'_>, vault: &Vault, which: &str, by: String) -> Result<Found, RefreshError> {
    let found = work.lock(which)?;
    let mut row = found.ok_or_else(|| RefreshError::NotFound(which.to_owned()))?;
    if row.state != State::Active {
        return answer(row).map(|_| Found::Recent(Box::default()));
    }
    if !is_renewable(&row) {
        return Err(RefreshError::Static(row.name));
    }
    if is_claimed(&row, work.now) {
        return Ok(Found::UnderWay { id: row.id, version: row.version });
    }
    // A clock that was set back does not forbid it for long.
    if row.forced_at.is_some_and(|at| (work.now - at).abs() < APART) {
        return Ok(Found::Recent(Box::new(row)));
    }
    (row.claimed_by, row.claimed_until, row.forced_at) = (Some(by), Some(work.now + CLAIM), Some(work.now));
    row.put(work.tx())?;
    let id = row.id.clone();
    Ok(ready(work, vault, row)?.map_or(Found::Broken { id }, |ready| Found::Ours(Box::new(ready))))
}
