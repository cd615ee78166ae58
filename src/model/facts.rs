use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::{Cause, Code, Destination, Path, Query, TraceId};

/// What a request asks for, as it came: checked, not yet decided on.
#[derive(Clone, Debug)]
pub struct Target {
    /// Scheme, host and port as the agent wrote them; a rule may send it elsewhere (80 to 443).
    pub destination: Destination,
    /// The method, as written.
    pub method: Method,
    /// The path's one form.
    pub path: Path,
    /// The query's bytes, if there was a `?`.
    pub query: Option<Query>,
}

/// What is known when an entry is opened: plain values, so that the audit knows no type of the
/// request path.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The id that everything of this request shares.
    pub trace: TraceId,
    /// How it came: `connect`, `http`, `tunnel`, `h2` … a word, for people.
    pub via: &'static str,
    /// The peer's address, where there is one.
    pub peer: Option<SocketAddr>,
    /// The agent's name, or `None` for a caller that proved nothing.
    pub agent: Option<Arc<str>>,
    /// How the agent was recognised, such as `password`, `descendant`, `anonymous`.
    pub proof: &'static str,
}

/// What leaves, written before its first byte does.
#[derive(Clone, Debug)]
pub struct IntentFacts {
    /// The rule that allows it.
    pub rule: Arc<str>,
    /// The policy's version.
    pub policy: Arc<str>,
    /// The connection's name, as the rule says it, and the version of its credentials.
    pub connection: Option<(Arc<str>, u64)>,
    /// The strategy's type, if one is applied.
    pub strategy: Option<&'static str>,
    /// Where it goes.
    pub destination: Destination,
    /// The method.
    pub method: Method,
    /// The path.
    pub path: Path,
    /// The query with every value masked.
    pub query: Option<String>,
}

/// How a request ended, known at its last byte.
#[derive(Clone, Debug, Default)]
pub struct OutcomeFacts {
    /// The status that the agent saw, if it saw one.
    pub status: Option<u16>,
    /// The refusal's code, if it was refused.
    pub code: Option<Code>,
    /// What stands behind the refusal, where the code does not tell.
    pub cause: Option<Cause>,
    /// The reason, for people: never a secret.
    pub reason: Option<String>,
    /// What a destination said about the credentials, where it said something.
    pub credential: Option<Credential>,
    /// Bytes of the request's body that left.
    pub bytes_up: u64,
    /// Bytes of the answer's body that came.
    pub bytes_down: u64,
    /// Where the time went.
    pub stages: Stages,
}

/// What came of a destination's refusal of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// They were refused, others were made, and those were taken.
    Renewed,
    /// They were refused, and the request was not sent again with others.
    Refused,
    /// The request was refused: credentials that are good are not taken for it.
    RequestRefused,
}

impl Credential {
    /// Every word, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Renewed, Self::Refused, Self::RequestRefused];

    /// The word, in records, metrics and the mark on an answer.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Refused => "refused",
            Self::RequestRefused => "request-refused",
        }
    }
}

/// The duration of each stage; zero where a stage was not reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages {
    /// Policy and classification.
    pub decide: Duration,
    /// Reading a body that had to be held.
    pub body: Duration,
    /// Borrowing the lease.
    pub lease: Duration,
    /// Applying the strategy.
    pub apply: Duration,
    /// Writing the intent.
    pub record: Duration,
    /// From the first byte sent to the response's head.
    pub upstream: Duration,
    /// The whole, to the last byte.
    pub total: Duration,
}
