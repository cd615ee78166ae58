use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// On whose behalf something is done, as the Authority's audit names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person at the command line.
    CommandLine,
    /// The sidecar in whose process this is.
    Embedded,
    /// A worker of ours.
    Worker,
    /// Who authenticated at the API: the id of a key, the name in a certificate or a token.
    Caller(Arc<str>),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command-line"),
            Self::Embedded => f.write_str("embedded"),
            Self::Worker => f.write_str("worker"),
            Self::Caller(id) => write!(f, "caller:{id}"),
        }
    }
}

/// One line of the Authority's audit. Facts alone: no value of a field, no text of a provider.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) event: &'static str,
    pub(super) connection: Option<String>,
    facts: Map<String, Value>,
}

impl Record {
    /// A line about `event`, such as `connection.revoked`.
    pub(super) fn new(event: &'static str) -> Self {
        Self { event, connection: None, facts: Map::new() }
    }

    /// About this connection.
    pub(super) fn connection(mut self, id: &str, name: &str) -> Self {
        self.connection = Some(id.to_owned());
        self.with("connection", id).with("name", name)
    }

    /// A fact.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The text that the chain covers: one JSON object, its names sorted.
    pub(super) fn body(mut self, actor: &Actor) -> String {
        self.facts.insert("event".to_owned(), self.event.into());
        self.facts.insert("actor".to_owned(), actor.to_string().into());
        Value::Object(self.facts).to_string()
    }
}
