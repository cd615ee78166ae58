use super::store::{Row, StoreError, Transaction, Value};

/// What sidecars are told of: whatever may make something that was lent worthless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its number in its workspace, in the order of commits.
    pub(super) number: i64,
    pub(super) workspace: String,
    pub(super) news: News,
    /// Seconds since 1970.
    pub(super) at: i64,
}

/// What happened, to what.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct News {
    /// `connection.changed`, `connection.revoked`, …
    pub(super) kind: String,
    /// The id of a connection, and its name.
    pub(super) connection: Option<(String, String)>,
    pub(super) agent: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) detail: Option<String>,
}

impl News {
    pub(super) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    pub(super) fn connection(mut self, id: &str, name: &str) -> Self {
        self.connection = Some((id.to_owned(), name.to_owned()));
        self
    }

    pub(super) fn agent(mut self, name: &str) -> Self {
        self.agent = Some(name.to_owned());
        self
    }

    pub(super) fn provider(mut self, name: &str) -> Self {
        self.provider = Some(name.to_owned());
        self
    }
}

impl Event {
    /// Numbers news and writes them. The row that holds the number stays locked until the
    /// transaction ends, so that whoever has read number N has read all that came before it.
    pub(super) fn write(tx: &mut dyn Transaction, workspace: &str, news: &News, at: i64) -> Result<i64, StoreError> {
        let sql = "INSERT INTO workspaces (workspace, last_event) VALUES ($1, 1)
            ON CONFLICT (workspace) DO UPDATE SET last_event = workspaces.last_event + 1 RETURNING last_event";
        let row = tx.row(sql, &[workspace.into()])?;
        let number = row.ok_or_else(|| StoreError::damaged("workspace", workspace, "it has no number"))?.int(0)?;
        let sql = "INSERT INTO events (workspace, number, kind, connection, name, agent, provider, detail, at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (id, name) = news.connection.clone().unzip();
        let values: [Value; 9] = [
            workspace.into(),
            number.into(),
            news.kind.as_str().into(),
            id.into(),
            name.into(),
            news.agent.clone().into(),
            news.provider.clone().into(),
            news.detail.clone().into(),
            at.into(),
        ];
        tx.execute(sql, &values)?;
        Ok(number)
    }

    /// At most `limit` events of a workspace after this number, in order.
    pub(super) fn after(
        tx: &mut dyn Transaction,
        workspace: &str,
        number: i64,
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = "SELECT workspace, number, kind, connection, name, agent, provider, detail, at FROM events
            WHERE workspace = $1 AND number > $2 ORDER BY number LIMIT $3";
        tx.query(sql, &[workspace.into(), number.into(), limit.into()])?.iter().map(Self::read).collect()
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let owned = |column: usize| Ok::<_, StoreError>(row.text_or_null(column)?.map(str::to_owned));
        let news = News {
            kind: row.text(2)?.to_owned(),
            connection: owned(3)?.zip(owned(4)?),
            agent: owned(5)?,
            provider: owned(6)?,
            detail: owned(7)?,
        };
        Ok(Self { number: row.int(1)?, workspace: row.text(0)?.to_owned(), news, at: row.int(8)? })
    }
}
