//! Puts one master key in the place of another while the store is in use: every process opens
//! under both until the last row has been wrapped anew.

use super::providers::rewrapped;
use super::rows::{meta, set_meta};
use super::store::{StoreError, Value};
use super::vault::{Sealed, VaultError};
use super::{AUDIT_KEY, Authority, AuthorityError, KEY_CHECK};

/// Rows of one transaction: others write in between.
const BATCH: i64 = 100;

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Rows that are under the current key now, and were not.
    pub rows: u64,
    /// Rows that open under none of the keys.
    pub unusable: u64,
}

/// The tables with wrapped keys: which rows are left, and what is written.
struct Table {
    name: &'static str,
    left: &'static str,
    put: &'static str,
}

const TABLES: [Table; 2] = [
    Table {
        name: "connections",
        left: "SELECT id FROM connections WHERE id > $1 AND (key_id IS NULL OR key_id <> $2) ORDER BY id LIMIT $3",
        put: "UPDATE connections SET wrapped_key = $1, key_id = $2 WHERE id = $3 AND wrapped_key = $4",
    },
    Table {
        name: "providers",
        left: "SELECT id FROM providers WHERE id > $1 AND sealed IS NOT NULL AND (key_id IS NULL OR key_id <> $2)
            ORDER BY id LIMIT $3",
        put: "UPDATE providers SET wrapped_key = $1, key_id = $2 WHERE id = $3 AND wrapped_key = $4",
    },
];

impl Authority {
    /// Wraps every data key under the current master key, whichever of the known keys it is under
    /// now. It may be interrupted and run again; `progress` hears after each batch. It blocks.
    ///
    /// The constant that tells whose store it is comes last: until then, a process that knows the
    /// new key alone is refused.
    pub fn rotate_key(&self, mut progress: impl FnMut(Rotated)) -> Result<Rotated, AuthorityError> {
        let mut done = Rotated::default();
        for table in &TABLES {
            let mut after = String::new();
            loop {
                let (rows, unusable, last) = self.rotate_batch(table, after)?;
                done.rows += rows;
                done.unusable += unusable;
                progress(done);
                match last {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        if done.unusable == 0 {
            self.rotate_meta()?;
        }
        Ok(done)
    }

    /// One batch: how many were wrapped anew, how many could not be, and the last id, if there may be more.
    fn rotate_batch(&self, table: &'static Table, after: String) -> Result<(u64, u64, Option<String>), StoreError> {
        let vault = std::sync::Arc::clone(&self.desk.vault);
        self.write(move |work| {
            let values: [Value; 3] = [after.as_str().into(), vault.key_id().into(), BATCH.into()];
            let left = work.query(table.left, &values)?;
            let (mut rows, mut unusable) = (0, 0);
            for row in &left {
                let id = row.text(0)?;
                match table.rewrap(work, &vault, id)? {
                    true => rows += 1,
                    false => unusable += 1,
                }
            }
            let last = left.last().map(|row| row.text(0).map(str::to_owned)).transpose()?;
            if rows > 0 {
                work.record(super::record::Record::new("key.rotated").with("table", table.name).with("rows", rows));
            }
            Ok((rows, unusable, last))
        })
    }

    fn rotate_meta(&self) -> Result<(), AuthorityError> {
        let nonce = super::vault::random().map_err(|_| AuthorityError::Random)?;
        let check = self.check.seal(*nonce, KEY_CHECK.as_bytes(), b"")?;
        let vault = std::sync::Arc::clone(&self.desk.vault);
        self.write(move |work| {
            let damaged = |_: VaultError| StoreError::damaged("key", AUDIT_KEY, VaultError::Open);
            let found = meta(work.tx(), AUDIT_KEY)?.and_then(|bytes| Sealed::from_bytes(&bytes));
            let found = found.ok_or_else(|| damaged(VaultError::Open))?;
            let key = vault.open_secret(&[AUDIT_KEY], &found).map_err(damaged)?;
            let sealed = vault.seal_secret(&[AUDIT_KEY], &key).map_err(damaged)?;
            set_meta(work.tx(), AUDIT_KEY, &sealed.to_bytes())?;
            set_meta(work.tx(), KEY_CHECK, &check)
        })?;
        Ok(())
    }
}

impl Table {
    /// Wraps one row's data key anew; false where it opens under none of the keys.
    fn rewrap(&self, work: &mut super::Work<'_>, vault: &super::vault::Vault, id: &str) -> Result<bool, StoreError> {
        let found = match self.name {
            "connections" => super::rows::ConnectionRow::any(work.tx(), id)?.map(|row| {
                let fresh = vault.rewrap(&row);
                (row.wrapped_key, fresh)
            }),
            _ => rewrapped(work.tx(), vault, id)?,
        };
        // It was deleted meanwhile.
        let Some((old, fresh)) = found else { return Ok(true) };
        let Ok(fresh) = fresh else { return Ok(false) };
        // Who gave it new credentials meanwhile has sealed them under the current key.
        work.execute(self.put, &[fresh.into(), vault.key_id().into(), id.into(), old.into()])?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
