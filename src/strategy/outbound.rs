use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::Watch;
use crate::model::{IntentFacts, Query};
use crate::policy::{Terms, Verdict};

/// How much of a query's names the audit keeps, in bytes.
const FACTS_QUERY: usize = 1024;

/// A request that may leave the process: consumed by the upstream pool. Made only by
/// [`apply`](super::apply); request line and authority come from the grant alone.
///
/// There is no `Debug` of content, no `Clone` and no `Serialize`.
pub struct Outbound {
    pub(super) verdict: Verdict,
    pub(super) connection: Option<(Arc<str>, u64)>,
    pub(super) strategy: Option<&'static str>,
    pub(super) query: Option<Query>,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) content_length: Option<u64>,
    pub(super) watch: Watch,
}

impl Outbound {
    /// What policy allowed.
    pub fn terms(&self) -> &Terms {
        self.verdict.terms()
    }

    /// The connection's id and version, if one is used: part of the pool's key.
    pub fn connection(&self) -> Option<(Arc<str>, u64)> {
        self.connection.clone()
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.terms().method()
    }

    /// Path and query, as they go into the request line.
    pub fn request_target(&self) -> &str {
        &self.target
    }

    /// The headers: no `Host`, no framing; those are written by the sender.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Gives the headers away.
    pub fn take_headers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.headers)
    }

    /// The length of the body, where it is known: what the sender writes as `Content-Length`,
    /// since a signature may cover it.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// What was injected, for the answer's checks.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// What the audit records before it leaves.
    pub fn facts(&self) -> IntentFacts {
        let terms = self.terms();
        let version = self.connection.as_ref().map(|(_, version)| *version);
        let name = match &self.verdict {
            Verdict::Inject(grant) => Some(grant.connection().shared()),
            Verdict::Forward(_) => None,
        };
        IntentFacts {
            rule: terms.rule().clone(),
            policy: terms.policy().clone(),
            connection: name.zip(version),
            strategy: self.strategy,
            destination: terms.destination().clone(),
            method: terms.method().clone(),
            path: terms.path().clone(),
            query: self.query.as_ref().map(masked),
        }
    }
}

/// Names as they stand in the query, values as `*`; cut where it grows too long.
fn masked(query: &Query) -> String {
    let mut text = String::new();
    for piece in query.pieces() {
        let (name, value) = piece.split_once('=').map_or((piece, ""), |(name, _)| (name, "=*"));
        if text.len() + name.len() + 3 > FACTS_QUERY {
            text.push('…');
            break;
        }
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push_str(value);
    }
    text
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbound({} {})", self.method(), self.terms().destination())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_and_names_bounded() {
        for (query, want) in [
            ("", ""),
            ("a=1&b=2&flag", "a=*&b=*&flag"),
            ("a%20b=x=y&=z&&c=", "a%20b=*&=*&&c=*"),
            ("key=k-123", "key=*"),
        ] {
            assert_eq!(masked(&Query::new(query)), want);
        }
        let long = masked(&Query::new(&"name=value&".repeat(1000)));
        assert!(long.len() <= FACTS_QUERY + 3 && long.ends_with('…'), "{}", long.len());
    }
}
