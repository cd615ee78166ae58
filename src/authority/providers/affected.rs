//! The connections of a provider that changed: those whose endpoints or hosts are no longer what it
//! says wait for a person.

use super::definition::Definition;
use super::endpoints::{Endpoints, Pinned};
use super::registered::ProviderError;
use crate::authority::Authority;
use crate::authority::contract::read_bindings;
use crate::authority::life::step;
use crate::authority::recorder::Work;
use crate::authority::rows::{ConnectionRow, ProviderRow, State};
use crate::authority::store::{StoreError, Transaction};

/// Why such a connection waits.
const CHANGED: &str = "provider_changed";
const DELETED: &str = "provider_deleted";

impl Authority {
    /// The names of connections that would need attention if the provider of this id were `after`, or,
    /// without one, were deleted.
    ///
    /// # Errors
    /// The store.
    pub fn connections_moved_by(&self, id: &str, after: Option<&Definition>) -> Result<Vec<String>, ProviderError> {
        self.read(|tx| {
            let Some(row) = ProviderRow::by_id(tx, self.workspace.as_str(), id)? else { return Ok(Vec::new()) };
            Ok(moved(tx, &row, after)?.into_iter().map(|row| row.name).collect())
        })
    }
}

/// The connections that were made for this provider. One that was made for another of the same name,
/// such as the one of the catalogue, is none of them.
pub(super) fn of(
    tx: &mut dyn Transaction,
    workspace: &str,
    name: &str,
    id: &str,
) -> Result<Vec<ConnectionRow>, StoreError> {
    let rows = ConnectionRow::of_provider(tx, workspace, name)?;
    Ok(rows.into_iter().filter(|row| pinned(row).is_some_and(|pinned| pinned.provider == id)).collect())
}

/// Moves every active connection that no longer is what its provider makes to `attention`; answers
/// their names. Nothing of it is lent or renewed until it has new credentials.
pub(super) fn settle(
    work: &mut Work<'_>,
    provider: &ProviderRow,
    after: Option<&Definition>,
) -> Result<Vec<String>, StoreError> {
    let why = if after.is_some() { CHANGED } else { DELETED };
    let mut names = Vec::new();
    for found in moved(work.tx(), provider, after)? {
        // Found without a lock: another writer may have been there since.
        let Some(mut row) = work.lock(&found.id)? else { continue };
        if row.id != found.id || row.state != State::Active {
            continue;
        }
        if step(work, &mut row, State::Attention, Some(why)).is_ok() {
            row.put(work.tx())?;
            names.push(row.name);
        }
    }
    Ok(names)
}

pub(super) fn moved(
    tx: &mut dyn Transaction,
    provider: &ProviderRow,
    after: Option<&Definition>,
) -> Result<Vec<ConnectionRow>, StoreError> {
    let mut rows = of(tx, &provider.workspace, &provider.name, &provider.id)?;
    rows.retain(|row| row.state == State::Active && !after.is_some_and(|after| still_holds(row, after)));
    Ok(rows)
}

/// Tells whether a connection is what the provider would make now.
fn still_holds(row: &ConnectionRow, after: &Definition) -> bool {
    let same_endpoints = pinned(row).is_some_and(|pinned| pinned.endpoints == Endpoints::of(after));
    same_endpoints && read_bindings(row).ok().as_ref() == after.bindings() && row.owned == after.is_owned()
}

fn pinned(row: &ConnectionRow) -> Option<Pinned> {
    Pinned::read(row.endpoints.as_deref()?).ok()
}
