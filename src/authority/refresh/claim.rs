//! Who renews a connection: whoever has its row's claim, and nobody else until that ends.

use super::{Ready, unfit};
use crate::authority::life::step;
use crate::authority::providers::{Client, Pinned, ProviderError};
use crate::authority::recorder::Work;
use crate::authority::rows::{ConnectionRow, State};
use crate::authority::store::{StoreError, Transaction};
use crate::authority::vault::Vault;
use crate::model::Secret;

/// How long a claim holds, in seconds: longer than a call and the write after it, by so much that the
/// clocks of replicas may differ a little.
pub(super) const CLAIM: i64 = 60;

/// A connection that is to be renewed, now or next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) workspace: String,
    pub(super) id: String,
    pub(super) provider: String,
    /// Seconds since 1970.
    pub(super) at: i64,
}

impl Due {
    /// At most `limit` that nobody has claimed, by when they are due; the first that is not due yet
    /// says when to look again.
    pub(super) fn next(tx: &mut dyn Transaction, now: i64, limit: i64) -> Result<Vec<Self>, StoreError> {
        let sql = "SELECT workspace, id, provider, refresh_at FROM connections
            WHERE refresh_at IS NOT NULL AND state = 'active' AND (claimed_until IS NULL OR claimed_until < $1)
            ORDER BY refresh_at, id LIMIT $2";
        let due = |row: &crate::authority::store::Row| {
            Ok(Self {
                workspace: row.text(0)?.to_owned(),
                id: row.text(1)?.to_owned(),
                provider: row.text_or_null(2)?.unwrap_or_default().to_owned(),
                at: row.int(3)?,
            })
        };
        tx.list(sql, &[now.into(), limit.into()], due)
    }
}

/// Claims a connection that is due. None where somebody else was first, or where there is nothing to
/// renew it with: then it waits for a person from now on.
pub(super) fn claim(work: &mut Work<'_>, vault: &Vault, id: &str, by: &str) -> Result<Option<Ready>, StoreError> {
    let (workspace, now) = (work.workspace.as_str(), work.now);
    let row = ConnectionRow::claim(work.tx(), workspace, id, by, now, now + CLAIM)?;
    row.map_or(Ok(None), |row| ready(work, vault, row))
}

/// Opens what a claimed row is renewed with.
pub(super) fn ready(work: &mut Work<'_>, vault: &Vault, mut row: ConnectionRow) -> Result<Option<Ready>, StoreError> {
    let why = match open(work.tx(), vault, &row)? {
        Ok(ready) => return Ok(Some(ready)),
        Err(why) => why,
    };
    (row.claimed_by, row.claimed_until) = (None, None);
    if row.state == State::Active {
        step(work, &mut row, State::Attention, Some(why)).map_err(|error| unfit(&row, &error))?;
    }
    row.put(work.tx())?;
    Ok(None)
}

/// Tells whether there is anything to renew a connection with, without opening it.
pub(super) fn is_renewable(row: &ConnectionRow) -> bool {
    let pinned = row.endpoints.as_deref().and_then(|text| Pinned::read(text).ok());
    let names: Vec<String> = serde_json::from_str(&row.field_names).unwrap_or_default();
    pinned.is_some_and(|pinned| pinned.endpoints.token_url.is_some()) && names.iter().any(|name| name == REFRESH_TOKEN)
}

pub(super) const REFRESH_TOKEN: &str = "refresh_token";

fn open(
    tx: &mut dyn Transaction,
    vault: &Vault,
    row: &ConnectionRow,
) -> Result<Result<Ready, &'static str>, StoreError> {
    let Some(Ok(pinned)) = row.endpoints.as_deref().map(Pinned::read) else { return Ok(Err("no_token_endpoint")) };
    let Ok(fields) = vault.open(row) else { return Ok(Err("unreadable")) };
    let Some(refresh_token) = fields.get(REFRESH_TOKEN).map(Secret::duplicate) else {
        return Ok(Err("no_refresh_token"));
    };
    let client = match Client::find(tx, vault, &row.workspace, &pinned.provider) {
        Ok(Some(client)) if !client.deleted => client,
        Ok(_) => return Ok(Err("provider_deleted")),
        Err(ProviderError::Store(error)) => return Err(error),
        Err(_) => return Ok(Err("provider_unreadable")),
    };
    let Some(endpoint) = pinned.endpoints.token_endpoint(client.secret) else { return Ok(Err("no_token_endpoint")) };
    let by = row.claimed_by.clone().unwrap_or_default();
    let (id, name) = (row.id.clone(), row.name.clone());
    Ok(Ok(Ready { id, name, by, endpoint, refresh_token }))
}
