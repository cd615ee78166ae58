//! Makes, lists and revokes API keys. A key's text is answered once, to whoever made it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Authority;
use super::access::{AccessError, ApiKey, KeyHash, KnownKey, Scope};
use super::agents::must_be_there;
use super::connections::{seconds, time};
use super::record::Record;
use super::recorder::Work;
use super::rows::{KeyRow, lock_meta};
use super::store::StoreError;
use super::vault::random;
use crate::model::{Secret, Workspace};

/// The first key's name, and that of its file.
const FIRST: &str = "admin-key";

/// A key that somebody makes.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is for, in its maker's words; may be empty.
    pub name: String,
    /// What it may do. The connections of the scope `lease` may be names or ids.
    pub scope: Scope,
    /// When it ends, by the wall clock.
    pub expires_at: Option<SystemTime>,
}

/// A key as listings show it: neither its text nor its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id, which is no secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it ends.
    pub expires_at: Option<SystemTime>,
    /// When it was revoked.
    pub revoked_at: Option<SystemTime>,
}

impl ListedKey {
    /// `active`, `expired` or `revoked`.
    pub fn state(&self, now: SystemTime) -> &'static str {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            _ => "active",
        }
    }
}

impl Authority {
    /// Makes a key; answers its text, which nobody can ask for again.
    pub fn add_key(&self, new: NewKey) -> Result<(ApiKey, ListedKey), AccessError> {
        let key = ApiKey::new(&*random::<32>().map_err(|_| AccessError::Random)?);
        let (id, hash) = (fresh_id()?, key.hash());
        if new.name.len() > 100 || new.name.chars().any(char::is_control) {
            return Err(AccessError::KeyName);
        }
        let listed = self.write(move |work| {
            let expires_at = new.expires_at.map(seconds);
            if expires_at.is_some_and(|end| end <= work.now) {
                return Err(AccessError::Past);
            }
            let scope = known(work, new.scope)?;
            let (workspace, created_at) = (work.workspace.as_str().to_owned(), work.now);
            insert(
                work,
                KeyRow { id, workspace, name: new.name, scope, created_at, expires_at, revoked_at: None },
                &hash,
            )
        })?;
        Ok((key, listed))
    }

    /// Every key of the workspace, by id.
    pub fn keys(&self) -> Result<Vec<ListedKey>, AccessError> {
        self.keys_after("", i64::MAX)
    }

    /// At most `limit` keys whose ids come after this one.
    pub(in crate::authority) fn keys_after(&self, after: &str, limit: i64) -> Result<Vec<ListedKey>, AccessError> {
        let rows = self.read::<_, StoreError>(|tx| KeyRow::page(tx, self.workspace.as_str(), after, limit))?;
        Ok(rows.iter().map(view).collect())
    }

    /// Revokes a key. Revoking it once more changes nothing.
    pub fn revoke_key(&self, id: &str) -> Result<ListedKey, AccessError> {
        let id = id.to_owned();
        self.write(move |work| {
            let (workspace, now) = (work.workspace.as_str(), work.now);
            let revoked = KeyRow::revoke(work.tx(), workspace, &id, now)?;
            let row = KeyRow::by_id(work.tx(), workspace, &id)?.ok_or_else(|| AccessError::NoKey(id.clone()))?;
            if revoked {
                work.record(Record::new("key.revoked").with("key", id.as_str()).with("name", row.name.as_str()));
            }
            Ok(view(&row))
        })
    }

    /// What is known of a key that was presented.
    pub(in crate::authority) fn known_key(&self, hash: &KeyHash) -> Result<Option<KnownKey>, StoreError> {
        let row = self.read::<_, StoreError>(|tx| KeyRow::by_hash(tx, hash.as_bytes()))?;
        row.map(|row| {
            let workspace = Workspace::parse(&row.workspace);
            Ok(KnownKey {
                workspace: workspace.map_err(|error| StoreError::damaged("key", &row.id, error))?,
                id: row.id,
                scope: row.scope,
                expires_at: row.expires_at,
                revoked: row.revoked_at.is_some(),
            })
        })
        .transpose()
    }

