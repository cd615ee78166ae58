//! The SPIFFE Workload API of an agent on this machine.

use std::path::PathBuf;

use super::super::reader::Reader;
use crate::config::yaml::{Fields, Node};

/// `spiffe:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeSource {
    /// The Unix socket of the agent.
    pub socket: PathBuf,
}

/// A connection there: a JWT-SVID, the field `access_token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeConnection {
    /// Whom it is for.
    pub audience: Vec<String>,
    /// Which identity, where this workload has several.
    pub spiffe_id: Option<String>,
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<SpiffeSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let socket = match fields.get("socket") {
        Some(node) => reader.path(node),
        None => reader.missing(node, "socket"),
    };
    fields.finish(&[], reader.findings);
    Some(SpiffeSource { socket: socket? })
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<SpiffeConnection> {
    let id = fields.get("spiffe_id");
    let spiffe_id = id.and_then(|node| node.text(reader.findings).map(str::to_owned));
    if let Some(node) = id.filter(|_| spiffe_id.as_ref().is_some_and(|id| !id.starts_with("spiffe://"))) {
        reader.findings.with(node, "this is no SPIFFE ID, such as spiffe://example.org/bot");
    }
    let Some(node) = fields.get("audience") else { return reader.missing(fields.node(), "audience") };
    let audience = node.one_or_list(reader.findings).iter();
    let audience = audience.filter_map(|node| node.text(reader.findings).map(str::to_owned)).collect();
    Some(SpiffeConnection { audience, spiffe_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConnectionAt, Environment, Problems, SourceKind};

    fn load(text: &str) -> Result<Config, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nexus-sidecar.yaml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file, &Environment::of([("HOME", "/home/u")]))
    }

    const WHOLE: &str = "version: 1
sources: { s: { spiffe: { socket: /run/agent.sock } } }
connections:
  a: { source: s, hosts: [a.test], strategy: oauth2, audience: api, spiffe_id: 'spiffe://t/a' }
";

    #[test]
    fn an_agent_and_what_is_asked_of_it() {
        let config = load(WHOLE).unwrap();
        assert_eq!(config.sources[0].kind, SourceKind::Spiffe(SpiffeSource { socket: "/run/agent.sock".into() }));
        let there = SpiffeConnection { audience: vec!["api".into()], spiffe_id: Some("spiffe://t/a".into()) };
        assert!(config.connections.values().all(|one| matches!(&one.at, ConnectionAt::Spiffe(_, at) if *at == there)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (what, instead, place, want) in [
            ("socket: /run/agent.sock", "", ":2:25:", "`socket` is missing"),
            ("audience: api, ", "", ":4:6:", "`audience` is missing"),
            ("audience: api", "audience: []", ":4:64:", "this list is empty"),
            ("'spiffe://t/a'", "https://a", ":4:80:", "no SPIFFE ID"),
            ("strategy: oauth2", "strategy: basic_auth", ":4:6:", "needs the field"),
        ] {
            let problems = load(&WHOLE.replace(what, instead)).unwrap_err().to_string();
            assert!(problems.contains(want) && problems.contains(place), "{instead}: {problems}");
        }
    }
}
