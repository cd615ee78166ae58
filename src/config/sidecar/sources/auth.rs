//! `auth:` of a source with a `url`: what this sidecar shows there.

use std::path::PathBuf;

use super::super::reader::Reader;
use super::Dialect;
use crate::config::yaml::{Content, Fields, Node};

/// What a service knows this sidecar by. Empty where it knows nobody: `auth: none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAuth {
    /// `bearer_file`, or `api_key_file` for a Broker: a file of one line.
    pub key_file: Option<PathBuf>,
    /// `client_cert_file` and `client_key_file`.
    pub client: Option<ClientFiles>,
}

/// A TLS client's certificate, with those that lead to its root, and its private key: PEM files,
/// read again once they were exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate first.
    pub cert_file: PathBuf,
    /// Its key, which others than its owner and a group cannot read.
    pub key_file: PathBuf,
}

impl SourceAuth {
    /// Nothing is shown.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Every file, in the order of the keys.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let client = self.client.iter().flat_map(|client| [&client.cert_file, &client.key_file]);
        self.key_file.iter().chain(client)
    }
}

/// Reads `auth` for a service of this dialect.
pub(super) fn read(node: &Node, dialect: Dialect, reader: &mut Reader<'_>) -> Option<SourceAuth> {
    if matches!(&node.content, Content::Text(text) if text == "none") {
        if dialect == Dialect::Nexus {
            let why = "an Authority lends nothing to whom it does not know: name a `bearer_file` or a certificate";
            reader.findings.with(node, why);
            return None;
        }
        return Some(SourceAuth::default());
    }
    let (key, other) = match dialect {
        Dialect::Nexus | Dialect::Gateway => ("bearer_file", "api_key_file"),
        Dialect::Broker => ("api_key_file", "bearer_file"),
    };
    let mut fields = Fields::open(node, reader.findings)?;
    let key_file = fields.get(key).map(|node| reader.path(node));
    let other = fields.get(other);
    if let Some(node) = other {
        reader.findings.with(node, format!("with `dialect: {}` this is `{key}`", dialect.word()));
    }
    let client = client(&mut fields, reader);
    fields.finish(&[], reader.findings);
    if key_file.is_none() && client.is_none() {
        return if other.is_some() { None } else { reader.missing(node, key) };
    }
    Some(SourceAuth { key_file: usable(key_file)?, client: usable(client)? })
}

/// What is not named is none; what is named and wrong spoils the rest.
fn usable<T>(named: Option<Option<T>>) -> Option<Option<T>> {
    match named {
        Some(None) => None,
        named => Some(named.flatten()),
    }
}

/// `None` where neither file is named, and within it where one of them cannot be used.
fn client(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Option<ClientFiles>> {
    let (cert, key) = (fields.get("client_cert_file"), fields.get("client_key_file"));
    match (cert, key) {
        (None, None) => return None,
        (Some(_), None) => reader.missing::<()>(fields.node(), "client_key_file"),
        (None, Some(_)) => reader.missing::<()>(fields.node(), "client_cert_file"),
        _ => None,
    };
    let (cert, key) = (cert.and_then(|node| reader.path(node)), key.and_then(|node| reader.path(node)));
    Some(cert.zip(key).map(|(cert_file, key_file)| ClientFiles { cert_file, key_file }))
}
