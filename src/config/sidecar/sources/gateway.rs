//! The reference's own services, a Nexus Gateway or its Broker, and what their connections are here.
//!
//! They know a connection's strategy and not its hosts: those stand in the entry.

use std::path::PathBuf;

use super::super::reader::Reader;
use super::auth::SourceAuth;
use super::{authority, contract};
use crate::config::yaml::{Fields, Node};
use crate::model::{Bindings, HostPattern, Url};

/// How a source with a `url` is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As an Authority service.
    Nexus,
    /// As a Nexus Gateway.
    Gateway,
    /// As the Broker behind one.
    Broker,
}

impl Dialect {
    pub(super) const ALL: [Self; 3] = [Self::Nexus, Self::Gateway, Self::Broker];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nexus => "nexus",
            Self::Gateway => "gateway",
            Self::Broker => "broker",
        }
    }
}

/// A source with `dialect: gateway` or `dialect: broker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Its name among `sources:`.
    pub name: String,
    /// Where it is: over TLS, on this machine, or in cleartext because that was said.
    pub url: Url,
    /// Which of the two it is.
    pub dialect: Dialect,
    /// What it, or what stands before it, knows this sidecar by.
    pub auth: SourceAuth,
    /// The certificates that its own must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConnection {
    /// Its id, as it stands in a path: a UUID in its usual form, or plain characters.
    pub id: String,
    /// Where its credentials may go, and how.
    pub contract: GatewayContract,
}

/// Who says how a connection authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayContract {
    /// The source, with each answer; the hosts are those of the entry.
    OfSource {
        /// `hosts`.
        hosts: Vec<HostPattern>,
        /// `owned`: the zones of their wildcards are ours.
        owned: bool,
    },
    /// The entry, whatever the source says.
    OfEntry(Bindings),
}

/// Checks that one that asks nobody who he is cannot be reached by everybody.
pub(super) fn check_open(auth: &SourceAuth, auth_node: &Node, url: &Url, open: Option<&Node>, reader: &mut Reader<'_>) {
    let said = open.and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    match open {
        Some(node) if !auth.is_none() => {
            reader.findings.with(node, "`unauthenticated` has no meaning beside an `auth` other than `none`");
        }
        _ if auth.is_none() && !said && !authority::is_here(url.destination()) => {
            let why = "without `auth`, whoever reaches it gets every credential that it has: name what this sidecar \
                       shows there, or say `unauthenticated: true`";
            reader.findings.with(auth_node, why);
        }
        _ => {}
    }
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<GatewayConnection> {
    if let Some(node) = fields.get("name") {
        reader.findings.with(node, "a Gateway or Broker knows its connections by `id` alone");
    }
    let id = match fields.get("id") {
        Some(node) => id(node, reader),
        None => reader.missing(fields.node(), "id"),
    };
    let contract = match fields.get("provider").or(fields.get("strategy")) {
        Some(_) => contract::read(fields, reader).map(GatewayContract::OfEntry),
        None => of_source(fields, reader),
    };
    Some(GatewayConnection { id: id?, contract: contract? })
}

fn of_source(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<GatewayContract> {
    if let Some(node) = fields.get("settings") {
        reader.findings.with(node, "`settings` are those of a `strategy`: without it, the source says both");
    }
    let owned = fields.get("owned").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let before = reader.findings.len();
    let hosts = contract::hosts(fields, reader);
    if hosts.is_empty() && reader.findings.len() == before {
        return reader.missing(fields.node(), "hosts");
    }
    Some(GatewayContract::OfSource { hosts, owned })
}

fn id(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    let id = uuid(text).or_else(|| is_plain(text).then(|| text.to_owned()));
    if id.is_none() {
        reader.findings.with(node, "this is no id of a connection: a UUID, or letters, digits, '-', '_' and '.'");
    }
    id
}

/// Any spelling of a UUID that the reference takes, in the usual one, so that one connection has
/// one id here.
fn uuid(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let inner = text.strip_prefix("urn:uuid:").unwrap_or(&text);
    let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner);
    let digits: String = match inner.len() {
        32 => inner.to_owned(),
        36 => {
            let parts: Vec<&str> = inner.split('-').collect();
            let right = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
            right.then(|| parts.concat())?
        }
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    Some([part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?].join("-"))
}

/// What stands in a path as it is.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let first = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    first && text.len() <= 128 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests;
