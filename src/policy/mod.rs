//! Decides. Pure and synchronous: document -> compile -> decide.

#[cfg(test)]
mod for_tests;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;

use crate::config::{Document, Problems, Protocol};
use crate::identity::Agent;
use crate::model::{ConnectionName, Destination, HostPort, Path, Refusal, Target};

/// Rules that were checked together, ready to decide.
pub struct Policy {}

/// What holds at CONNECT, where only agent, host and port are known.
#[derive(Debug)]
pub enum AtConnect {
    /// Pass bytes untouched.
    Tunnel(Permit, Protocol),
    /// Terminate TLS and decide on each request inside.
    Intercept,
    /// Refuse.
    Deny(Refusal),
}

/// Policy's yes to one request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// With credentials.
    Inject(Grant),
    /// Without.
    Forward(Permit),
}

/// What policy allowed: everything that the request may become, owned.
#[derive(Debug)]
pub struct Terms {
    agent: Agent,
    destination: Destination,
    method: Method,
    path: Path,
    rule: Arc<str>,
    policy: Arc<str>,
    networks: Arc<[IpNet]>,
    pass_headers: Arc<[HeaderName]>,
}

/// Policy of a version said yes to this agent, destination, method and path **with this
/// connection**. Made only here.
#[derive(Clone, Debug)]
pub struct Grant(Arc<(Terms, ConnectionName)>);

/// Policy of a version said yes to this agent, destination, method and path, and nothing is
/// added. Made only here.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Terms>);

impl Terms {
    /// Who asks.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }
    /// Where it goes: fixed by the rule that matched.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }
    /// The method (`CONNECT` for a tunnel).
    pub fn method(&self) -> &Method {
        &self.method
    }
    /// The path (`/` for a tunnel).
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The rule's name.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }
    /// The policy's version.
    pub fn policy(&self) -> &Arc<str> {
        &self.policy
    }
    /// Networks beside the public ones that may be dialled.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }
    /// Headers that pass although they would be removed.
    pub fn pass_headers(&self) -> &[HeaderName] {
        &self.pass_headers
    }
}

impl Grant {
    /// What was allowed.
    pub fn terms(&self) -> &Terms {
        &self.0.0
    }
    /// The connection whose lease may be applied.
    pub fn connection(&self) -> &ConnectionName {
        &self.0.1
    }
}

impl Permit {
    /// What was allowed.
    pub fn terms(&self) -> &Terms {
        &self.0
    }
}

impl Verdict {
    /// What was allowed.
    pub fn terms(&self) -> &Terms {
        match self {
            Self::Inject(grant) => grant.terms(),
            Self::Forward(permit) => permit.terms(),
        }
    }
}

/// What a live request asked, kept so that a new policy can be asked again: values of query
/// items and headers only as keyed hashes beside the results of the patterns they met.
#[derive(Debug)]
pub struct Question {}

impl Policy {
    /// Checks documents together, in order; all problems at once.
    pub fn compile(_documents: Vec<Document>) -> Result<Self, Problems> {
        todo!()
    }

    /// The version: the first 16 hex digits of a SHA-256 over the documents' texts.
    pub fn version(&self) -> &Arc<str> {
        todo!()
    }

    /// Decides on a CONNECT.
    pub fn at_connect(&self, _agent: &Agent, _target: &HostPort) -> AtConnect {
        todo!()
    }

    /// Decides on a request: the first rule that matches, each rule tried against the target as
    /// that rule would send it.
    pub fn decide(&self, _agent: &Agent, _target: &Target, _headers: &HeaderMap) -> Result<Verdict, Refusal> {
        todo!()
    }

    /// Keeps what is needed to ask again. `key` is random and lives as long as the process.
    pub fn question(&self, _agent: &Agent, _target: &Target, _headers: &HeaderMap, _key: &[u8; 32]) -> Question {
        todo!()
    }

    /// Keeps a tunnel's question.
    pub fn tunnel_question(&self, _agent: &Agent, _target: &HostPort) -> Question {
        todo!()
    }

    /// Tells whether this policy still allows what was asked, with the same connection and
    /// destination as before. What it cannot know is a no.
    pub fn still_allows(&self, _question: &Question, _terms: &Terms, _connection: Option<&ConnectionName>) -> bool {
        todo!()
    }
}
