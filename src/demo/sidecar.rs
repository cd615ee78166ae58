//! The sidecar of the demonstration: the real one, with the embedded Authority, on a free port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::DemoError;
use super::secrets::Secrets;
use super::services::{REGION, Services};
use crate::app::{self, Parts};
use crate::audit::Audit;
use crate::authority::{Authority, MasterKey, NewConnection};
use crate::config::{
    AuditConfig, AuditMode, AuthorityConfig, Config, Document, KeySource, LeaseConfig, Limits, Listen, LogConfig,
    ServiceConfig, StoreConfig, Timeouts, UpstreamConfig,
};
use crate::identity::Gate;
use crate::lease::Sources;
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Secret, Strategy};
use crate::policy::Policy;
use crate::telemetry::{Clock, Metrics, SystemClock};
use crate::tls::Ca;

/// The name that the policy knows the agent by.
const AGENT: &str = "demo-agent";

/// A sidecar that serves.
pub(super) struct Sidecar {
    /// The agent's way out, with the password of this run.
    pub(super) proxy_url: String,
    /// The roots that the sidecar trusts, those of the services included.
    pub(super) roots_pem: String,
    /// What the agent must trust beside them.
    pub(super) ca_pem: String,
    /// Told of the agent's process.
    pub(super) gate: Arc<Gate>,
    /// Where the audit is.
    pub(super) audit: AuditConfig,
    log: Audit,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Sidecar {
    /// Makes store, connections and policy in a folder, and serves.
    pub(super) async fn start(folder: &Path, secrets: &Secrets, services: &Services) -> Result<Self, DemoError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = config(folder, services)?;
        let authority = Authority::open(&config.authority, &MasterKey::new(random()?), Arc::clone(&clock))?;
        for connection in connections(secrets, services)? {
            authority.add(connection)?;
        }
        let log = Audit::open(&config.audit, Arc::clone(&clock))?;
        let password = random_hex()?;
        let gate = Arc::new(Gate::for_run(AGENT, Secret::new(password.as_bytes())));
        let audit = config.audit.clone();
        let bound = app::bind(Parts {
            policy: policy(services)?,
            gate: Arc::clone(&gate),
            ca: Ca::ephemeral(clock.wall())?,
            sources: Sources::only(authority.source()),
            audit: log.clone(),
            metrics: Arc::new(Metrics::new()),
            clock,
            on_refusal: None,
            config,
        })
        .await?;
        let address = bound.proxy().first().copied().ok_or(DemoError::Made("an address"))?;
        let (roots_pem, ca_pem) = (bound.roots_pem(), bound.trust_pem());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(bound.run(async {
            let _ = stopped.await;
        }));
        let proxy_url = format!("http://{AGENT}:{password}@{address}");
        Ok(Self { proxy_url, roots_pem, ca_pem, gate, audit, log, stop, serving })
    }

    /// Stops, and writes the audit's last line.
    pub(super) async fn stop(self) -> Result<(), DemoError> {
        let _ = self.stop.send(());
        self.serving.await.map_err(|_| DemoError::Made("a good end"))?;
        Ok(self.log.close()?)
    }
}

/// The defaults, but for one free port, the services' names and CA, and folders of this run.
fn config(folder: &Path, services: &Services) -> Result<Config, DemoError> {
    let ca_file = folder.join("services.pem");
    std::fs::write(&ca_file, &services.trust_pem)
        .map_err(|source| DemoError::Io { action: "write the certificates of the services", source })?;
    let data_dir = folder.join("store");
    let audit = folder.join("audit");
    Ok(Config {
        file: None,
        listen: Listen { proxy: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], ..Listen::default() },
        authority: AuthorityConfig {
            key: KeySource::File(data_dir.join("key")),
            store: StoreConfig::Sqlite,
            other_keys: Vec::new(),
            data_dir,
        },
        service: ServiceConfig::default(),
        lease: LeaseConfig::default(),
        sources: Vec::new(),
        remote: None,
        ca_dir: folder.join("ca"),
        upstream: UpstreamConfig {
            ca_files: vec![ca_file],
            hosts: services.hosts()?.into_iter().collect(),
            max_idle_per_key: 4,
            max_idle: 16,
        },
        limits: Limits {
            header: 64 << 10,
            buffer: 1 << 20,
            replay: 64 << 10,
            connections: 64,
            streams: 32,
            leaves: 16,
        },
        timeouts: timeouts(),
        agents: Vec::new(),
        anonymous: false,
        cleartext: false,
        connections: BTreeMap::new(),
        policy: Vec::new(),
        policy_of_authority: false,
        audit: AuditConfig { mode: AuditMode::Required, key_file: audit.join("key"), dir: audit, max_file: 1 << 20 },
        log: LogConfig::default(),
    })
}

