use crate::authority::store::{Row, StoreError, Transaction};

/// That an agent may borrow a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct GrantRow {
    pub(in crate::authority) agent: String,
    /// The connection's id.
    pub(in crate::authority) connection: String,
    /// The connection's name.
    pub(in crate::authority) name: String,
    /// Seconds since 1970.
    pub(in crate::authority) created_at: i64,
}

impl GrantRow {
    /// Grants; tells whether it was not granted before.
    pub(in crate::authority) fn add(
        tx: &mut dyn Transaction,
        workspace: &str,
        agent: &str,
        connection: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO grants (workspace, agent, connection, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (workspace, agent, connection) DO NOTHING";
        Ok(tx.execute(sql, &[workspace.into(), agent.into(), connection.into(), now.into()])? > 0)
    }

    /// Takes a grant away; tells whether there was one.
    pub(in crate::authority) fn remove(
        tx: &mut dyn Transaction,
        workspace: &str,
        agent: &str,
        connection: &str,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM grants WHERE workspace = $1 AND agent = $2 AND connection = $3";
        Ok(tx.execute(sql, &[workspace.into(), agent.into(), connection.into()])? > 0)
    }

    /// At most `limit` grants of a workspace that come after this agent and connection (its id), in
    /// that order.
    pub(in crate::authority) fn page(
        tx: &mut dyn Transaction,
        workspace: &str,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = "SELECT grants.agent, grants.connection, connections.name, grants.created_at
            FROM grants JOIN connections ON connections.id = grants.connection
            WHERE grants.workspace = $1 AND (grants.agent > $2 OR (grants.agent = $3 AND grants.connection > $4))
            ORDER BY grants.agent, grants.connection LIMIT $5";
        let (agent, connection) = after;
        let values = [workspace.into(), agent.into(), agent.into(), connection.into(), limit.into()];
        tx.list(sql, &values, Self::read)
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            agent: row.text(0)?.to_owned(),
            connection: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            created_at: row.int(3)?,
        })
    }
}
