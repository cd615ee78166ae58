//! Proofs that no rule gave, for the tests of the rooms that are handed one.

use std::sync::Arc;

use http::{HeaderName, Method};

use super::{Grant, Permit, Terms};
use crate::identity::Agent;
use crate::model::{ConnectionName, Destination, HostPort, Path, Scheme};

fn terms(method: &str, url: &str, pass_headers: &[HeaderName]) -> Terms {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let destination: Destination = HostPort::parse(authority).unwrap().with_scheme(Scheme::parse(scheme).unwrap());
    Terms {
        agent: Agent::hypothetical("tester"),
        destination,
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: Path::parse(path).unwrap(),
        rule: "a-rule".into(),
        policy: "0123456789abcdef".into(),
        networks: Arc::new([]),
        pass_headers: pass_headers.into(),
        key_headers: Arc::new([]),
        scope: None,
    }
}

impl Grant {
    /// A yes with a connection; `url` is without a query.
    pub(crate) fn for_tests(method: &str, url: &str, connection: &str, pass_headers: &[HeaderName]) -> Self {
        Self::new(terms(method, url, pass_headers), ConnectionName::parse(connection).unwrap())
    }
}

impl Permit {
    /// A yes without one.
    pub(crate) fn for_tests(method: &str, url: &str) -> Self {
        Self::new(terms(method, url, &[]))
    }
}
