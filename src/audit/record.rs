use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::{Host, HostPort};

/// Requests whose outcome is waited for; past it the oldest ones are forgotten together.
const MOST: usize = 16_384;

/// One request as it was recorded: what its intent and its outcome say, as one.
///
/// Texts are as they stand in the lines: cut where they were too long, without a secret. What a
/// request does not have is absent, in JSON too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Record {
    #[serde(skip_serializing)]
    pub(crate) kind: String,
    #[serde(skip_serializing)]
    pub(crate) lost: u64,
    /// When it ended (RFC 3339, UTC); of one without an outcome, when it left.
    pub t: String,
    /// When its last attempt left, if one did.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// The id that its answer carried.
    pub trace: String,
    /// How many attempts left.
    pub attempts: u64,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How that was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// How it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The policy's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The connection that the rule borrows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn: Option<String>,
    /// The version of its credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn_version: Option<u64>,
    /// The stub that answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stub: Option<String>,
    /// How it authenticates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The destination of what left, such as `https://api.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path of what left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The SHA-256 of a path that was too long to be kept whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_sha256: Option<String>,
    /// The query of what left, its values masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What was asked for where nothing left: a URL, or `HOST:PORT` of a CONNECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The SHA-256 of a target that was too long to be kept whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_sha256: Option<String>,
    /// `done`, `denied`, `failed`, `aborted`, or `open` where no outcome is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// The status that the agent saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What stands behind it, in a word, where the code does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The address that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its reason, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes of its body that left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<u64>,
    /// Bytes of the answer's body that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<u64>,
    /// Microseconds of each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub us: Option<HashMap<String, u64>>,
}

/// What a line completes.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// A request, at its end.
    Request(Box<Record>),
    /// Nothing yet, or nothing about a request.
    Nothing,
    /// So many lines could not be written, at this time.
    Lost(String, u64),
    /// It is no line of ours.
    Unreadable,
}

/// Makes requests of lines: an intent waits for its outcome, at most `MOST` (16,384) of them.
#[derive(Debug, Default)]
pub struct Join {
    intents: HashMap<String, Record>,
}

impl Join {
    /// Takes the next line.
    pub fn line(&mut self, line: &[u8]) -> Told {
        let Ok(mut record) = serde_json::from_slice::<Record>(line) else { return Told::Unreadable };
        match record.kind.as_str() {
            "" => Told::Unreadable,
            "intent" => {
                if self.intents.len() >= MOST {
                    self.intents.clear();
                }
                self.intents.insert(record.trace.clone(), record);
                Told::Nothing
            }
            "outcome" => {
                if let Some(intent) = self.intents.remove(&record.trace) {
                    record.follows(intent);
                }
                Told::Request(Box::new(record))
            }
            "note" if record.lost > 0 => Told::Lost(record.t, record.lost),
            _ => Told::Nothing,
        }
    }

    /// What left and has no outcome yet, by time: its process runs, or died.
    pub fn open(self) -> Vec<Record> {
        let mut open: Vec<Record> = self.intents.into_values().collect();
        open.sort_by(|a, b| a.t.cmp(&b.t));
        for record in &mut open {
            record.left = Some(record.t.clone());
            record.attempts = 1;
            record.end = Some("open".to_owned());
        }
        open
    }
}

impl Record {
    /// Takes from the intent what the outcome has not said.
    fn follows(&mut self, intent: Self) {
        self.left = Some(intent.t);
        self.agent = self.agent.take().or(intent.agent);
        self.proof = self.proof.take().or(intent.proof);
        self.peer = self.peer.take().or(intent.peer);
        self.via = self.via.take().or(intent.via);
        self.rule = self.rule.take().or(intent.rule);
        self.policy = self.policy.take().or(intent.policy);
        self.conn = self.conn.take().or(intent.conn);
        self.conn_version = self.conn_version.or(intent.conn_version);
        self.strategy = self.strategy.take().or(intent.strategy);
        self.dest = self.dest.take().or(intent.dest);
        self.method = self.method.take().or(intent.method);
        self.path = self.path.take().or(intent.path);
        self.path_sha256 = self.path_sha256.take().or(intent.path_sha256);
        self.query = self.query.take().or(intent.query);
    }

    /// What was asked for, without its method: `https://api.example.com/user?q=***`, `HOST:PORT`
    /// of a CONNECT, or less where less was said.
    pub fn asked(&self) -> Option<String> {
        let Some(dest) = &self.dest else { return self.target.clone() };
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{dest}{}{query}", self.path.as_deref().unwrap_or_default()))
    }

    /// The host that was asked for, if there was one.
    pub fn host(&self) -> Option<Host> {
        let asked = self.dest.as_deref().or(self.target.as_deref())?;
        let rest = asked.split_once("://").map_or(asked, |(_, rest)| rest);
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        HostPort::parse(authority).ok().map(|named| named.host)
    }

    /// Tells whether it was refused, by the policy or by what went wrong.
    pub fn is_refused(&self) -> bool {
        self.code.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_and_its_outcome_are_one_request() {
        let mut join = Join::default();
        let intent = br#"{"v":1,"t":"1","kind":"intent","trace":"a","attempt":1,"agent":"bot","rule":"r","conn":"c","dest":"https://x.test:8443","method":"GET","path":"/p","query":"q=*","mac":"m"}"#;
        assert_eq!(join.line(intent), Told::Nothing);
        let outcome = br#"{"v":1,"t":"2","kind":"outcome","trace":"a","attempts":2,"end":"failed","code":"UPSTREAM_FAILED","us":{"total":7}}"#;
        let Told::Request(request) = join.line(outcome) else { panic!("no request") };
        assert_eq!(request.asked().unwrap(), "https://x.test:8443/p?q=*");
        assert_eq!(request.host().unwrap().to_string(), "x.test");
        assert!(request.is_refused() && request.attempts == 2);
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!((&json["t"], &json["left"], &json["agent"]), (&"2".into(), &"1".into(), &"bot".into()));
        assert!(json.get("kind").is_none() && json.get("mac").is_none() && json.get("status").is_none());
        assert!(join.open().is_empty());
    }

    #[test]
    fn what_has_no_outcome_is_open_and_what_is_no_line_unreadable() {
        let mut join = Join::default();
        join.line(br#"{"t":"1","kind":"intent","trace":"a"}"#);
        for line in [&b""[..], b"{}", b"hello", b"{\"kind\":7}", b"{\"t\":\"\xff\",\"kind\":\"outcome\"}"] {
            assert_eq!(join.line(line), Told::Unreadable, "{line:?}");
        }
        assert_eq!(join.line(br#"{"t":"x","kind":"open"}"#), Told::Nothing);
        assert_eq!(join.line(br#"{"t":"x","kind":"note","lost":3}"#), Told::Lost("x".to_owned(), 3));
        let open = join.open();
        assert_eq!((open.len(), open[0].end.as_deref()), (1, Some("open")));
    }

    #[test]
    fn the_host_of_what_never_left() {
        for (target, host) in [
            ("https://a.test/x:y@z", Some("a.test")),
            ("a.test:443", Some("a.test")),
            ("[::1]:443", Some("[::1]")),
            ("http://a.test?q=1", Some("a.test")),
            ("/just/a/path", None),
            ("", None),
        ] {
            let record = Record { target: Some(target.to_owned()), ..Record::default() };
            assert_eq!(record.host().map(|host| host.to_string()).as_deref(), host, "{target}");
        }
    }
}
