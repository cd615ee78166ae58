use crate::authority::store::{Row, StoreError, Transaction};

/// An agent that the Authority knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct AgentRow {
    pub(in crate::authority) name: String,
    /// Seconds since 1970, as is the next.
    pub(in crate::authority) created_at: i64,
    pub(in crate::authority) revoked_at: Option<i64>,
}

impl AgentRow {
    /// Finds an agent.
    pub(in crate::authority) fn find(
        tx: &mut dyn Transaction,
        workspace: &str,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT name, created_at, revoked_at FROM agents WHERE workspace = $1 AND name = $2";
        tx.find(sql, &[workspace.into(), name.into()], Self::read)
    }

    /// Finds an agent, and keeps every other writer from it until the end of the transaction.
    pub(in crate::authority) fn lock(
        tx: &mut dyn Transaction,
        workspace: &str,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT name, created_at, revoked_at FROM agents WHERE workspace = $1 AND name = $2 FOR UPDATE";
        tx.find(sql, &[workspace.into(), name.into()], Self::read)
    }

    /// At most `limit` agents of a workspace whose names come after this one, by name.
    pub(in crate::authority) fn page(
        tx: &mut dyn Transaction,
        workspace: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = "SELECT name, created_at, revoked_at FROM agents
            WHERE workspace = $1 AND name > $2 ORDER BY name LIMIT $3";
        tx.list(sql, &[workspace.into(), after.into(), limit.into()], Self::read)
    }

    /// Adds an agent, or takes a revoked one in again; tells whether there was none alive.
    pub(in crate::authority) fn add(
        tx: &mut dyn Transaction,
        workspace: &str,
        name: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO agents (workspace, name, created_at) VALUES ($1, $2, $3)
            ON CONFLICT (workspace, name) DO UPDATE SET created_at = excluded.created_at, revoked_at = NULL
            WHERE agents.revoked_at IS NOT NULL";
        Ok(tx.execute(sql, &[workspace.into(), name.into(), now.into()])? > 0)
    }

    /// Revokes an agent and takes its grants away; tells whether it was alive until now.
    pub(in crate::authority) fn revoke(
        tx: &mut dyn Transaction,
        workspace: &str,
        name: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE agents SET revoked_at = $1 WHERE workspace = $2 AND name = $3 AND revoked_at IS NULL";
        let revoked = tx.execute(sql, &[now.into(), workspace.into(), name.into()])? > 0;
        tx.execute("DELETE FROM grants WHERE workspace = $1 AND agent = $2", &[workspace.into(), name.into()])?;
        Ok(revoked)
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { name: row.text(0)?.to_owned(), created_at: row.int(1)?, revoked_at: row.int_or_null(2)? })
    }
}
