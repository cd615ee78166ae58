use std::collections::BTreeSet;

use super::Scope;
use crate::config::{AgentsFrom, ScopeConfig};
use crate::model::is_agent_name;

/// What an entry of the configuration gives to whoever it recognises.
pub(super) struct Grant(ScopeConfig);

impl Grant {
    pub(super) fn new(config: &ScopeConfig) -> Self {
        Self(config.clone())
    }

    /// The scope; `None` where a claim that is to name an agent names none.
    pub(super) fn scope(&self, claim: impl Fn(&str) -> Option<String>) -> Option<Scope> {
        let named = |path: &str| claim(path).filter(|name| is_agent_name(name));
        Some(match &self.0 {
            ScopeConfig::Admin => Scope::Admin,
            ScopeConfig::App => Scope::App,
            ScopeConfig::Lease(connections) => Scope::Lease { connections: connections.iter().cloned().collect() },
            ScopeConfig::Sidecar(AgentsFrom::These(agents)) => {
                Scope::Sidecar { agents: agents.iter().cloned().collect() }
            }
            ScopeConfig::Sidecar(AgentsFrom::Claim(path)) => Scope::Sidecar { agents: BTreeSet::from([named(path)?]) },
            ScopeConfig::Agent(AgentsFrom::These(agents)) => match agents.as_slice() {
                [agent] => Scope::Agent { agent: agent.clone() },
                _ => return None,
            },
            ScopeConfig::Agent(AgentsFrom::Claim(path)) => Scope::Agent { agent: named(path)? },
        })
    }
}
