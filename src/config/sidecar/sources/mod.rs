//! `sources:` and `connections:`: where credentials come from, and which of them a rule's name is.
//!
//! A source is of exactly one kind, each in a file of its own: what it is reached by, and what an
//! entry of `connections:` says of it. An Authority knows the contract of each connection; for every
//! other source the entry has it (`contract`).

mod auth;
mod authority;
mod aws;
mod azure;
#[cfg(test)]
mod cloud_tests;
mod command;
mod contract;
mod environment;
mod file;
mod gateway;
mod github_app;
mod google;
mod kubernetes;
mod narrowed;
mod spiffe;
mod vault;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::auth::{ClientFiles, SourceAuth};
pub use self::authority::RemoteConfig;
pub use self::aws::{AssumeRole, AwsBase, AwsConnection, AwsSource};
pub use self::azure::{AzureConnection, AzureIdentity, AzureProof, AzureSource};
pub use self::command::{CommandConnection, CommandOutput, CommandSource};
pub use self::environment::EnvironmentConnection;
pub use self::file::{FileConnection, FileSource};
pub use self::gateway::{Dialect, GatewayConfig, GatewayConnection, GatewayContract};
pub use self::github_app::{GithubAppConnection, GithubAppSource, Installation};
pub use self::google::{GoogleConnection, GoogleIdentity, GoogleSource, GoogleSubject, SubjectFrom, WorkloadIdentity};
pub use self::kubernetes::{KubernetesApi, KubernetesConnection, KubernetesSource};
pub use self::spiffe::{SpiffeConnection, SpiffeSource};
pub use self::vault::{VaultAuth, VaultConnection, VaultSource};
use serde_json::{Map, Value};

use super::reader::Reader;
use crate::config::yaml::{Entry, Fields, Node};
use crate::model::{Bindings, ConnectionName};

/// One of `sources:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its name, as `connections:` says it.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The Authority in this process: the folder of its store.
    Embedded(PathBuf),
    /// An Authority service.
    Nexus(RemoteConfig),
    /// A Nexus Gateway, or its Broker.
    Gateway(GatewayConfig),
    /// Files, each of which holds one field.
    File(FileSource),
    /// Variables, each of which holds one field.
    Environment,
    /// Commands that write credentials.
    Command(CommandSource),
    /// HashiCorp Vault or OpenBao.
    Vault(VaultSource),
    /// A GitHub App.
    GithubApp(GithubAppSource),
    /// AWS.
    Aws(AwsSource),
    /// Google Cloud.
    Google(GoogleSource),
    /// Microsoft Entra ID.
    Azure(AzureSource),
    /// A cluster's Secrets and tokens.
    Kubernetes(KubernetesSource),
    /// An agent that says who this workload is.
    Spiffe(SpiffeSource),
}

/// One of `connections:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// The name of its source.
    pub source: String,
    /// What it is there.
    pub at: ConnectionAt,
}

/// What a connection is at its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionAt {
    /// A name or an id that the source knows, with its contract.
    Named(ConnectionName),
    /// An id at a Gateway or Broker.
    Gateway(GatewayConnection),
    /// Fields in files.
    File(Bindings, FileConnection),
    /// Fields in variables.
    Environment(Bindings, EnvironmentConnection),
    /// What a command writes.
    Command(Bindings, CommandConnection),
    /// What is read at a path.
    Vault(Bindings, VaultConnection),
    /// An installation of a GitHub App.
    GithubApp(Bindings, GithubAppConnection),
    /// A session or a key of AWS.
    Aws(Bindings, AwsConnection),
    /// A token of Google's.
    Google(Bindings, GoogleConnection),
    /// A token of Entra ID's.
    Azure(Bindings, AzureConnection),
    /// A Secret or a token.
    Kubernetes(Bindings, KubernetesConnection),
    /// A token of this workload.
    Spiffe(Bindings, SpiffeConnection),
}

impl ConnectionAt {
    /// The same for one of a kind that narrows.
    fn check_scope(&self, scope: &Map<String, Value>) -> Result<(), String> {
        match self {
            Self::GithubApp(_, there) => there.narrowed(scope).map(drop),
            Self::Aws(_, there) => there.narrowed(scope).map(drop),
            Self::Google(_, there) => there.narrowed(scope).map(drop),
            Self::Azure(_, there) => there.narrowed(scope).map(drop),
            _ => Err("that connection cannot be narrowed".to_owned()),
        }
    }
}

/// The keys by which a source says what it is.
const KINDS: [&str; 12] = [
    "embedded",
    "url",
    "file",
    "environment",
    "command",
    "vault",
    "github_app",
    "aws",
    "google",
    "azure",
    "kubernetes",
    "spiffe",
];

impl SourceKind {
    /// Whether it knows connections by name, so that one without an entry can be looked up there.
    pub fn knows_names(&self) -> bool {
        matches!(self, Self::Embedded(_) | Self::Nexus(_))
    }

