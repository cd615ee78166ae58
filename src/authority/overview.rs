//! How a store stands, in numbers: for who looks after it. No name of a connection is among them.

use super::store::{StoreError, Transaction, VERSION, Value};
use super::{Authority, State};

/// What a store holds, over all workspaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The version of its tables.
    pub schema: u64,
    /// Connections, and how many there are in each state.
    pub connections: Vec<(State, u64)>,
    /// Connections whose provider has not been told yet that they are revoked.
    pub untold: u64,
    /// API keys that are alive, those among them that may manage, and those that never end.
    pub keys: u64,
    /// See `keys`.
    pub admin_keys: u64,
    /// See `keys`.
    pub endless_keys: u64,
    /// The workspaces that lend nothing.
    pub frozen: Vec<String>,
    /// Rows that are sealed under another key than the current one.
    pub under_other_keys: u64,
    /// Lines of the audit.
    pub audit_lines: u64,
}

impl Authority {
    /// Counts. It blocks, and makes nothing.
    pub fn overview(&self) -> Result<Overview, StoreError> {
        let (now, key) = (self.now(), self.desk.vault.key_id());
        self.read(|tx| {
            let mut found = Overview { schema: VERSION, ..Overview::default() };
            for row in tx.query("SELECT state, count(*) FROM connections GROUP BY state ORDER BY state", &[])? {
                let word = row.text(0)?;
                let state = State::ALL.into_iter().find(|state| state.as_str() == word);
                let state = state.ok_or_else(|| StoreError::damaged("state", word, "no such word is known"))?;
                found.connections.push((state, row.int(1)?.unsigned_abs()));
            }
            found.untold = count(tx, "SELECT count(*) FROM connections WHERE revocation = 'pending'", &[])?;
            let sql = "SELECT scope, count(*), count(expires_at) FROM keys
                WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) GROUP BY scope";
            for row in tx.query(sql, &[now.into()])? {
                let (all, ending) = (row.int(1)?.unsigned_abs(), row.int(2)?.unsigned_abs());
                found.keys += all;
                found.endless_keys += all - ending;
                found.admin_keys += if row.text(0)? == "admin" { all } else { 0 };
            }
            let sql = "SELECT workspace FROM workspaces WHERE frozen_at IS NOT NULL ORDER BY workspace";
            for row in tx.query(sql, &[])? {
                found.frozen.push(row.text(0)?.to_owned());
            }
            for sql in [
                "SELECT count(*) FROM connections WHERE key_id IS NULL OR key_id <> $1",
                "SELECT count(*) FROM providers WHERE sealed IS NOT NULL AND (key_id IS NULL OR key_id <> $1)",
            ] {
                found.under_other_keys += count(tx, sql, &[key.into()])?;
            }
            found.audit_lines = count(tx, "SELECT count(*) FROM audit", &[])?;
            Ok(found)
        })
    }
}

fn count(tx: &mut dyn Transaction, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
    let rows = tx.query(sql, values)?;
    Ok(rows.first().map(|row| row.int(0)).transpose()?.unwrap_or_default().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use crate::authority::tests::{bearer, name, open};
    use crate::authority::{NewKey, Scope, State};

    #[test]
    fn what_a_store_holds_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let authority = open(folder.path());
        authority.add(bearer("one", "t")).unwrap();
        authority.add(bearer("two", "t")).unwrap();
        authority.delete(&name("two")).unwrap();
        for scope in [Scope::Admin, Scope::App] {
            authority.add_key(NewKey { name: String::new(), scope, expires_at: None }).unwrap();
        }
        authority.freeze().unwrap();
        let found = authority.overview().unwrap();
        assert_eq!(found.connections, [(State::Active, 1)]);
        assert_eq!((found.keys, found.admin_keys, found.endless_keys), (2, 1, 2));
        assert_eq!((found.frozen.as_slice(), found.under_other_keys, found.untold), (&["local".to_owned()][..], 0, 0));
        assert!(found.audit_lines >= 5);
    }
}
