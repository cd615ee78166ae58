use crate::authority::store::{StoreError, Transaction};

/// What the store says about itself, by name.
pub(in crate::authority) fn meta(tx: &mut dyn Transaction, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row = tx.row("SELECT value FROM meta WHERE name = $1", &[name.into()])?;
    row.map(|row| row.bytes(0).map(<[u8]>::to_vec)).transpose()
}

/// Says something about the store, in place of what was said by that name.
pub(in crate::authority) fn set_meta(tx: &mut dyn Transaction, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[name.into(), value.into()]).map(drop)
}

/// Keeps every other process from saying something about the store until the transaction ends.
pub(in crate::authority) fn lock_meta(tx: &mut dyn Transaction) -> Result<(), StoreError> {
    tx.query("SELECT name FROM meta WHERE name = 'lock' FOR UPDATE", &[]).map(drop)
}
