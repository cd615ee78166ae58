//! `nexus-sidecar.yaml`: as written -> checked and complete.

mod access;
mod checks;
mod defaults;
mod keys;
mod load;
mod overrides;
mod reader;
mod sections;
mod service;
mod sources;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use self::access::{AccessConfig, AgentsFrom, ClientConfig, ClientName, IssuerConfig, KeysFrom, ScopeConfig};
pub use self::service::{Rate, ServiceConfig, ServiceLimits, ServiceTls};
pub use self::sources::{
    AssumeRole, AwsBase, AwsConnection, AwsSource, AzureConnection, AzureIdentity, AzureProof, AzureSource,
    ClientFiles, CommandConnection, CommandOutput, CommandSource, ConnectionAt, ConnectionConfig, Dialect,
    EnvironmentConnection, FileConnection, FileSource, GatewayConfig, GatewayConnection, GatewayContract,
    GithubAppConnection, GithubAppSource, GoogleConnection, GoogleIdentity, GoogleSource, GoogleSubject, Installation,
    KubernetesApi, KubernetesConnection, KubernetesSource, RemoteConfig, SourceAuth, SourceConfig, SourceKind,
    SpiffeConnection, SpiffeSource, SubjectFrom, VaultAuth, VaultConnection, VaultSource, WorkloadIdentity,
};
use super::KeySource;
use crate::model::{ConnectionName, Host};

pub use store::{PasswordSource, PostgresConfig, PostgresPlace, StoreConfig};

/// The name that rules know callers without a password by (`anonymous: allow`); no agent with a
/// password has it.
pub const ANONYMOUS: &str = "anonymous";

/// `nexus-sidecar.yaml`, checked and complete: every default is filled in, every `~` expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it came from, if any.
    pub file: Option<PathBuf>,
    /// Where to listen.
    pub listen: Listen,
    /// The embedded Authority.
    pub authority: AuthorityConfig,
    /// How `authority serve` serves it.
    pub service: ServiceConfig,
    /// `sources:`, in order; the store in this process where none is written.
    pub sources: Vec<SourceConfig>,
    /// The only Authority service among them.
    pub remote: Option<RemoteConfig>,
    /// `ca.dir`: where the interception CA of `proxy` is kept.
    pub ca_dir: PathBuf,
    /// How destinations are reached.
    pub upstream: UpstreamConfig,
    /// Sizes.
    pub limits: Limits,
    /// How long each wait may take.
    pub timeouts: Timeouts,
    /// How long anything is lent for.
    pub lease: LeaseConfig,
    /// Who may use the port.
    pub agents: Vec<AgentConfig>,
    /// `anonymous: allow`.
    pub anonymous: bool,
    /// `cleartext: true`: a proxy address off loopback without TLS.
    pub cleartext: bool,
    /// `connections:`: by the name in rules, what each is and where.
    pub connections: BTreeMap<ConnectionName, ConnectionConfig>,
    /// `policy:`, in order, relative ones resolved against the configuration file's folder.
    pub policy: Vec<PathBuf>,
    /// `policy: [ authority ]`: the Authority service has it, and no file does.
    pub policy_of_authority: bool,
    /// The audit.
    pub audit: AuditConfig,
    /// The log.
    pub log: LogConfig,
}

impl Config {
    /// Whether the store in this process is one of the sources.
    pub fn is_embedded(&self) -> bool {
        self.sources.iter().any(|source| matches!(source.kind, SourceKind::Embedded(_)))
    }

    /// The environment variables that hold secrets of it: nothing that is started sees them.
    pub fn variables(&self) -> Vec<String> {
        let mut variables = self.authority.variables();
        for connection in self.connections.values() {
            if let ConnectionAt::Environment(_, there) = &connection.at {
                variables.extend(there.fields.values().cloned());
            }
        }
        variables
    }

    /// The name or the id of a connection at an Authority, by its name in rules.
    pub fn named_there<'a>(&'a self, name: &'a ConnectionName) -> &'a ConnectionName {
        match self.connections.get(name).map(|connection| &connection.at) {
            Some(ConnectionAt::Named(there)) => there,
            _ => name,
        }
    }
}

