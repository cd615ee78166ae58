//! Providers in the store: found, listed, and the secret of their client.

use super::definition::Definition;
use super::profile::ProfileError;
use crate::authority::Authority;
use crate::authority::rows::ProviderRow;
use crate::authority::store::{StoreError, Transaction};
use crate::authority::vault::{Vault, VaultError};
use crate::model::{ConnectionName, Secret};

/// A provider that somebody told the Authority of. Its client secret is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub id: String,
    /// 1, 2, …: another one for every change.
    pub version: i64,
    /// What it is.
    pub definition: Definition,
    /// Whether there is a client secret.
    pub has_secret: bool,
    /// When it was made, in seconds since 1970, as is the next one.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// What keeps a provider from being made, shown or changed. It names keys, never a value of them.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The name is taken.
    #[error("there is a provider {0} already")]
    Exists(ConnectionName),
    /// No such provider.
    #[error("there is no provider {0}")]
    NotFound(String),
    /// Connections know it by its name.
    #[error("the provider {name} has {count} connections, which know it by its name: register another one beside it")]
    Named {
        /// Its name.
        name: ConnectionName,
        /// How many.
        count: usize,
    },
    /// What was said of it.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Whoever may change an endpoint would read the secret there.
    #[error("client_secret: it would go to another host than before, so it has to be given again")]
    SecretMoves,
    /// It changed between two steps.
    #[error("the provider {0} was changed at the same time: try again")]
    Changed(String),
    /// The secret does not open, or cannot be sealed.
    #[error("the client secret of the provider {name}: {why}")]
    Sealed {
        /// The provider.
        name: ConnectionName,
        /// Why not.
        why: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registered {
    pub(super) fn read(row: &ProviderRow) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::damaged("provider", &row.name, why);
        let kept = serde_json::from_str(&row.document).map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            id: row.id.clone(),
            version: row.version,
            definition: Definition::read(&kept).map_err(|error| damaged(error.to_string()))?,
            has_secret: row.secret.is_some(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Authority {
    /// The provider of this id.
    ///
    /// # Errors
    /// There is none, or it was deleted.
    pub fn provider(&self, id: &str) -> Result<Registered, ProviderError> {
        let row = self.read(|tx| ProviderRow::by_id(tx, self.workspace.as_str(), id))?;
        let row = row.ok_or_else(|| ProviderError::NotFound(id.to_owned()))?;
        Ok(Registered::read(&row)?)
    }

    /// The provider of this name, if somebody registered one.
    ///
    /// # Errors
    /// The store.
    pub fn provider_named(&self, name: &str) -> Result<Option<Registered>, ProviderError> {
        let row = self.read(|tx| ProviderRow::by_name(tx, self.workspace.as_str(), name))?;
        Ok(row.as_ref().map(Registered::read).transpose()?)
    }

    /// At most `limit` providers whose names come after `after`, by name.
    ///
    /// # Errors
    /// The store.
    pub fn providers(&self, after: &str, limit: u32) -> Result<Vec<Registered>, ProviderError> {
        let rows = self.read(|tx| ProviderRow::page(tx, self.workspace.as_str(), after, limit.into()))?;
        Ok(rows.iter().map(Registered::read).collect::<Result<_, _>>()?)
    }
}

/// The client of a provider, as those who renew tokens and take them back need it.
#[derive(Debug)]
pub(in crate::authority) struct Client {
    /// Its secret; none for a public client.
    pub(in crate::authority) secret: Option<Secret>,
    /// A provider that was deleted gives no tokens; its tokens are still taken back.
    pub(in crate::authority) deleted: bool,
}

impl Client {
    /// Finds the client of the provider that a connection was made for.
    pub(in crate::authority) fn find(
        tx: &mut dyn Transaction,
        vault: &Vault,
        workspace: &str,
        provider: &str,
    ) -> Result<Option<Self>, ProviderError> {
        let Some(row) = ProviderRow::with_deleted(tx, workspace, provider)? else { return Ok(None) };
        let kept = Registered::read(&row)?;
        let secret = open(vault, &row, &kept.definition)?;
        Ok(Some(Self { secret, deleted: row.deleted_at.is_some() }))
    }
}

/// Opens the secret of a row, which is bound to the endpoints that it may be sent to.
pub(super) fn open(vault: &Vault, row: &ProviderRow, definition: &Definition) -> Result<Option<Secret>, ProviderError> {
    let Some(sealed) = &row.secret else { return Ok(None) };
    let place = definition.secret_place();
    vault.open_secret(&bound(row, &place), sealed).map(Some).map_err(|error| unsealed(definition, error))
}

/// The key of a provider's secret as it is wrapped, and wrapped anew under the current master key;
/// none where there is no secret.
pub(in crate::authority) fn rewrapped(
    tx: &mut dyn Transaction,
    vault: &Vault,
    id: &str,
) -> Result<Option<Rewrapped>, StoreError> {
    let Some(row) = ProviderRow::lock_any(tx, id)? else { return Ok(None) };
    let Some(sealed) = &row.secret else { return Ok(None) };
    let definition = Registered::read(&row).map(|kept| kept.definition);
    let fresh = definition.map_err(|_| VaultError::Open).and_then(|definition| {
        let place = definition.secret_place();
        vault.rewrap_secret(&bound(&row, &place), sealed)
    });
    Ok(Some((sealed.wrapped_key.clone(), fresh)))
}

/// A wrapped key as it was, and as it is to be.
pub(in crate::authority) type Rewrapped = (Vec<u8>, Result<Vec<u8>, VaultError>);

/// Seals a secret into a row. All else of the row stands already.
pub(super) fn seal(
    vault: &Vault,
    row: &mut ProviderRow,
    definition: &Definition,
    secret: Option<&Secret>,
) -> Result<(), ProviderError> {
    let place = definition.secret_place();
    let sealed = secret.map(|secret| vault.seal_secret(&bound(row, &place), secret));
    row.secret = sealed.transpose().map_err(|error| unsealed(definition, error))?;
    Ok(())
}

fn bound<'a>(row: &'a ProviderRow, place: &'a str) -> [&'a str; 4] {
    ["provider client secret", &row.workspace, &row.id, place]
}

fn unsealed(definition: &Definition, error: VaultError) -> ProviderError {
    ProviderError::Sealed { name: definition.name().clone(), why: error.to_string() }
}
