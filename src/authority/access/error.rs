use std::io;
use std::path::PathBuf;

use crate::authority::StoreError;

/// What keeps a key, an agent or a grant from being made, shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No name of an agent.
    #[error(
        "this is no name for an agent: use 1 to 100 printable ASCII characters without ':' and '*', and no blank at \
         either end"
    )]
    AgentName,
    /// The name is taken.
    #[error("there is an agent {0:?} already")]
    AgentExists(String),
    /// No such agent.
    #[error("there is no agent {0:?}: nexus-sidecar authority agent add makes one")]
    NoAgent(String),
    /// An agent that was revoked.
    #[error("the agent {0:?} was revoked: nexus-sidecar authority agent add takes it in again")]
    AgentRevoked(String),
    /// No such connection.
    #[error("there is no connection {0:?}: nexus-sidecar connection list shows those that are")]
    NoConnection(String),
    /// No such key.
    #[error("there is no key {0:?}: nexus-sidecar authority key list shows those that are")]
    NoKey(String),
    /// A key of the scope `sidecar` without agents.
    #[error("a sidecar's key names the agents that it may speak for")]
    NoAgentNamed,
    /// A key of the scope `lease` without connections.
    #[error("a key of the scope lease names the connections that it may take")]
    NoConnectionNamed,
    /// No name of a key.
    #[error("a key's name is at most 100 bytes of text in one line")]
    KeyName,
    /// It would be of no use.
    #[error("the key would have ended already")]
    Past,
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A file.
    #[error("cannot {action} {path}")]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody's file is where the first key goes.
    #[error("the first key of the store goes into {path}, and something else is there: move it away")]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
