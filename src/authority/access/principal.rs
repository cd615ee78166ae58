use std::collections::BTreeSet;
use std::sync::Arc;

use crate::authority::Actor;
use crate::model::Workspace;

/// What a caller may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Manages the workspace. It reads no credentials.
    Admin,
    /// A sidecar: borrows for these agents, and follows their events.
    Sidecar {
        /// Names of agents.
        agents: BTreeSet<String>,
    },
    /// An old client of the token call, for these connections.
    Lease {
        /// Ids of connections.
        connections: BTreeSet<String>,
    },
    /// An application that has signed its own users in.
    App,
    /// An agent that reads states, never credentials.
    Agent {
        /// Its name.
        agent: String,
    },
}

impl Scope {
    /// The word for it, as configuration, commands and records say it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Sidecar { .. } => "sidecar",
            Self::Lease { .. } => "lease",
            Self::App => "app",
            Self::Agent { .. } => "agent",
        }
    }
}

/// A caller that was admitted: where it belongs, who it is, what it may do. Made by `access` alone.
///
/// A handler asks it for what the handler is about to do and gets a value that says so; a call
/// that needs `Administrator` cannot be made without having asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Principal {
    workspace: Workspace,
    id: Arc<str>,
    scope: Scope,
}

/// Why an admitted caller may not do what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::authority) enum NotAllowed {
    /// Its scope has no such calls: 403 `PERMISSION_DENIED`.
    #[error("its scope does not cover this call")]
    Scope,
    /// What it named does not exist for it: 404, as for what does not exist at all.
    #[error("there is no such thing for it")]
    Hidden,
}

/// May borrow for one agent.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Speaker {
    workspace: Workspace,
    id: Arc<str>,
    agent: String,
}

/// May take the token of one connection, as an old client does.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Taker {
    workspace: Workspace,
    id: Arc<str>,
    connection: String,
}

/// Whose connections and events there are for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Sight<'a> {
    /// All of the workspace.
    Everything,
    /// What is granted to these agents.
    Agents(Vec<&'a str>),
    /// These connections.
    Connections(&'a BTreeSet<String>),
    /// None.
    Nothing,
}

impl Principal {
    pub(in crate::authority) fn new(workspace: Workspace, id: String, scope: Scope) -> Self {
        Self { workspace, id: id.into(), scope }
    }

    /// The workspace, which nothing that it does can leave.
    pub(in crate::authority) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Who it is, for the audit: `key:ID`, `jwt:SUBJECT@ISSUER` or `cert:NAME`.
    pub(in crate::authority) fn id(&self) -> &str {
        &self.id
    }

    /// What it may do, for listings; whoever decides asks one of the questions.
    pub(in crate::authority) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// May it borrow for this agent? An agent that is not its own does not exist for it.
    pub(in crate::authority) fn speak_for(&self, agent: &str) -> Result<Speaker, NotAllowed> {
        match &self.scope {
            Scope::Sidecar { agents } if agents.contains(agent) => {
                Ok(Speaker { workspace: self.workspace.clone(), id: Arc::clone(&self.id), agent: agent.to_owned() })
            }
            Scope::Sidecar { .. } => Err(NotAllowed::Hidden),
            _ => Err(NotAllowed::Scope),
        }
    }

    /// May it take the token of this connection, by the calls of old clients?
    pub(in crate::authority) fn take(&self, connection: &str) -> Result<Taker, NotAllowed> {
        match &self.scope {
            Scope::Lease { connections } if connections.contains(connection) => Ok(Taker {
                workspace: self.workspace.clone(),
                id: Arc::clone(&self.id),
                connection: connection.to_owned(),
            }),
            Scope::Lease { .. } => Err(NotAllowed::Hidden),
            _ => Err(NotAllowed::Scope),
        }
    }

    /// Whose states it may read.
    pub(in crate::authority) fn sight(&self) -> Sight<'_> {
        match &self.scope {
            Scope::Admin => Sight::Everything,
            Scope::Sidecar { agents } => Sight::Agents(agents.iter().map(String::as_str).collect()),
            Scope::Lease { connections } => Sight::Connections(connections),
            Scope::Agent { agent } => Sight::Agents(vec![agent]),
            Scope::App => Sight::Nothing,
        }
    }

    /// Whose events it may follow: a sidecar's agents', or all.
    pub(in crate::authority) fn follow(&self) -> Result<Sight<'_>, NotAllowed> {
        match &self.scope {
            Scope::Admin | Scope::Sidecar { .. } => Ok(self.sight()),
            _ => Err(NotAllowed::Scope),
        }
    }
}

impl Speaker {
    /// Where the agent belongs.
    pub(in crate::authority) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Who asks, for the audit.
    pub(in crate::authority) fn actor(&self) -> Actor {
        Actor::Caller(Arc::clone(&self.id))
    }

    /// For whom.
    pub(in crate::authority) fn agent(&self) -> &str {
        &self.agent
    }
}

impl Taker {
    /// Where the connection belongs.
    pub(in crate::authority) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Who asks, for the audit.
    pub(in crate::authority) fn actor(&self) -> Actor {
        Actor::Caller(Arc::clone(&self.id))
    }

    /// The connection's id.
    pub(in crate::authority) fn connection(&self) -> &str {
        &self.connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scope: Scope) -> Principal {
        Principal::new(Workspace::local(), "key:k1".into(), scope)
    }

    /// Each scope against each question.
    #[test]
    fn what_each_scope_may() {
        use NotAllowed::{Hidden, Scope as NoScope};
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let (agents, connections) = (set(&["a", "b"]), set(&["c1"]));
        for (scope, own, other, token, other_token, follow) in [
            (Scope::Admin, Some(NoScope), Some(NoScope), Some(NoScope), Some(NoScope), None),
            (Scope::Sidecar { agents }, None, Some(Hidden), Some(NoScope), Some(NoScope), None),
            (Scope::Lease { connections }, Some(NoScope), Some(NoScope), None, Some(Hidden), Some(NoScope)),
            (Scope::App, Some(NoScope), Some(NoScope), Some(NoScope), Some(NoScope), Some(NoScope)),
            (
                Scope::Agent { agent: "a".into() },
                Some(NoScope),
                Some(NoScope),
                Some(NoScope),
                Some(NoScope),
                Some(NoScope),
            ),
        ] {
            let principal = of(scope);
            let word = principal.scope().word();
            assert_eq!(principal.speak_for("a").err(), own, "{word}");
            assert_eq!(principal.speak_for("A").err(), other, "{word}");
            assert_eq!(principal.take("c1").err(), token, "{word}");
            assert_eq!(principal.take("c2").err(), other_token, "{word}");
            assert_eq!(principal.follow().err(), follow, "{word}");
        }
    }

    #[test]
    fn whose_states_each_scope_sees() {
        let agents = BTreeSet::from(["a".to_owned()]);
        let connections = BTreeSet::from(["c1".to_owned()]);
        for (scope, want) in [
            (Scope::Admin, Sight::Everything),
            (Scope::Sidecar { agents }, Sight::Agents(vec!["a"])),
            (Scope::Lease { connections: connections.clone() }, Sight::Connections(&connections)),
            (Scope::Agent { agent: "x".into() }, Sight::Agents(vec!["x"])),
            (Scope::App, Sight::Nothing),
        ] {
            assert_eq!(of(scope).sight(), want);
        }
    }
}
