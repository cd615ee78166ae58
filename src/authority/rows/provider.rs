use crate::authority::store::{StoreError, Transaction};
use crate::authority::vault::Sealed;

/// The sealed client secret of a provider with its workspace, kept from other writers.
pub(in crate::authority) fn provider_secret(
    tx: &mut dyn Transaction,
    id: &str,
) -> Result<Option<(String, Sealed)>, StoreError> {
    let sql = "SELECT workspace, sealed, wrapped_key, key_id FROM providers
        WHERE id = $1 AND sealed IS NOT NULL FOR UPDATE";
    let Some(row) = tx.row(sql, &[id.into()])? else { return Ok(None) };
    let (sealed, wrapped_key) = (row.bytes(1)?.to_vec(), row.bytes(2)?.to_vec());
    Ok(Some((row.text(0)?.to_owned(), Sealed { sealed, wrapped_key, key_id: row.text(3)?.to_owned() })))
}
