use std::collections::{BTreeMap, BTreeSet};

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
    /// Whom an event about a connection concerns: the agents that may borrow it, or could when it
    /// was deleted.
    pub(super) agents: Vec<String>,
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

    /// Keeps whom it concerns, for what is gone when somebody reads it.
    pub(super) fn concerning(mut self, agents: &[String]) -> Self {
        self.detail = Some(serde_json::json!({ "agents": agents }).to_string());
        self
    }

    fn concerned(&self) -> Option<Vec<String>> {
        let detail: serde_json::Value = serde_json::from_str(self.detail.as_deref()?).ok()?;
        let agents = detail.get("agents")?.as_array()?;
        Some(agents.iter().filter_map(serde_json::Value::as_str).map(str::to_owned).collect())
    }
}

impl Event {
    /// Numbers news of one workspace, in their order, and writes them. The row that holds the number
    /// stays locked until the transaction ends, so that whoever has read number N has read all that
    /// came before it.
    pub(super) fn write(tx: &mut dyn Transaction, workspace: &str, news: &[&News], at: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO workspaces (workspace, last_event) VALUES ($1, $2)
            ON CONFLICT (workspace) DO UPDATE SET last_event = workspaces.last_event + excluded.last_event
            RETURNING last_event";
        let count = i64::try_from(news.len()).unwrap_or(i64::MAX);
        let row = tx.row(sql, &[workspace.into(), count.into()])?;
        let last = row.ok_or_else(|| StoreError::damaged("workspace", workspace, "it has no number"))?.int(0)?;
        let sql = "INSERT INTO events (workspace, number, kind, connection, name, agent, provider, detail, at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = |(news, number): (&&News, i64)| -> Vec<Value> {
            let (id, name) = news.connection.clone().unzip();
            vec![
                workspace.into(),
                number.into(),
                news.kind.as_str().into(),
                id.into(),
                name.into(),
                news.agent.clone().into(),
                news.provider.clone().into(),
                news.detail.clone().into(),
                at.into(),
            ]
        };
        let lists: Vec<Vec<Value>> = news.iter().zip(last - count + 1..).map(values).collect();
        tx.each(sql, &lists).map(drop)
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
        let rows = tx.query(sql, &[workspace.into(), number.into(), limit.into()])?;
        let mut events = rows.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        Self::find_concerned(tx, workspace, &mut events)?;
        Ok(events)
    }

    fn find_concerned(tx: &mut dyn Transaction, workspace: &str, events: &mut [Self]) -> Result<(), StoreError> {
        // What names an agent concerns that agent alone.
        let asks = |event: &&mut Self| event.agents.is_empty() && event.news.agent.is_none();
        let id = |event: &Self| event.news.connection.as_ref().map(|(id, _)| id.clone());
        let ids: BTreeSet<String> = events.iter_mut().filter(asks).filter_map(|event| id(event)).collect();
        let lists: Vec<Vec<Value>> = ids.iter().map(|id| vec![workspace.into(), id.as_str().into()]).collect();
        let found = tx.each(GRANTED, &lists)?;
        let found = ids.into_iter().zip(found).map(|(id, rows)| Ok((id, names(&rows)?)));
        let found = found.collect::<Result<BTreeMap<String, Vec<String>>, StoreError>>()?;
        for event in events.iter_mut().filter(asks) {
            event.agents = id(event).and_then(|id| found.get(&id).cloned()).unwrap_or_default();
        }
        Ok(())
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
        let agents = news.concerned().unwrap_or_default();
        Ok(Self { number: row.int(1)?, workspace: row.text(0)?.to_owned(), news, at: row.int(8)?, agents })
    }
}

const GRANTED: &str = "SELECT agent FROM grants WHERE workspace = $1 AND connection = $2 ORDER BY agent";

/// The agents that may borrow a connection.
pub(super) fn granted(tx: &mut dyn Transaction, workspace: &str, connection: &str) -> Result<Vec<String>, StoreError> {
    names(&tx.query(GRANTED, &[workspace.into(), connection.into()])?)
}

fn names(rows: &[Row]) -> Result<Vec<String>, StoreError> {
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}
