use std::collections::BTreeSet;

use crate::authority::access::Scope;
use crate::authority::store::{Row, StoreError, Transaction, Value};

/// An API key as it lies in the store: its hash, never its text.
#[derive(Clone, Debug)]
pub(in crate::authority) struct KeyRow {
    pub(in crate::authority) id: String,
    pub(in crate::authority) workspace: String,
    pub(in crate::authority) name: String,
    pub(in crate::authority) scope: Scope,
    /// Seconds since 1970, as is every moment here.
    pub(in crate::authority) created_at: i64,
    pub(in crate::authority) expires_at: Option<i64>,
    pub(in crate::authority) revoked_at: Option<i64>,
}

macro_rules! columns {
    () => {
        "id, workspace, name, scope, agents, connections, created_at, expires_at, revoked_at"
    };
}

impl KeyRow {
    /// Finds the key of a hash, whatever its workspace.
    pub(in crate::authority) fn by_hash(tx: &mut dyn Transaction, hash: &[u8]) -> Result<Option<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM keys WHERE hash = $1");
        tx.find(sql, &[hash.into()], Self::read)
    }

    /// Finds a key of a workspace by its id.
    pub(in crate::authority) fn by_id(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM keys WHERE workspace = $1 AND id = $2");
        tx.find(sql, &[workspace.into(), id.into()], Self::read)
    }

    /// At most `limit` keys of a workspace whose ids come after this one, by id.
    pub(in crate::authority) fn page(
        tx: &mut dyn Transaction,
        workspace: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM keys WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3");
        tx.list(sql, &[workspace.into(), after.into(), limit.into()], Self::read)
    }

    /// Tells whether there is a key of any workspace, alive or not.
    pub(in crate::authority) fn is_any(tx: &mut dyn Transaction) -> Result<bool, StoreError> {
        Ok(tx.row("SELECT id FROM keys LIMIT 1", &[])?.is_some())
    }

    /// Writes a new key.
    pub(in crate::authority) fn insert(&self, tx: &mut dyn Transaction, hash: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO keys (id, workspace, hash, name, scope, agents, connections, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (agents, connections) = lists(&self.scope);
        let values: [Value; 9] = [
            self.id.as_str().into(),
            self.workspace.as_str().into(),
            hash.into(),
            self.name.as_str().into(),
            self.scope.word().into(),
            json(agents).into(),
            json(connections).into(),
            self.created_at.into(),
            self.expires_at.into(),
        ];
        tx.execute(sql, &values).map(drop)
    }

    /// Revokes a key that is not revoked yet; tells whether it was alive until now.
    pub(in crate::authority) fn revoke(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE keys SET revoked_at = $1 WHERE workspace = $2 AND id = $3 AND revoked_at IS NULL";
        Ok(tx.execute(sql, &[now.into(), workspace.into(), id.into()])? > 0)
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let id = row.text(0)?;
        let damaged = || StoreError::damaged("key", id, "what it may do cannot be read");
        let list = |column: usize| -> Result<BTreeSet<String>, StoreError> {
            serde_json::from_str(row.text(column)?).map_err(|_| damaged())
        };
        let (agents, connections) = (list(4)?, list(5)?);
        let scope = match row.text(3)? {
            "admin" => Scope::Admin,
            "app" => Scope::App,
            "sidecar" => Scope::Sidecar { agents },
            "lease" => Scope::Lease { connections },
            "agent" => Scope::Agent { agent: agents.into_iter().next().ok_or_else(damaged)? },
            _ => return Err(damaged()),
        };
        Ok(Self {
            id: id.to_owned(),
            workspace: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            scope,
            created_at: row.int(6)?,
            expires_at: row.int_or_null(7)?,
            revoked_at: row.int_or_null(8)?,
        })
    }
}

/// The agents and the connections that a scope names.
fn lists(scope: &Scope) -> (Vec<&str>, Vec<&str>) {
    match scope {
        Scope::Admin | Scope::App => (Vec::new(), Vec::new()),
        Scope::Sidecar { agents } => (agents.iter().map(String::as_str).collect(), Vec::new()),
        Scope::Lease { connections } => (Vec::new(), connections.iter().map(String::as_str).collect()),
        Scope::Agent { agent } => (vec![agent], Vec::new()),
    }
}

fn json(list: Vec<&str>) -> String {
    serde_json::Value::from(list).to_string()
}