    /// Makes the first key of a store that has none: an administrator's, into the file `admin-key` of
    /// mode 0600 in this folder. Answers the file, if this call made the key.
    ///
    /// The file comes first: a process that ends in between finds it at its next start, and takes the
    /// key that is in it.
    pub fn first_key(&self, folder: &Path) -> Result<Option<PathBuf>, AccessError> {
        if self.read::<_, StoreError>(|tx| KeyRow::is_any(tx))? {
            return Ok(None);
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| AccessError::File { action: "make the folder", path: folder.to_owned(), source })?;
        let path = folder.join(FIRST);
        let fresh = ApiKey::new(&*random::<32>().map_err(|_| AccessError::Random)?);
        let key = match fresh.write_to(&path) {
            Ok(()) => fresh,
            Err(AccessError::File { source, .. }) if source.kind() == ErrorKind::AlreadyExists => left(&path)?,
            Err(error) => return Err(error),
        };
        let (id, hash) = (fresh_id()?, key.hash());
        let made = self.write(move |work| {
            // Of two replicas that start at once, one makes it.
            lock_meta(work.tx())?;
            if KeyRow::is_any(work.tx())? {
                return Ok(false);
            }
            let (workspace, created_at) = (work.workspace.as_str().to_owned(), work.now);
            let name = "first start".to_owned();
            let scope = Scope::Admin;
            let row = KeyRow { id, workspace, name, scope, created_at, expires_at: None, revoked_at: None };
            insert(work, row, &hash).map(|_| true)
        })?;
        if made {
            return Ok(Some(path));
        }
        // It opens nothing.
        let _ = fs::remove_file(&path);
        Ok(None)
    }
}

impl ApiKey {
    /// Writes the key into a file of mode 0600 that is not there yet, one line.
    pub fn write_to(&self, path: &Path) -> Result<(), AccessError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = zeroize::Zeroizing::new([self.secret().expose(), b"\n"].concat());
        let written = super::key::write_whole(folder, path, &text);
        written.map_err(|source| AccessError::File { action: "write the API key into", path: path.to_owned(), source })
    }
}

/// The key in a file that an earlier start left.
fn left(path: &Path) -> Result<ApiKey, AccessError> {
    let io = |source| AccessError::File { action: "read the API key in", path: path.to_owned(), source };
    let text = Secret::new(fs::read(path).map_err(io)?);
    let key = text.line().and_then(|line| ApiKey::parse(line.expose()));
    key.ok_or_else(|| AccessError::InTheWay { path: path.to_owned() })
}

/// The scope with what it names: agents that are there, and connections by their ids.
fn known(work: &mut Work<'_>, scope: Scope) -> Result<Scope, AccessError> {
    match &scope {
        Scope::Admin | Scope::App => {}
        Scope::Sidecar { agents } if agents.is_empty() => return Err(AccessError::NoAgentNamed),
        Scope::Sidecar { agents } => {
            for agent in agents {
                must_be_there(work, agent)?;
            }
        }
        Scope::Agent { agent } => must_be_there(work, agent)?,
        Scope::Lease { connections } if connections.is_empty() => return Err(AccessError::NoConnectionNamed),
        Scope::Lease { connections } => {
            let mut ids = BTreeSet::new();
            for which in connections {
                let row = work.lock(which)?.ok_or_else(|| AccessError::NoConnection(which.clone()))?;
                ids.insert(row.id);
            }
            return Ok(Scope::Lease { connections: ids });
        }
    }
    Ok(scope)
}

fn insert(work: &mut Work<'_>, row: KeyRow, hash: &KeyHash) -> Result<ListedKey, AccessError> {
    row.insert(work.tx(), hash.as_bytes())?;
    let record = Record::new("key.added").with("key", row.id.as_str()).with("name", row.name.as_str());
    let record = record.with("scope", row.scope.word());
    work.record(match &row.scope {
        Scope::Sidecar { agents } => record.with("agents", agents.iter().map(String::as_str).collect::<Vec<_>>()),
        Scope::Lease { connections } => {
            record.with("connections", connections.iter().map(String::as_str).collect::<Vec<_>>())
        }
        Scope::Agent { agent } => record.with("agents", vec![agent.as_str()]),
        Scope::Admin | Scope::App => record,
    });
    Ok(view(&row))
}

fn view(row: &KeyRow) -> ListedKey {
    ListedKey {
        id: row.id.clone(),
        name: row.name.clone(),
        scope: row.scope.clone(),
        created_at: time(row.created_at),
        expires_at: row.expires_at.map(time),
        revoked_at: row.revoked_at.map(time),
    }
}

/// An id to name a key by in commands, listings and the audit. It has nothing of the key.
fn fresh_id() -> Result<String, AccessError> {
    Ok(format!("k_{}", hex::encode(*random::<8>().map_err(|_| AccessError::Random)?)))
}

#[cfg(test)]
mod tests;
