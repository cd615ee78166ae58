use http::{HeaderMap, Method};

use super::Policy;
use super::verdict::{AtConnect, Decision, Verdict};
use crate::identity::Agent;
use crate::model::{
    ConnectionName, Destination, DestinationError, HostPort, Path, PathError, Query, Refusal, Scheme, Stub, Target,
};

/// The agent of a question that names none: one that no rule means.
pub const NOBODY: &str = "anonymous";

/// What makes a text no URL of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `http://` nor `https://`.
    #[error("the URL starts with neither http:// nor https://")]
    Scheme,
    /// Host or port.
    #[error(transparent)]
    Authority(#[from] DestinationError),
    /// `#…`, which no request carries.
    #[error("the URL holds a fragment, which is never sent")]
    Fragment,
    /// A query that no request can carry.
    #[error("the query holds a byte that must be percent-encoded")]
    Query,
    /// The path is one that is never forwarded: a request for it is a 400, whatever the policy.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// What would become of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It goes to this destination with this connection's credentials.
    Inject(ConnectionName, Destination),
    /// It goes to this destination as it is.
    Forward(Destination),
    /// A CONNECT to this destination passes, and nothing inside is read.
    Tunnel(Destination),
    /// It is answered by the sidecar itself.
    Stub(Stub),
    /// It is refused.
    Deny(Refusal),
}

/// Reads the request that a person asks about.
///
/// # Errors
/// What would keep a client from sending it, or the sidecar from reading it.
pub fn request(method: &Method, url: &str) -> Result<Target, UrlError> {
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
    let scheme = Scheme::parse(scheme).ok_or(UrlError::Scheme)?;
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    if query.is_some_and(|query| query.bytes().any(|b| !(0x21..0x7f).contains(&b))) {
        return Err(UrlError::Query);
    }
    Ok(Target {
        destination: HostPort::parse(authority)?.with_scheme(scheme),
        method: method.clone(),
        path: Path::parse(if path.is_empty() { "/" } else { path })?,
        query: query.map(Query::new),
    })
}

impl Policy {
    /// Says what would become of a request; one under `https` comes through a CONNECT.
    pub fn outcome(&self, agent: &Agent, target: &Target, headers: &HeaderMap) -> Outcome {
        if target.destination.scheme() == Scheme::Https {
            let (host, port) = (target.destination.host().clone(), Some(target.destination.port()));
            match self.at_connect(agent, &HostPort { host, port }) {
                AtConnect::Tunnel(permit, _) => return Outcome::Tunnel(permit.terms().destination().clone()),
                AtConnect::Deny(refusal) => return Outcome::Deny(refusal),
                AtConnect::Intercept => {}
            }
        }
        match self.decide(agent, target, headers) {
            Ok(Decision::Stub(stubbed)) => Outcome::Stub(stubbed.stub()),
            Ok(Decision::Send(Verdict::Inject(grant))) => {
                Outcome::Inject(grant.connection().clone(), grant.terms().destination().clone())
            }
            Ok(Decision::Send(Verdict::Forward(permit))) => Outcome::Forward(permit.terms().destination().clone()),
            Err(refusal) => Outcome::Deny(refusal),
        }
    }
}
