//! `authority.issuers` and `authority.clients`: who is admitted beside the holders of keys.

use std::path::PathBuf;

use super::reader::Reader;
use crate::config::document::name_of_agent;
use crate::config::yaml::{Fields, Node};
use crate::model::{Host, Scheme, Url};

/// Who is admitted beside the holders of keys.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccessConfig {
    /// Whose signed tokens are accepted; of several entries the first that accepts decides.
    pub issuers: Vec<IssuerConfig>,
    /// Whose certificates are accepted; the first entry that names one decides.
    pub clients: Vec<ClientConfig>,
}

/// One of `authority.issuers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// `iss`, exactly.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where the issuer's keys are.
    pub keys: KeysFrom,
    /// The claims that a token must have: name or JSON pointer, and what it must look like. Never
    /// empty: an issuer signs for everyone that it knows.
    pub claims: Vec<(String, String)>,
    /// What such a token gives.
    pub scope: ScopeConfig,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// A file that holds a JWK Set.
    File(PathBuf),
    /// An address that answers one.
    Url {
        /// `https` alone: whoever could change the answer could sign for everyone.
        url: Url,
        /// The certificates that it is verified by; none means those of the system and of
        /// `upstream.ca_files`.
        ca_file: Option<PathBuf>,
        /// A file with a bearer token that is shown there, read anew for each fetch: the API server of
        /// a cluster wants its own.
        bearer_file: Option<PathBuf>,
    },
}

/// One of `authority.clients`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// A name in the certificate.
    pub name: ClientName,
    /// What it gives.
    pub scope: ScopeConfig,
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// A URI, such as `spiffe://cluster.local/ns/agents/sa/bot`, compared as it is written.
    Uri(String),
    /// A DNS name.
    Dns(Host),
}

/// `scope:` with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeConfig {
    /// Manages the workspace.
    Admin,
    /// Borrows for agents.
    Sidecar(AgentsFrom),
    /// Takes the tokens of these connections.
    Lease(Vec<String>),
    /// Starts handshakes for users that it has signed in.
    App,
    /// One agent.
    Agent(AgentsFrom),
}

/// Which agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentsFrom {
    /// These.
    These(Vec<String>),
    /// The one that a claim of the token names.
    Claim(String),
}

/// Reads `issuers` and `clients` from the section's keys.
pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> AccessConfig {
    let mut access = AccessConfig::default();
    for node in fields.get("issuers").map(|node| node.list(reader.findings)).unwrap_or_default() {
        access.issuers.extend(issuer(node, reader));
    }
    for node in fields.get("clients").map(|node| node.list(reader.findings)).unwrap_or_default() {
        let Some(client) = client(node, reader) else { continue };
        if access.clients.iter().any(|other| other.name == client.name) {
            reader.findings.with(node, "this name is listed twice, and only the first entry would decide");
        }
        access.clients.push(client);
    }
    access
}

fn issuer(node: &Node, reader: &mut Reader<'_>) -> Option<IssuerConfig> {
    let mut fields = Fields::open(node, reader.findings)?;
    let issuer = required(&mut fields, "issuer", reader);
    let audience = required(&mut fields, "audience", reader);
    let keys = keys(&mut fields, reader);
    let claims = match fields.get("claims") {
        Some(node) => claims(node, reader),
        None => reader.missing(node, "claims"),
    };
    let scope = scope(&mut fields, true, reader);
    fields.finish(&[], reader.findings);
    Some(IssuerConfig { issuer: issuer?, audience: audience?, keys: keys?, claims: claims?, scope: scope? })
}

/// `jwks_file`, or `jwks_url` with what it needs.
fn keys(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<KeysFrom> {
    let (file, url) = (fields.get("jwks_file"), fields.get("jwks_url"));
    let (ca, bearer) = (fields.get("ca_file"), fields.get("bearer_file"));
    match (file, url) {
        (Some(node), None) => {
            for (key, node) in [("ca_file", ca), ("bearer_file", bearer)] {
                if let Some(node) = node {
                    reader.findings.with(node, format!("`{key}` has no meaning without `jwks_url`"));
                }
            }
            reader.path(node).map(KeysFrom::File)
        }
        (None, Some(node)) => {
            let (ca_file, bearer_file) = (path(ca, reader), path(bearer, reader));
            let url = match Url::parse(node.text(reader.findings)?) {
                Ok(url) if url.destination().scheme() == Scheme::Https => url,
                Ok(_) => {
                    reader.findings.with(node, "keys are fetched over https alone");
                    return None;
                }
                Err(error) => {
                    reader.findings.with(node, format!("this is no address: {error}"));
                    return None;
                }
            };
            Some(KeysFrom::Url { url, ca_file: ca_file?, bearer_file: bearer_file? })
        }
        (Some(_), Some(node)) => {
            reader.findings.with(node, "either `jwks_file` or `jwks_url` says where the keys are");
            None
        }
        (None, None) => reader.missing(fields.node(), "jwks_file` or `jwks_url"),
    }
}

/// A path, if one is written; `None` for one that is wrong.
fn path(node: Option<&Node>, reader: &mut Reader<'_>) -> Option<Option<PathBuf>> {
    node.map_or(Some(None), |node| reader.path(node).map(Some))
}

fn client(node: &Node, reader: &mut Reader<'_>) -> Option<ClientConfig> {
    let mut fields = Fields::open(node, reader.findings)?;
    let name = match fields.get("san") {
        Some(node) => client_name(node, reader),
        None => reader.missing(node, "san"),
    };
    let scope = scope(&mut fields, false, reader);
    fields.finish(&[], reader.findings);
    Some(ClientConfig { name: name?, scope: scope? })
}

fn client_name(node: &Node, reader: &mut Reader<'_>) -> Option<ClientName> {
    let text = node.text(reader.findings)?;
    if text.contains("://") {
        if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*') {
            return Some(ClientName::Uri(text.to_owned()));
        }
    } else if let Some(host) = Host::parse(text).ok().filter(|host| host.name().is_some()) {
        return Some(ClientName::Dns(host));
    }
    reader.findings.with(
        node,
        "this is a name of a certificate as it stands there, without a wildcard: a URI, such as \
         spiffe://cluster.local/ns/agents/sa/bot, or a DNS name",
    );
    None
}