    /// Checks what a rule narrows a lease of a connection of this source to.
    ///
    /// # Errors
    /// This kind narrows nothing, or not like this: why, for whoever wrote the rule. It follows "and".
    pub fn check_scope(&self, at: &ConnectionAt, scope: &Map<String, Value>) -> Result<(), String> {
        match self {
            Self::Embedded(_) | Self::Nexus(_) => Err("an Authority narrows no lease yet".to_owned()),
            Self::Gateway(_) => Err("a Gateway or Broker narrows no lease".to_owned()),
            Self::File(_) => Err("what is kept in files cannot be narrowed".to_owned()),
            Self::Environment => Err("what is kept in variables cannot be narrowed".to_owned()),
            Self::Command(_) => Err("a command is not told what a rule asks for".to_owned()),
            Self::Kubernetes(_) => Err("a cluster narrows nothing: name a Secret or a token for it alone".to_owned()),
            Self::Spiffe(_) => Err("an agent gives tokens as wide as their audience: name it alone".to_owned()),
            Self::Vault(_) => Err("what Vault gives is as wide as its path: name a narrower path".to_owned()),
            Self::GithubApp(_) | Self::Aws(_) | Self::Google(_) | Self::Azure(_) => at.check_scope(scope),
        }
    }

    fn read(fields: &mut Fields<'_>, name: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let said: Vec<_> = KINDS.iter().filter_map(|key| Some((*key, fields.get(key)?))).collect();
        match said[..] {
            [("embedded", node)] => authority::embedded(node, reader).map(Self::Embedded),
            [("url", node)] => authority::service(name, node, fields, reader),
            [("file", node)] => file::source(node, reader).map(Self::File),
            [("environment", node)] => environment::source(node, reader).map(|()| Self::Environment),
            [("command", node)] => command::source(node, reader).map(Self::Command),
            [("kubernetes", node)] => kubernetes::source(node, reader).map(Self::Kubernetes),
            [("spiffe", node)] => spiffe::source(node, reader).map(Self::Spiffe),
            [("vault", node)] => vault::source(node, reader).map(Self::Vault),
            [("github_app", node)] => github_app::source(node, reader).map(Self::GithubApp),
            [("aws", node)] => aws::source(node, reader).map(Self::Aws),
            [("google", node)] => google::source(node, reader).map(Self::Google),
            [("azure", node)] => azure::source(node, reader).map(Self::Azure),
            [(one, _), (other, node), ..] => {
                reader.findings.with(node, format!("a source is either `{one}` or `{other}`: not both"));
                None
            }
            _ => {
                let kinds = KINDS.map(|kind| format!("`{kind}`")).join(", ");
                reader
                    .findings
                    .with(fields.node(), format!("a source says what it is by one of {kinds}: none is here"));
                None
            }
        }
    }

