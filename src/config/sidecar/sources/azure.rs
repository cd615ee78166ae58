//! Microsoft Entra ID: a client's secret, certificate or federated token, or a managed identity.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::super::reader::Reader;
use super::authority::address;
use super::google::is_scope;
use super::narrowed::unknown;
use crate::config::yaml::{Fields, Node};
use crate::model::Url;

/// `azure:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureSource {
    /// Who it is there.
    pub identity: AzureIdentity,
    /// The certificates that every endpoint's must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Who asks for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureIdentity {
    /// An application of a tenant.
    Client {
        /// The token endpoint's host: `https://login.microsoftonline.com`.
        url: Url,
        /// The tenant: its id or a domain of it.
        tenant: String,
        /// The application's id.
        client_id: String,
        /// How it shows that it is.
        proof: AzureProof,
    },
    /// The identity of the machine.
    Managed {
        /// The server.
        url: Url,
        /// Which, where the machine has several.
        client_id: Option<String>,
    },
}

/// How a client shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureProof {
    /// A shared secret, in a file.
    Secret(PathBuf),
    /// The key of a certificate signs an assertion.
    Certificate {
        /// The certificate, in PEM form.
        cert_file: PathBuf,
        /// Its key, in PEM form.
        key_file: PathBuf,
    },
    /// A token of another issuer, which the platform exchanges.
    Federated(PathBuf),
}

/// What a connection there says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureConnection {
    /// What a token is for: `https://vault.azure.net/.default`.
    pub scope: String,
    /// What a rule may ask for instead.
    pub scopes: BTreeSet<String>,
}

impl AzureConnection {
    /// What is left of it under a rule's `scope: { scope: … }`.
    ///
    /// # Errors
    /// It names something else, or a scope that is not listed.
    pub fn narrowed(&self, scope: &Map<String, Value>) -> Result<Self, String> {
        unknown(scope, &["scope"])?;
        let Some(asked) = scope.get("scope") else { return Ok(self.clone()) };
        let asked = asked.as_str().ok_or("its `scope` is one text")?;
        if asked != self.scope && !self.scopes.contains(asked) {
            return Err(format!("{asked:?} is none of its `scopes`"));
        }
        Ok(Self { scope: asked.to_owned(), scopes: self.scopes.clone() })
    }
}

const LOGIN: &str = "https://login.microsoftonline.com";
const METADATA: &str = "http://169.254.169.254";

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<AzureSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let identity = match fields.get("managed_identity") {
        Some(node) => managed(node, reader),
        None => client(&mut fields, reader),
    };
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    if identity.is_some() {
        fields.finish(&[], reader.findings);
    }
    Some(AzureSource { identity: identity?, ca_file })
}

fn managed(node: &Node, reader: &mut Reader<'_>) -> Option<AzureIdentity> {
    let mut fields = Fields::open(node, reader.findings)?;
    let url = match fields.get("url") {
        Some(node) => address(node, false, reader),
        None => Url::parse(METADATA).ok(),
    };
    let client_id = match fields.get("client_id") {
        Some(node) => Some(identifier(node, reader)?),
        None => None,
    };
    fields.finish(&[], reader.findings);
    Some(AzureIdentity::Managed { url: url?, client_id })
}

fn client(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<AzureIdentity> {
    let node = fields.node();
    let mut needed = |key: &'static str, reader: &mut Reader<'_>| match fields.get(key) {
        Some(node) => identifier(node, reader),
        None => reader.missing(node, key),
    };
    let (tenant, client_id) = (needed("tenant", reader), needed("client_id", reader));
    let url = match fields.get("url") {
        Some(node) => address(node, false, reader),
        None => Url::parse(LOGIN).ok(),
    };
    let kinds = ["client_secret_file", "certificate", "federated_token_file"];
    let said: Vec<_> = kinds.iter().filter_map(|key| Some((*key, fields.get(key)?))).collect();
    let proof = match said[..] {
        [("client_secret_file", file)] => reader.path(file).map(AzureProof::Secret),
        [("certificate", node)] => certificate(node, reader),
        [("federated_token_file", file)] => reader.path(file).map(AzureProof::Federated),
        [_, (_, node), ..] => {
            reader.findings.with(node, "the client shows who it is in one way: leave one of them out");
            None
        }
        _ => {
            let why = "say how it shows who it is: `client_secret_file`, `certificate`, `federated_token_file`, or \
                       `managed_identity`";
            reader.findings.with(node, why);
            None
        }
    };
    Some(AzureIdentity::Client { url: url?, tenant: tenant?, client_id: client_id?, proof: proof? })
}

fn certificate(node: &Node, reader: &mut Reader<'_>) -> Option<AzureProof> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mut file = |key: &'static str, reader: &mut Reader<'_>| match fields.get(key) {
        Some(node) => reader.path(node),
        None => reader.missing(node, key),
    };
    let (cert_file, key_file) = (file("cert_file", reader), file("key_file", reader));
    fields.finish(&[], reader.findings);
    Some(AzureProof::Certificate { cert_file: cert_file?, key_file: key_file? })
}

/// An id or a domain, which goes into a path.
fn identifier(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if text.len() > 200 || !text.bytes().all(good) || text.starts_with('.') {
        reader.findings.with(node, "this is no id and no domain");
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<AzureConnection> {
    let one = |node: &Node, reader: &mut Reader<'_>| {
        let text = node.text(reader.findings)?;
        if !is_scope(text) {
            reader.findings.with(node, "this is no scope, such as https://vault.azure.net/.default");
            return None;
        }
        Some(text.to_owned())
    };
    let Some(node) = fields.get("scope") else { return reader.missing(fields.node(), "scope") };
    let scope = one(node, reader);
    let mut scopes = BTreeSet::new();
    if let Some(node) = fields.get("scopes") {
        for node in node.one_or_list(reader.findings) {
            scopes.extend(one(node, reader));
        }
    }
    Some(AzureConnection { scope: scope?, scopes })
}