/// Nothing here takes long; what does is reported soon.
const fn timeouts() -> Timeouts {
    const SHORT: Duration = Duration::from_secs(5);
    const LONG: Duration = Duration::from_secs(30);
    Timeouts {
        header: SHORT,
        handshake: SHORT,
        keep_alive: LONG,
        connect: SHORT,
        response: SHORT,
        body: SHORT,
        idle: LONG,
        tunnel: LONG,
        lease: SHORT,
        drain: Duration::from_secs(1),
    }
}

/// What the agent may do: one rule for each service, and nothing else anywhere.
fn policy(services: &Services) -> Result<Policy, DemoError> {
    let rule = |name, service: &super::service::Service, methods, path, connection| {
        let (host, port) = (service.host, service.address.port());
        format!(
            "  - name: {name}\n    agent: {AGENT}\n    host: {host}\n    port: {port}\n    method: [{methods}]\n    \
             path: {path}\n    connection: {connection}\n    networks: [127.0.0.0/8]\n"
        )
    };
    let text = [
        "version: 1\ndefault: deny\nrules:\n",
        &rule("read-tickets", &services.tickets, "GET", "/rest/api/3/**", "tickets"),
        &rule("keep-reports", &services.storage, "GET, PUT", "/reports/*", "storage"),
        &rule("post-messages", &services.chat, "POST", "/api/chat.postMessage", "chat"),
    ]
    .concat();
    let document = Document::parse(Path::new("demo-policy.yaml"), &text);
    Ok(Policy::compile(vec![document])?)
}

/// The white paper's three ways to authenticate, at one host each.
fn connections(secrets: &Secrets, services: &Services) -> Result<[NewConnection; 3], DemoError> {
    let bearer = json!({"type": "header", "config": {"value_prefix": "Bearer ", "credential_field": "token"}});
    let signed = json!({"type": "aws_sigv4", "config": {"service": "s3", "region": REGION}});
    let oauth2 = json!({"type": "oauth2"});
    let keys = [("access_key", &secrets.access_key), ("secret_key", &secrets.secret_key)];
    Ok([
        connection("tickets", services.tickets.host, &oauth2, &[("access_token", &secrets.tickets)])?,
        connection("storage", services.storage.host, &signed, &keys)?,
        connection("chat", services.chat.host, &bearer, &[("token", &secrets.chat)])?,
    ])
}

fn connection(
    name: &str,
    host: &str,
    strategy: &serde_json::Value,
    credentials: &[(&str, &String)],
) -> Result<NewConnection, DemoError> {
    let mut fields = Fields::new();
    for (field, value) in credentials {
        fields.insert(*field, Secret::new(value.as_bytes()));
    }
    let host = HostPattern::parse(host).map_err(|_| DemoError::Made("a host"))?;
    let strategy = Strategy::from_json(strategy).map_err(|_| DemoError::Made("a strategy"))?;
    Ok(NewConnection {
        name: ConnectionName::parse(name).map_err(|_| DemoError::Made("a name"))?,
        provider: None,
        bindings: vec![Binding { hosts: vec![host], strategy }],
        owned: false,
        fields,
        expires_at: None,
    })
}

fn random() -> Result<Secret, DemoError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| DemoError::Random)?;
    Ok(Secret::new(bytes))
}

fn random_hex() -> Result<String, DemoError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| DemoError::Random)?;
    Ok(hex::encode(bytes))
}