/// `listen:`
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Listen {
    /// The proxy's addresses.
    pub proxy: Vec<SocketAddr>,
    /// `/metrics`, `/ca.pem`, `/status`, `/healthz`, `/readyz`: loopback only.
    pub admin: Vec<SocketAddr>,
    /// `/healthz` and `/readyz` alone.
    pub health: Vec<SocketAddr>,
}

/// `authority:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityConfig {
    /// The folder that holds `store.db`, and the key where no other place is named.
    pub data_dir: PathBuf,
    /// Where the master key comes from.
    pub key: KeySource,
    /// Where the rows are.
    pub store: StoreConfig,
    /// Keys that some of the store may still be, or already be, sealed under: those of a rotation.
    pub other_keys: Vec<KeySource>,
}

impl AuthorityConfig {
    /// The environment variables that hold secrets of it: nothing that is started sees them.
    pub fn variables(&self) -> Vec<String> {
        let keys = std::iter::once(&self.key).chain(&self.other_keys).filter_map(KeySource::variable);
        keys.chain(self.store.variable()).collect()
    }
}

/// `lease:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// The longest that anything is lent without asking its source again.
    pub max_age: Duration,
    /// The longest that it is used after a source that speaks by itself was last heard of.
    pub max_stale: Duration,
    /// What is under way with a connection that was revoked may go on for this long.
    pub grace: Duration,
}

/// `upstream:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// PEM files whose certificates are trusted beside the system's.
    pub ca_files: Vec<PathBuf>,
    /// Names that are not resolved, but stand for an address.
    pub hosts: BTreeMap<Host, IpAddr>,
    /// Idle connections kept for one key.
    pub max_idle_per_key: usize,
    /// Idle connections kept in all.
    pub max_idle: usize,
}

/// `limits:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest head of a request, in bytes.
    pub header: usize,
    /// The longest body that is held whole to be signed, in bytes.
    pub buffer: usize,
    /// The longest body that is kept while it streams, to be sent once more, in bytes.
    pub replay: usize,
    /// Agents' connections at once.
    pub connections: usize,
    /// Streams at once on one h2 connection.
    pub streams: u32,
    /// Leaf certificates kept.
    pub leaves: usize,
}

/// `timeouts:` every wait of the request path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a connection's first byte expected to a whole head.
    pub header: Duration,
    /// The agent's TLS handshake, and the ClientHello of a tunnel.
    pub handshake: Duration,
    /// Between two requests on the agent's connection.
    pub keep_alive: Duration,
    /// Resolving, connecting and the TLS handshake upstream (`upstream.connect_timeout`).
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub response: Duration,
    /// Between two pieces of a body, either way.
    pub body: Duration,
    /// An idle upstream connection (`upstream.idle_timeout`).
    pub idle: Duration,
    /// A tunnel without a byte in either direction.
    pub tunnel: Duration,
    /// Borrowing a lease.
    pub lease: Duration,
    /// From the signal to the end of what is alive (`limits.drain`).
    pub drain: Duration,
}

/// One of `agents:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The name that rules say.
    pub name: String,
    /// A file that holds its proxy password.
    pub proxy_password_file: PathBuf,
}

/// `audit:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// When a request may leave.
    pub mode: AuditMode,
    /// Where the files are.
    pub dir: PathBuf,
    /// The chain's key: made at first start, mode 0600; by default `<dir>/key`.
    pub key_file: PathBuf,
    /// A file is closed at this size, in bytes.
    pub max_file: u64,
}

/// `audit.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AuditMode {
    /// The intent has been written.
    #[default]
    Required,
    /// The intent is on disk.
    Durable,
    /// A failed write is counted, and the request goes on.
    BestEffort,
}

/// `log:`
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// A `tracing` filter; the caps on noisy crates hold whatever it says.
    pub level: Option<String>,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}