    /// What an entry of `connections:` says of a connection of this source.
    fn connection(
        &self,
        name: &ConnectionName,
        fields: &mut Fields<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<ConnectionAt> {
        match self {
            Self::Embedded(_) => authority::named(name, fields, false, reader).map(ConnectionAt::Named),
            Self::Nexus(_) => authority::named(name, fields, true, reader).map(ConnectionAt::Named),
            Self::Gateway(_) => gateway::connection(fields, reader).map(ConnectionAt::Gateway),
            Self::File(source) => {
                let (contract, there) = (contract::read(fields, reader), file::connection(source, fields, reader));
                let (contract, there) = (contract?, there?);
                if let Some(names) = there.names() {
                    contract::needs(&contract, names, fields.node(), reader);
                }
                Some(ConnectionAt::File(contract, there))
            }
            Self::Environment => {
                let (contract, there) = (contract::read(fields, reader), environment::connection(fields, reader));
                let (contract, there) = (contract?, there?);
                contract::needs(&contract, there.fields.keys(), fields.node(), reader);
                Some(ConnectionAt::Environment(contract, there))
            }
            Self::Command(_) => {
                let (contract, there) = (contract::read(fields, reader), command::connection(fields, reader));
                let (contract, there) = (contract?, there?);
                contract::needs(&contract, there.output.names().into_iter(), fields.node(), reader);
                Some(ConnectionAt::Command(contract, there))
            }
            Self::Kubernetes(source) => {
                let (contract, there) =
                    (contract::read(fields, reader), kubernetes::connection(source, fields, reader));
                let (contract, there) = (contract?, there?);
                if let Some(given) = there.gives() {
                    contract::needs(&contract, given.iter(), fields.node(), reader);
                }
                Some(ConnectionAt::Kubernetes(contract, there))
            }
            Self::Spiffe(_) => {
                let (contract, there) = (contract::read(fields, reader), spiffe::connection(fields, reader));
                let (contract, there) = (contract?, there?);
                contract::needs(&contract, ["access_token".to_owned()].iter(), fields.node(), reader);
                Some(ConnectionAt::Spiffe(contract, there))
            }
            Self::Vault(_) => {
                let (contract, there) = (contract::read(fields, reader), vault::connection(fields, reader));
                let (contract, there) = (contract?, there?);
                if let Some(given) = &there.fields {
                    contract::needs(&contract, given.keys(), fields.node(), reader);
                }
                Some(ConnectionAt::Vault(contract, there))
            }
            Self::GithubApp(_) => {
                let there = github_app::connection(fields, reader);
                minted(&["token"], there, ConnectionAt::GithubApp, fields, reader)
            }
            Self::Aws(source) => {
                let there = aws::connection(source, fields, reader);
                minted(&["access_key", "secret_key"], there, ConnectionAt::Aws, fields, reader)
            }
            Self::Google(_) => {
                let there = google::connection(fields, reader);
                minted(&["access_token"], there, ConnectionAt::Google, fields, reader)
            }
            Self::Azure(_) => {
                let there = azure::connection(fields, reader);
                minted(&["access_token"], there, ConnectionAt::Azure, fields, reader)
            }
        }
    }
}

/// A connection whose source gives these fields, with its contract.
fn minted<P>(
    given: &[&str],
    there: Option<P>,
    at: impl FnOnce(Bindings, P) -> ConnectionAt,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<ConnectionAt> {
    let contract = contract::read(fields, reader)?;
    let given: Vec<String> = given.iter().map(|&field| field.to_owned()).collect();
    contract::needs(&contract, given.iter(), fields.node(), reader);
    Some(at(contract, there?))
}

/// The sources of a file.
pub(super) struct Declared {
    /// The names that are written, of those too that cannot be read.
    names: Vec<String>,
    /// Those that can be read.
    pub(super) read: Vec<SourceConfig>,
}

impl Declared {
    /// Whether one of them has a policy to hand out, or cannot be read and may have.
    pub(super) fn may_hand_out_policy(&self, service: bool) -> bool {
        service || self.read.len() < self.names.len()
    }
}

/// Reads `sources:`; where there is none, the store in `data_dir` is the only one.
pub(super) fn read(node: Option<&Node>, data_dir: Option<&Path>, reader: &mut Reader<'_>) -> Declared {
    let entries = node.map(|node| node.entries(reader.findings)).unwrap_or_default();
    let mut sources: Vec<SourceConfig> = Vec::new();
    for entry in entries {
        let Some(source) = one(entry, reader) else { continue };
        let second = matches!(source.kind, SourceKind::Embedded(_))
            && sources.iter().any(|other| matches!(other.kind, SourceKind::Embedded(_)));
        if second {
            entry.problem("a process has one store: there is an `embedded` source already".into(), reader.findings);
        }
        sources.push(source);
    }
    if let (true, Some(dir)) = (entries.is_empty(), data_dir) {
        sources.push(SourceConfig { name: "local".to_owned(), kind: SourceKind::Embedded(dir.to_owned()) });
    }
    let names = match entries {
        [] => sources.iter().map(|source| source.name.clone()).collect(),
        _ => entries.iter().map(|entry| entry.key.clone()).collect(),
    };
    Declared { names, read: sources }
}

fn one(entry: &Entry, reader: &mut Reader<'_>) -> Option<SourceConfig> {
    let mut fields = Fields::open(&entry.node, reader.findings)?;
    let kind = SourceKind::read(&mut fields, &entry.key, reader);
    if kind.is_some() {
        fields.finish(&[], reader.findings);
    }
    Some(SourceConfig { name: entry.key.clone(), kind: kind? })
}

/// Reads `connections:`, each by the source that it names; without a name it is of the only one.
pub(super) fn connections(
    node: Option<&Node>,
    sources: &Declared,
    reader: &mut Reader<'_>,
) -> BTreeMap<ConnectionName, ConnectionConfig> {
    let mut connections = BTreeMap::new();
    for entry in node.map(|node| node.entries(reader.findings)).unwrap_or_default() {
        let name = match ConnectionName::parse(&entry.key) {
            Ok(name) => name,
            Err(error) => {
                entry.problem(error.to_string(), reader.findings);
                continue;
            }
        };
        let Some(mut fields) = Fields::open(&entry.node, reader.findings) else { continue };
        let Some(source) = source_of(&mut fields, sources, reader) else { continue };
        let at = source.kind.connection(&name, &mut fields, reader);
        fields.finish(&[], reader.findings);
        if let Some(at) = at {
            connections.insert(name, ConnectionConfig { source: source.name.clone(), at });
        }
    }
    connections
}

fn source_of<'s>(fields: &mut Fields<'_>, sources: &'s Declared, reader: &mut Reader<'_>) -> Option<&'s SourceConfig> {
    let Some(node) = fields.get("source") else {
        return match &sources.read[..] {
            [only] => Some(only),
            _ if sources.names.len() < 2 => None,
            _ => reader.missing(fields.node(), "source"),
        };
    };
    let named = node.text(reader.findings)?;
    let found = sources.read.iter().find(|source| source.name == named);
    // Of one that is there and wrong enough was said.
    if !sources.names.iter().any(|name| name == named) {
        reader.findings.with(node, format!("`sources` has no {named:?}"));
    }
    found
}
