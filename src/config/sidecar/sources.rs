//! `sources:`, of which there is one.

use std::path::PathBuf;

use super::RemoteConfig;
use super::reader::Reader;
use crate::config::yaml::{Entry, Fields, Node};
use crate::model::{Destination, Host, Scheme, Url};

/// The only source.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Where it is.
pub(super) enum Kind {
    /// In this process: the folder of its store.
    Embedded(PathBuf),
    /// A service.
    Remote(RemoteConfig),
}

pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Source> {
    let mut found = None;
    for (index, entry) in node.entries(reader.findings).iter().enumerate() {
        if index > 0 {
            entry.problem("more than one source is not available yet".into(), reader.findings);
        }
        let kind = one(entry, reader);
        found = found.or(kind.map(|kind| Source { name: entry.key.clone(), kind }));
    }
    found
}

fn one(entry: &Entry, reader: &mut Reader<'_>) -> Option<Kind> {
    let mut fields = Fields::open(&entry.node, reader.findings)?;
    let (embedded, url) = (fields.get("embedded"), fields.get("url"));
    let kind = match (embedded, url) {
        (Some(node), None) => self::embedded(node, &entry.node, reader).map(Kind::Embedded),
        (None, Some(url)) => remote(&entry.key, url, &mut fields, reader).map(Kind::Remote),
        (None, None) => {
            reader.findings.with(&entry.node, "a source is either `embedded`, or has a `url`: both are missing");
            return None;
        }
        (Some(_), Some(url)) => {
            reader.findings.with(url, "a source is either `embedded`, or has a `url`: not both");
            return None;
        }
    };
    fields.finish(&[], reader.findings);
    kind
}

fn embedded(node: &Node, above: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let mut fields = Fields::open(node, reader.findings)?;
    let dir = match fields.get("data_dir") {
        Some(dir) => reader.path(dir),
        None => reader.missing(above, "data_dir"),
    };
    fields.finish(&[], reader.findings);
    dir
}

fn remote(name: &str, url: &Node, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<RemoteConfig> {
    match fields.get("dialect") {
        Some(node) => dialect(node, reader),
        None => reader.missing::<()>(fields.node(), "dialect"),
    };
    let bearer_file = match fields.get("auth") {
        Some(node) => bearer_file(node, reader),
        None => reader.missing(fields.node(), "auth"),
    };
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    let cleartext = fields.get("cleartext").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let url = address(url, cleartext, reader)?;
    Some(RemoteConfig { name: name.to_owned(), url, bearer_file: bearer_file?, ca_file })
}

fn dialect(node: &Node, reader: &mut Reader<'_>) -> Option<()> {
    match reader.word(node, &["nexus", "gateway", "broker"])? {
        "nexus" => Some(()),
        other => {
            reader.findings.with(node, format!("`dialect: {other}` is not available yet: this version speaks nexus"));
            None
        }
    }
}

fn bearer_file(node: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let mut fields = Fields::open(node, reader.findings)?;
    let file = match fields.get("bearer_file") {
        Some(file) => reader.path(file),
        None => reader.missing(node, "bearer_file"),
    };
    fields.finish(&[], reader.findings);
    file
}

/// The key and every credential go there: over TLS, or not off this machine unless that is said.
fn address(node: &Node, cleartext: bool, reader: &mut Reader<'_>) -> Option<Url> {
    let url = match Url::parse(node.text(reader.findings)?) {
        Ok(url) => url,
        Err(error) => {
            reader.findings.with(node, format!("this is no url of an Authority: {error}"));
            return None;
        }
    };
    if url.target().query().is_some() {
        reader.findings.with(node, "the url of a source has no query");
        return None;
    }
    if url.destination().scheme() == Scheme::Http && !cleartext && !is_here(url.destination()) {
        let why = "over http, the key and every credential can be read on the way: use https, or say `cleartext: true`";
        reader.findings.with(node, why);
        return None;
    }
    Some(url)
}

fn is_here(destination: &Destination) -> bool {
    match destination.host() {
        Host::Ip(ip) => ip.is_loopback(),
        Host::Name(name) => &**name == "localhost",
    }
}
