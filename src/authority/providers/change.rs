//! Makes, changes and deletes providers. A change that leaves everything as it is, is none.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::affected;
use super::definition::Definition;
use super::profile::{Profile, ProfileError, SecretChange};
use super::registered::{ProviderError, Registered, open, seal};
use crate::authority::Authority;
use crate::authority::connections::fresh_id;
use crate::authority::record::Record;
use crate::authority::recorder::Work;
use crate::authority::rows::ProviderRow;
use crate::authority::vault::Vault;
use crate::model::Secret;

/// What a change of a provider did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderChange {
    /// The provider as it is now.
    pub provider: Registered,
    /// Whether anything is different.
    pub changed: bool,
    /// The names of connections that need attention since.
    pub attention: Vec<String>,
}

impl Authority {
    /// Makes a provider.
    ///
    /// # Errors
    /// Its name is taken, or its client secret is missing.
    pub fn create_provider(&self, profile: Profile) -> Result<Registered, ProviderError> {
        let vault = Arc::clone(&self.desk.vault);
        self.write(move |work| create(work, &vault, profile))
    }

    /// Replaces a provider by what a profile says.
    ///
    /// # Errors
    /// There is no such provider, or it cannot become that one.
    pub fn replace_provider(&self, id: &str, profile: Profile) -> Result<ProviderChange, ProviderError> {
        self.change_provider(id, move |_| Ok(profile))
    }

    /// Replaces some members of a provider's profile; `null` removes one.
    ///
    /// # Errors
    /// There is no such provider, or it cannot become what it would be.
    pub fn patch_provider(&self, id: &str, members: Map<String, Value>) -> Result<ProviderChange, ProviderError> {
        self.change_provider(id, move |before| Ok(Profile::read(patched(before, members))?))
    }

    /// Deletes a provider: it gives no consent and no tokens from now on, and what was made of it
    /// needs attention. Answers the names of those connections.
    ///
    /// # Errors
    /// There is no such provider.
    pub fn delete_provider(&self, id: &str) -> Result<Vec<String>, ProviderError> {
        let id = id.to_owned();
        self.write(move |work| delete(work, &id, None))
    }

    /// Changes a provider to what `profile` makes of it.
    pub(in crate::authority) fn change_provider(
        &self,
        id: &str,
        profile: impl FnOnce(&Definition) -> Result<Profile, ProviderError> + Send + 'static,
    ) -> Result<ProviderChange, ProviderError> {
        let (id, vault) = (id.to_owned(), Arc::clone(&self.desk.vault));
        self.write(move |work| replace(work, &vault, &id, None, profile))
    }
}

/// Makes a provider.
pub(super) fn create(work: &mut Work<'_>, vault: &Vault, profile: Profile) -> Result<Registered, ProviderError> {
    let Profile { definition, secret } = profile;
    let secret = match secret {
        SecretChange::Set(secret) => Some(secret),
        SecretChange::Keep | SecretChange::Remove => None,
    };
    let secret = needed(&definition, secret)?;
    let name = definition.name().clone();
    let id = fresh_id().map_err(|error| ProviderError::Sealed { name: name.clone(), why: error.to_string() })?;
    let mut row = ProviderRow {
        id,
        workspace: work.workspace.as_str().to_owned(),
        name: name.as_str().to_owned(),
        version: 1,
        document: definition.text(),
        secret: None,
        created_at: work.now,
        updated_at: work.now,
        deleted_at: None,
    };
    seal(vault, &mut row, &definition, secret.as_ref())?;
    if !row.insert(work.tx())? {
        return Err(ProviderError::Exists(name));
    }
    work.record(about("provider.created", &row));
    Ok(Registered::read(&row)?)
}

/// Deletes a provider, if it is of this version.
pub(super) fn delete(work: &mut Work<'_>, id: &str, version: Option<i64>) -> Result<Vec<String>, ProviderError> {
    let mut row = lock(work, id, version)?;
    row.version += 1;
    (row.updated_at, row.deleted_at) = (work.now, Some(work.now));
    row.update(work.tx())?;
    work.record(about("provider.deleted", &row));
    Ok(affected::settle(work, &row, None)?)
}

