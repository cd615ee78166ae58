//! Recognises who is calling.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;

use crate::model::{Refusal, Secret};

/// Who is calling, and how we know. Made only here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    name: Arc<str>,
    proof: Proof,
}

/// How an agent was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Nobody asked (`anonymous: allow`).
    Anonymous,
    /// The password in the proxy URL.
    Password,
    /// A descendant of the command that `run` started holds the socket.
    Descendant,
    /// A person asks what a rule would say (`policy explain` and `policy test`).
    Hypothetical,
}

impl Proof {
    /// The word in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Password => "password",
            Self::Descendant => "descendant",
            Self::Hypothetical => "hypothetical",
        }
    }
}

impl Agent {
    /// The name that rules say.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it was recognised.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// An agent for a question about the policy; it opens no connection, since a listener never
    /// makes one.
    pub fn hypothetical(name: &str) -> Self {
        Self { name: name.into(), proof: Proof::Hypothetical }
    }
}

/// Both ends of an accepted connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The caller.
    pub remote: SocketAddr,
    /// Us.
    pub local: SocketAddr,
}

/// Why a caller is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproved {
    /// It sent no credentials, and none could be learned.
    Missing,
    /// They are not those of any agent.
    Wrong,
    /// Not Basic, or not readable.
    Malformed,
}

impl From<Unproved> for Refusal {
    fn from(_why: Unproved) -> Self {
        todo!()
    }
}

/// Decides who may use the port. Replaced as a whole on a reload.
pub struct Gate {}

impl Gate {
    /// `proxy`: agents with passwords, and perhaps callers without.
    pub fn named(_agents: Vec<(String, Secret)>, _anonymous: bool) -> Self {
        todo!()
    }

    /// `run`: one agent behind a password of this run; a caller that sends none passes if a
    /// descendant of the command (whose pid is set once it was started) holds its socket.
    pub fn for_run(_agent: &str, _password: Secret) -> Self {
        todo!()
    }

    /// Tells the gate of `run` which process it started.
    pub fn started(&self, _pid: u32) {
        todo!()
    }

    /// Recognises a caller by its `Proxy-Authorization` and its socket.
    pub fn prove(&self, _authorization: Option<&HeaderValue>, _peer: Peer) -> Result<Agent, Unproved> {
        todo!()
    }

    /// Tells whether an agent that the gate before this one recognised would still be: its name
    /// exists and its password did not change.
    pub fn still(&self, _agent: &Agent) -> bool {
        todo!()
    }
}
