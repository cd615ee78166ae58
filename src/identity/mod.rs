//! Recognises who is calling.
//!
//! An [`Agent`] is made here alone, and only by a [`Gate`]: from the password in the proxy URL,
//! from the socket's owner under `run`, or as nobody in particular where that is allowed. No
//! message says what a caller sent. Next: `policy`, which borrows the agent to decide.

mod basic;
#[cfg(target_os = "linux")]
mod descendant;
mod gate;
mod proxy_url;
#[cfg(target_os = "linux")]
mod socket_owner;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::{Code, Refusal};

pub use gate::Gate;
pub use proxy_url::{is_plain_in_url, proxy_url, proxy_url_with, spellings};

/// The value of `Proxy-Authenticate` beside a 407 (RFC 7617, section 2).
pub const CHALLENGE: &str = "Basic realm=\"nexus-sidecar\"";

/// Who is calling, and how we know. Made only here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    name: Arc<str>,
    proof: Proof,
    fingerprint: Fingerprint,
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
    /// Whoever operates the sidecar asks by a command (`connection test`).
    Operator,
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
            Self::Operator => "operator",
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

    /// Whoever operates the sidecar, in a command of that name; no listener makes one.
    pub fn operator(command: &str) -> Self {
        Self { name: command.into(), proof: Proof::Operator, fingerprint: Fingerprint::NONE }
    }

    /// An agent for a question about the policy; it opens no connection, since a listener never
    /// makes one.
    pub fn hypothetical(name: &str) -> Self {
        Self { name: name.into(), proof: Proof::Hypothetical, fingerprint: Fingerprint::NONE }
    }
}

/// Ties an agent to the password that it was recognised by, so that a changed one is noticed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 16]);

impl Fingerprint {
    const NONE: Self = Self([0; 16]);
}

impl fmt::Debug for Fingerprint {
    // The hash of a weak password could be searched for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[fingerprint]")
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
    fn from(why: Unproved) -> Self {
        let message = match why {
            Unproved::Missing => {
                "this proxy wants to know who calls: put the agent's name and password into the proxy URL \
                 (http://NAME:PASSWORD@HOST:PORT)"
            }
            Unproved::Wrong => "the agent's name or password in the proxy URL is wrong",
            Unproved::Malformed => {
                "the Proxy-Authorization header is not readable: it must be Basic with the agent's name and password"
            }
        };
        Self::new(Code::ProxyAuthenticationRequired, message)
    }
}