/// A JSON pointer or the name of a claim -> what it must look like.
fn claims(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let before = reader.findings.len();
    let mut claims = Vec::new();
    for entry in node.entries(reader.findings) {
        if !is_path(&entry.key) {
            entry.problem(NO_PATH.into(), reader.findings);
        }
        let Some(text) = entry.node.text(reader.findings) else { continue };
        if text.len() > 256 {
            reader.findings.with(&entry.node, "this is longer than 256 bytes");
        }
        claims.push((entry.key.clone(), text.to_owned()));
    }
    if claims.is_empty() && reader.findings.len() == before {
        reader.findings.with(node, "name a claim that tells whose tokens are meant: the issuer signs for all it knows");
    }
    (reader.findings.len() == before).then_some(claims)
}

const NO_PATH: &str = "this is the name of a claim, such as sub, or a JSON pointer, such as /kubernetes.io/namespace";

fn is_path(text: &str) -> bool {
    // What looks like a pointer and lacks its first slash would name a claim that nobody has.
    let pointer = text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|step| !step.is_empty()));
    pointer || (!text.is_empty() && !text.contains('/')) || text.contains("://")
}

/// `scope`, with `agents` or `agent_from`, or `connections`.
fn scope(fields: &mut Fields<'_>, tokens: bool, reader: &mut Reader<'_>) -> Option<ScopeConfig> {
    const WORDS: [&str; 5] = ["admin", "sidecar", "lease", "app", "agent"];
    let before = reader.findings.len();
    let word = match fields.get("scope") {
        Some(node) => reader.word(node, &WORDS),
        None => reader.missing(fields.node(), "scope"),
    };
    let agents = fields.get("agents");
    let from = if tokens { fields.get("agent_from") } else { None };
    let connections = fields.get("connections");
    let word = word?;
    let about_agents = matches!(word, "sidecar" | "agent");
    for (key, node, fits) in [
        ("agents", agents, about_agents),
        ("agent_from", from, about_agents),
        ("connections", connections, word == "lease"),
    ] {
        if let Some(node) = node.filter(|_| !fits) {
            reader.findings.with(node, format!("`{key}` has no meaning with the scope {word}"));
        }
    }
    let scope = match word {
        "admin" => Some(ScopeConfig::Admin),
        "app" => Some(ScopeConfig::App),
        "lease" => match connections {
            Some(node) => Some(ScopeConfig::Lease(texts(node, reader))),
            None => reader.missing(fields.node(), "connections"),
        },
        _ => {
            let agents = agents_from(fields.node(), (agents, from), tokens, reader);
            match (word, agents) {
                ("sidecar", Some(agents)) => Some(ScopeConfig::Sidecar(agents)),
                (_, Some(AgentsFrom::These(names))) if names.len() > 1 => {
                    reader.findings.with(fields.node(), "the scope agent is about one agent");
                    None
                }
                (_, agents) => agents.map(ScopeConfig::Agent),
            }
        }
    };
    scope.filter(|_| reader.findings.len() == before)
}

fn agents_from(
    whole: &Node,
    written: (Option<&Node>, Option<&Node>),
    tokens: bool,
    reader: &mut Reader<'_>,
) -> Option<AgentsFrom> {
    match written {
        (Some(node), None) => {
            let nodes = node.one_or_list(reader.findings).iter();
            let names = nodes.filter_map(|node| name_of_agent(node, reader.findings)).map(|name| name.value);
            Some(AgentsFrom::These(names.collect()))
        }
        (None, Some(node)) => {
            let path = node.text(reader.findings)?;
            if !is_path(path) {
                reader.findings.with(node, NO_PATH);
            }
            Some(AgentsFrom::Claim(path.to_owned()))
        }
        (Some(_), Some(node)) => {
            reader.findings.with(node, "either `agents` or `agent_from` says for which agents");
            None
        }
        (None, None) if tokens => reader.missing(whole, "agents` or `agent_from"),
        (None, None) => reader.missing(whole, "agents"),
    }
}

fn texts(node: &Node, reader: &mut Reader<'_>) -> Vec<String> {
    let nodes = node.one_or_list(reader.findings).iter();
    nodes.filter_map(|node| node.text(reader.findings)).map(str::to_owned).collect()
}

fn required(fields: &mut Fields<'_>, key: &'static str, reader: &mut Reader<'_>) -> Option<String> {
    match fields.get(key) {
        Some(node) => node.text(reader.findings).map(str::to_owned),
        None => reader.missing(fields.node(), key),
    }
}

#[cfg(test)]
mod tests;
