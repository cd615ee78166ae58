use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::rule::Rule;
use crate::config::Protocol;
use crate::identity::Agent;
use crate::model::{ConnectionName, Destination, Path, Refusal, Scope, Stub};

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

/// What policy says of a request that it does not refuse.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It leaves.
    Send(Verdict),
    /// It is answered here: neither a grant nor a permit, so that nothing of it can leave.
    Stub(Stubbed),
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
    pub(super) agent: Agent,
    pub(super) destination: Destination,
    pub(super) method: Method,
    pub(super) path: Path,
    pub(super) rule: Arc<str>,
    pub(super) policy: Arc<str>,
    pub(super) networks: Arc<[IpNet]>,
    pub(super) pass_headers: Arc<[HeaderName]>,
    pub(super) key_headers: Arc<[HeaderName]>,
    pub(super) scope: Option<Scope>,
}

/// Policy of a version said yes to this agent, destination, method and path **with this
/// connection**. Made only here.
#[derive(Clone, Debug)]
pub struct Grant(Arc<(Terms, ConnectionName)>);

/// Policy of a version said yes to this agent, destination, method and path, and nothing is
/// added. Made only here.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Terms>);

/// Policy of a version said that this is answered in this process. Made only here.
#[derive(Clone, Debug)]
pub struct Stubbed(Arc<(Terms, Stub)>);

impl Terms {
    /// What a rule allows.
    pub(super) fn of(
        rule: &Rule,
        policy: &Arc<str>,
        agent: &Agent,
        destination: Destination,
        method: Method,
        path: Path,
    ) -> Self {
        Self {
            agent: agent.clone(),
            destination,
            method,
            path,
            rule: rule.name.clone(),
            policy: policy.clone(),
            networks: rule.networks.clone(),
            pass_headers: rule.pass_headers.clone(),
            key_headers: rule.key_headers.clone(),
            scope: rule.scope().cloned(),
        }
    }

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
    /// The rule's name (`default` where `default: tunnel` allowed it).
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }
    /// The policy's version.
    pub fn policy(&self) -> &Arc<str> {
        &self.policy
    }
    /// Networks beside the public ones that may be dialled.
    pub fn networks(&self) -> &Arc<[IpNet]> {
        &self.networks
    }
    /// Headers that pass although they would be removed.
    pub fn pass_headers(&self) -> &[HeaderName] {
        &self.pass_headers
    }
    /// Headers that carry keys at this destination, beside those that carry them everywhere.
    pub fn key_headers(&self) -> &[HeaderName] {
        &self.key_headers
    }
}

impl Grant {
    pub(super) fn new(terms: Terms, connection: ConnectionName) -> Self {
        Self(Arc::new((terms, connection)))
    }

    /// What was allowed.
    pub fn terms(&self) -> &Terms {
        &self.0.0
    }
    /// The connection whose lease may be applied.
    pub fn connection(&self) -> &ConnectionName {
        &self.0.1
    }
    /// What its lease is narrowed to.
    pub fn scope(&self) -> Option<&Scope> {
        self.0.0.scope.as_ref()
    }
}

impl Permit {
    pub(super) fn new(terms: Terms) -> Self {
        Self(Arc::new(terms))
    }

    /// What was allowed.
    pub fn terms(&self) -> &Terms {
        &self.0
    }
}

impl Stubbed {
    pub(super) fn new(terms: Terms, stub: Stub) -> Self {
        Self(Arc::new((terms, stub)))
    }

    /// What was asked.
    pub fn terms(&self) -> &Terms {
        &self.0.0
    }
    /// What answers.
    pub fn stub(&self) -> Stub {
        self.0.1
    }
}

impl Decision {
    /// What was allowed.
    pub fn terms(&self) -> &Terms {
        match self {
            Self::Send(verdict) => verdict.terms(),
            Self::Stub(stubbed) => stubbed.terms(),
        }
    }

    /// The yes, where it may leave.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Send(verdict) => Some(verdict),
            Self::Stub(_) => None,
        }
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
