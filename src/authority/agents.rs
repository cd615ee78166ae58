//! Adds, lists and revokes agents: who may borrow at all.

use std::time::SystemTime;

use super::access::AccessError;
use super::connections::time;
use super::record::Record;
use super::recorder::Work;
use super::rows::AgentRow;
use super::store::StoreError;
use super::{Authority, revoke};
use crate::model::is_agent_name;

/// An agent as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAgent {
    /// Its name.
    pub name: String,
    /// When it was added.
    pub created_at: SystemTime,
    /// When it was revoked; nothing is lent to it since.
    pub revoked_at: Option<SystemTime>,
}

impl Authority {
    /// Adds an agent. One that was revoked is there again, without the grants that it had.
    pub fn add_agent(&self, name: &str) -> Result<ListedAgent, AccessError> {
        if !is_agent_name(name) {
            return Err(AccessError::AgentName);
        }
        let name = name.to_owned();
        self.write(move |work| {
            let (workspace, now) = (work.workspace.as_str(), work.now);
            if !AgentRow::add(work.tx(), workspace, &name, now)? {
                return Err(AccessError::AgentExists(name));
            }
            work.record(Record::new("agent.added").with("agent", name.as_str()));
            Ok(ListedAgent { name, created_at: time(now), revoked_at: None })
        })
    }

    /// Every agent of the workspace, by name.
    pub fn agents(&self) -> Result<Vec<ListedAgent>, AccessError> {
        self.agents_after("", i64::MAX)
    }

    /// At most `limit` agents whose names come after this one.
    pub(in crate::authority) fn agents_after(&self, after: &str, limit: i64) -> Result<Vec<ListedAgent>, AccessError> {
        let rows = self.read::<_, StoreError>(|tx| AgentRow::page(tx, self.workspace.as_str(), after, limit))?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Revokes an agent: nothing is lent to it from here on, its grants are gone, the keys that speak
    /// for it alone end, and sidecars are told to drop what it has. Revoking it once more changes
    /// nothing.
    pub fn revoke_agent(&self, name: &str) -> Result<ListedAgent, AccessError> {
        let name = name.to_owned();
        self.write(move |work| {
            let gone = || AccessError::NoAgent(name.clone());
            let workspace = work.workspace.as_str();
            AgentRow::lock(work.tx(), workspace, &name)?.ok_or_else(gone)?;
            revoke::end_agent(work, &name)?;
            Ok(view(AgentRow::find(work.tx(), workspace, &name)?.ok_or_else(gone)?))
        })
    }
}

/// Fails unless there is such an agent and it was not revoked; keeps other writers from it.
pub(super) fn must_be_there(work: &mut Work<'_>, agent: &str) -> Result<(), AccessError> {
    let workspace = work.workspace.as_str();
    match AgentRow::lock(work.tx(), workspace, agent)? {
        None => Err(AccessError::NoAgent(agent.to_owned())),
        Some(AgentRow { revoked_at: Some(_), .. }) => Err(AccessError::AgentRevoked(agent.to_owned())),
        Some(_) => Ok(()),
    }
}

fn view(row: AgentRow) -> ListedAgent {
    ListedAgent { name: row.name, created_at: time(row.created_at), revoked_at: row.revoked_at.map(time) }
}