/// Changes a provider to what `profile` makes of it, if it is of this version.
pub(super) fn replace(
    work: &mut Work<'_>,
    vault: &Vault,
    id: &str,
    version: Option<i64>,
    profile: impl FnOnce(&Definition) -> Result<Profile, ProviderError>,
) -> Result<ProviderChange, ProviderError> {
    let row = lock(work, id, version)?;
    let before = Registered::read(&row)?;
    let profile = profile(&before.definition)?;
    change(work, vault, row, &before, profile)
}

fn lock(work: &mut Work<'_>, id: &str, version: Option<i64>) -> Result<ProviderRow, ProviderError> {
    let workspace = work.workspace.as_str().to_owned();
    let row = ProviderRow::lock(work.tx(), &workspace, id)?;
    let row = row.ok_or_else(|| ProviderError::NotFound(id.to_owned()))?;
    match version.is_some_and(|version| version != row.version) {
        true => Err(ProviderError::Changed(row.name)),
        false => Ok(row),
    }
}

fn change(
    work: &mut Work<'_>,
    vault: &Vault,
    mut row: ProviderRow,
    before: &Registered,
    profile: Profile,
) -> Result<ProviderChange, ProviderError> {
    let Profile { definition: after, secret } = profile;
    rename(work, before, &after)?;
    let kept = open(vault, &row, &before.definition)?;
    let secret = match secret {
        SecretChange::Set(secret) => Some(secret),
        SecretChange::Remove => None,
        SecretChange::Keep => {
            let known = before.definition.secret_goes_to();
            if kept.is_some() && after.secret_goes_to().iter().any(|host| !known.contains(host)) {
                return Err(ProviderError::SecretMoves);
            }
            kept.as_ref().map(Secret::duplicate)
        }
    };
    let secret = needed(&after, secret)?;
    let is_other = kept.as_ref().map(Secret::expose) != secret.as_ref().map(Secret::expose);
    let mut keys: Vec<Value> =
        before.definition.differences(&after).into_iter().map(|difference| difference.key.into()).collect();
    if is_other {
        keys.push("client_secret".into());
    }
    if keys.is_empty() {
        return Ok(ProviderChange { provider: before.clone(), changed: false, attention: Vec::new() });
    }
    row.version += 1;
    row.updated_at = work.now;
    (row.name, row.document) = (after.name().as_str().to_owned(), after.text());
    seal(vault, &mut row, &after, secret.as_ref())?;
    row.update(work.tx())?;
    // What changed is said by name: a value may be anything that somebody pasted there.
    work.record(about("provider.updated", &row).with("keys", keys));
    let attention = affected::settle(work, &row, Some(&after))?;
    Ok(ProviderChange { provider: Registered::read(&row)?, changed: true, attention })
}

/// Connections know their provider by its name, which is sealed with their credentials.
fn rename(work: &mut Work<'_>, before: &Registered, after: &Definition) -> Result<(), ProviderError> {
    let name = before.definition.name();
    if after.name() == name {
        return Ok(());
    }
    let workspace = work.workspace.as_str().to_owned();
    let count = affected::of(work.tx(), &workspace, name.as_str(), &before.id)?.len();
    if count > 0 {
        return Err(ProviderError::Named { name: name.clone(), count });
    }
    match ProviderRow::by_name(work.tx(), &workspace, after.name().as_str())? {
        Some(_) => Err(ProviderError::Exists(after.name().clone())),
        None => Ok(()),
    }
}

/// The secret that a definition has a use for; one that it has none for is not kept.
fn needed(definition: &Definition, secret: Option<Secret>) -> Result<Option<Secret>, ProviderError> {
    match (definition.needs_secret(), secret) {
        (true, None) => Err(ProfileError::Missing("client_secret").into()),
        (true, secret) => Ok(secret),
        (false, _) => Ok(None),
    }
}

fn patched(before: &Definition, members: Map<String, Value>) -> Value {
    let mut profile = before.to_json();
    // Hosts that follow from the base URL go on following from it.
    profile.extend(members);
    Value::Object(profile)
}

fn about(event: &'static str, row: &ProviderRow) -> Record {
    Record::new(event).with("provider", row.id.as_str()).with("name", row.name.as_str()).with("version", row.version)
}
