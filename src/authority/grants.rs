//! Which agent may borrow which connection: the Authority's own rule, on top of a sidecar's policy.

use std::time::SystemTime;

use super::Authority;
use super::access::AccessError;
use super::agents::must_be_there;
use super::connections::time;
use super::event::News;
use super::record::Record;
use super::rows::GrantRow;
use super::store::StoreError;

/// That an agent may borrow a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The agent.
    pub agent: String,
    /// The connection's id.
    pub connection: String,
    /// The connection's name.
    pub name: String,
    /// Since when.
    pub created_at: SystemTime,
}

/// Whether a call about a grant changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Yes,
    /// It was so before.
    No,
}

impl Authority {
    /// Lets an agent borrow a connection, named by its name or its id.
    pub fn allow(&self, agent: &str, connection: &str) -> Result<(Granted, Changed), AccessError> {
        self.grant(agent, connection, true)
    }

    /// No longer lets an agent borrow a connection; sidecars are told to drop what it has of it.
    pub fn disallow(&self, agent: &str, connection: &str) -> Result<(Granted, Changed), AccessError> {
        self.grant(agent, connection, false)
    }

    /// Every grant of the workspace, by agent.
    pub fn grants(&self) -> Result<Vec<Granted>, AccessError> {
        self.grants_after(("", ""), i64::MAX)
    }

    /// At most `limit` grants that come after this agent and connection (its id).
    pub(in crate::authority) fn grants_after(
        &self,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Granted>, AccessError> {
        let rows = self.read::<_, StoreError>(|tx| GrantRow::page(tx, self.workspace.as_str(), after, limit))?;
        let view = |row: GrantRow| Granted {
            agent: row.agent,
            connection: row.connection,
            name: row.name,
            created_at: time(row.created_at),
        };
        Ok(rows.into_iter().map(view).collect())
    }

    fn grant(&self, agent: &str, connection: &str, allowed: bool) -> Result<(Granted, Changed), AccessError> {
        let (agent, which) = (agent.to_owned(), connection.to_owned());
        self.write(move |work| {
            if allowed {
                must_be_there(work, &agent)?;
            }
            let row = work.lock(&which)?.ok_or_else(|| AccessError::NoConnection(which.clone()))?;
            let (workspace, now) = (work.workspace.as_str(), work.now);
            let changed = match allowed {
                true => GrantRow::add(work.tx(), workspace, &agent, &row.id, now)?,
                false => GrantRow::remove(work.tx(), workspace, &agent, &row.id)?,
            };
            if changed {
                let event = if allowed { "grant.added" } else { "grant.removed" };
                work.record(Record::new(event).connection(&row.id, &row.name).with("agent", agent.as_str()));
                work.announce(News::new("grant.changed").connection(&row.id, &row.name).agent(&agent));
            }
            let granted = Granted { agent, connection: row.id, name: row.name, created_at: time(now) };
            Ok((granted, if changed { Changed::Yes } else { Changed::No }))
        })
    }
}
