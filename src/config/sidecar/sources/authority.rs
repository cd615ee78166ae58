//! Authorities: the one in this process, and a service.

use std::path::PathBuf;

use super::super::reader::Reader;
use super::SourceKind;
use super::auth::{self, SourceAuth};
use super::gateway::{self, Dialect, GatewayConfig};
use crate::config::document::connection_name;
use crate::config::yaml::{Fields, Node};
use crate::model::{ConnectionName, Destination, Host, Scheme, Url};

/// A source with `dialect: nexus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Its name among `sources:`.
    pub name: String,
    /// Where it is: over TLS, on this machine, or in cleartext because that was said.
    pub url: Url,
    /// What it knows this sidecar by.
    pub auth: SourceAuth,
    /// The certificates that its own must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// The folder of the store.
pub(super) fn embedded(node: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let mut fields = Fields::open(node, reader.findings)?;
    let dir = match fields.get("data_dir") {
        Some(dir) => reader.path(dir),
        None => reader.missing(node, "data_dir"),
    };
    fields.finish(&[], reader.findings);
    dir
}

/// A service; what it is reached by stands beside its `url`.
pub(super) fn service(name: &str, url: &Node, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<SourceKind> {
    let dialect = match fields.get("dialect") {
        Some(node) => dialect(node, reader),
        None => reader.missing(fields.node(), "dialect"),
    };
    let auth_node = fields.get("auth");
    let auth = match auth_node {
        Some(node) => auth::read(node, dialect.unwrap_or(Dialect::Nexus), reader),
        None => reader.missing(fields.node(), "auth"),
    };
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    let cleartext = fields.get("cleartext").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let open = fields.get("unauthenticated");
    let url = address(url, cleartext, reader)?;
    let (name, auth, auth_node) = (name.to_owned(), auth?, auth_node?);
    if auth.client.is_some() && url.destination().scheme() == Scheme::Http {
        reader.findings.with(auth_node, "a certificate is shown over TLS alone: use https");
        return None;
    }
    match dialect? {
        Dialect::Nexus => {
            if let Some(node) = open {
                reader.findings.with(node, "`unauthenticated` is for a Gateway or Broker with `auth: none`");
            }
            Some(SourceKind::Nexus(RemoteConfig { name, url, auth, ca_file }))
        }
        dialect => {
            gateway::check_open(&auth, auth_node, &url, open, reader);
            Some(SourceKind::Gateway(GatewayConfig { name, url, dialect, auth, ca_file }))
        }
    }
}

fn dialect(node: &Node, reader: &mut Reader<'_>) -> Option<Dialect> {
    let word = reader.word(node, &Dialect::ALL.map(Dialect::word))?;
    Dialect::ALL.into_iter().find(|dialect| dialect.word() == word)
}

/// The address of a service that gives credentials: over TLS, or not off this machine unless that
/// is said.
pub(super) fn address(node: &Node, cleartext: bool, reader: &mut Reader<'_>) -> Option<Url> {
    let url = match Url::parse(node.text(reader.findings)?) {
        Ok(url) => url,
        Err(error) => {
            reader.findings.with(node, format!("this is no url of a source: {error}"));
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

pub(super) fn is_here(destination: &Destination) -> bool {
    match destination.host() {
        Host::Ip(ip) => ip.is_loopback(),
        Host::Name(name) => &**name == "localhost",
    }
}

/// `name` or `id`: which connection it is there; by its own name unless one is said. An id is asked
/// for as a name is: the source tells them apart.
pub(super) fn named(
    own: &ConnectionName,
    fields: &mut Fields<'_>,
    by_id: bool,
    reader: &mut Reader<'_>,
) -> Option<ConnectionName> {
    let (stored, id) = (fields.get("name"), fields.get("id"));
    match (stored, id) {
        (Some(_), Some(id)) => reader.findings.with(id, "`id` or `name` says which connection it is: not both"),
        (_, Some(id)) if !by_id => reader.findings.with(id, "`id` is for a source with a `url`: say `name` here"),
        _ => {}
    }
    if let Some(node) = fields.get("hosts") {
        reader.findings.with(node, "an Authority knows the hosts of its connections: leave `hosts` out");
    }
    match stored.or(id) {
        Some(node) => connection_name(node, reader.findings).map(|name| name.value),
        None => Some(own.clone()),
    }
}
