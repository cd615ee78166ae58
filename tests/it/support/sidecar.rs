//! A sidecar in this process, on port 0; dropping it stops it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nexus_sidecar::app::{self, Parts, Reloader, Who};
use nexus_sidecar::audit::Audit;
use nexus_sidecar::config::{
    AuditConfig, AuditMode, AuthorityConfig, Config, KeySource, LeaseConfig, Limits, Listen, LogConfig, ServiceConfig,
    StoreConfig, Timeouts, UpstreamConfig, UserCall,
};
use nexus_sidecar::identity::Gate;
use nexus_sidecar::lease::{LeaseSource, MemoryConnection, MemorySource, Sources};
use nexus_sidecar::model::{Binding, Bindings, ConnectionName, Fields, Host, HostPattern, Secret, Strategy};
use nexus_sidecar::proxy::Refused;
use nexus_sidecar::telemetry::{Clock, Metrics, SystemClock, TestClock};
use nexus_sidecar::tls::Ca;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::authority::FakeAuthority;
use super::client::Agent;
use super::origin::Origin;
use super::pki::Pki;

/// A sidecar that runs.
pub struct Sidecar {
    pub agent: Agent,
    pub reloader: Reloader,
    pub metrics: Arc<Metrics>,
    pub source: Arc<MemorySource>,
    pub clock: Arc<dyn Clock>,
    pub refusals: Arc<Mutex<Vec<String>>>,
    audit: Audit,
    moved: Option<Arc<TestClock>>,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
    admin: std::net::SocketAddr,
    health: Option<std::net::SocketAddr>,
}

/// What a test changes in the configuration.
type Change = Box<dyn FnOnce(&mut Config)>;

/// What a test says of its sidecar.
pub struct Builder {
    policy: String,
    connections: Vec<(ConnectionName, Bindings, Fields)>,
    ca_files: Vec<String>,
    hosts: BTreeMap<Host, std::net::IpAddr>,
    agents: Vec<(String, String)>,
    at: Option<SystemTime>,
    lender: Option<Arc<dyn LeaseSource>>,
    change: Vec<Change>,
}

impl Sidecar {
    /// Forwards to a cleartext origin, under the name `plain.test`.
    pub fn forwarding(origin: &Origin) -> Builder {
        let rule = format!("host: plain.test, port: {}, action: forward, networks: [127.0.0.0/8]", origin.port());
        Self::builder().policy(format!("rules:\n  - {{ {rule} }}\n")).host("plain.test", origin)
    }

    pub fn builder() -> Builder {
        Builder {
            policy: String::new(),
            connections: Vec::new(),
            ca_files: Vec::new(),
            hosts: BTreeMap::new(),
            agents: Vec::new(),
            at: None,
            lender: None,
            change: Vec::new(),
        }
    }

    /// Every line of the audit so far, the buffered ones among them.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        audit_in(&self.audit_dir())
    }

    /// The audit's outcomes, once there are `count` of them.
    pub async fn outcomes(&self, count: usize) -> Vec<serde_json::Value> {
        for _ in 0..500 {
            let outcomes: Vec<_> = self.audit().into_iter().filter(|line| line["kind"] == "outcome").collect();
            if outcomes.len() >= count {
                return outcomes;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} outcomes were expected: {:#?}", self.audit());
    }

    pub fn audit_dir(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    pub fn admin(&self) -> std::net::SocketAddr {
        self.admin
    }

    /// What `/status` says.
    pub async fn status(&self) -> serde_json::Value {
        let admin = Agent { proxy: self.admin, ..self.agent.clone() };
        let head = format!("GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        serde_json::from_slice(&admin.raw(head.as_bytes()).await.body).unwrap()
    }

    /// The first of `listen.health`.
    pub fn health(&self) -> std::net::SocketAddr {
        self.health.unwrap()
    }

    /// Tells it to stop and waits until the drain is over.
    pub async fn drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
        self.audit.close().unwrap();
    }

    /// Moves the clock, which a test that said `at` holds.
    pub fn advance(&self, time: Duration) {
        self.moved.as_ref().expect("only a clock that was set can be moved").advance(time);
    }

    /// Begins to stop, without waiting.
    pub fn begin_drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Takes new rules, as a reload does.
    pub fn reload(&self, policy: &str) {
        let file = self.directory.path().join("policy-next.yaml");
        std::fs::write(&file, policy).unwrap();
        self.reloader.policy(app::load_policy(&[file]).unwrap_or_else(|problems| panic!("{problems}")));
    }
}

/// A sidecar that forwards to a cleartext destination, which the test drives byte by byte, and
/// the URL of that destination.
pub async fn by_hand(change: impl FnOnce(&mut Config) + 'static) -> (Sidecar, TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {port}, action: forward, networks: [127.0.0.0/8] }}\n"))
        .configure(change)
        .start()
        .await;
    (sidecar, listener, format!("http://127.0.0.1:{port}"))
}

impl Builder {
    /// The rules; `version: 1` is added.
    #[must_use]
    pub fn policy(mut self, text: impl AsRef<str>) -> Self {
        self.policy = format!("version: 1\n{}", text.as_ref());
        self
    }

    /// A connection in memory.
    #[must_use]
    pub fn connection(
        mut self,
        name: &str,
        strategy: serde_json::Value,
        hosts: &[&str],
        fields: &[(&str, &str)],
    ) -> Self {
        let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
        let binding = Binding { hosts, strategy: Strategy::from_json(&strategy).unwrap() };
        let mut credentials = Fields::new();
        for (field, value) in fields {
            credentials.insert(*field, Secret::new(*value));
        }
        self.connections.push((
            ConnectionName::parse(name).unwrap(),
            Bindings::new(vec![binding], true).unwrap(),
            credentials,
        ));
        self
    }

    /// Trusts an authority's certificates upstream.
    #[must_use]
    pub fn trusts(mut self, pki: &Pki) -> Self {
        self.ca_files.push(pki.pem.clone());
        self
    }

    /// A name that stands for an origin's address.
    #[must_use]
    pub fn host(mut self, name: &str, origin: &Origin) -> Self {
        self.hosts.insert(Host::parse(name).unwrap(), origin.address.ip());
        self
    }

    /// An agent with a password; without any, callers are anonymous.
    #[must_use]
    pub fn agent(mut self, name: &str, password: &str) -> Self {
        self.agents.push((name.to_owned(), password.to_owned()));
        self
    }

    /// The time of day at the start; the clock then moves only when told.
    #[must_use]
    pub fn at(mut self, wall: SystemTime) -> Self {
        self.at = Some(wall);
        self
    }

    /// Borrows from a fake Authority instead of memory.
    #[must_use]
    pub fn borrows_from(self, authority: &FakeAuthority) -> Self {
        let remote = authority.config();
        self.configure(move |config| config.remote = Some(remote))
    }

    /// Borrows from this source instead of memory.
    #[must_use]
    pub fn lends_by(mut self, lender: Arc<dyn LeaseSource>) -> Self {
        self.lender = Some(lender);
        self
    }

    /// Any other setting.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.change.push(Box::new(change));
        self
    }

    pub async fn start(self) -> Sidecar {
        let (bound, built) = self.bind().await;
        let Built { source, clock, moved, metrics, refusals, audit, directory, credentials } = built;
        let agent = Agent { proxy: bound.proxy()[0], trust: bound.trust_pem(), credentials };
        let admin = bound.admin()[0];
        let health = bound.health().first().copied();
        let reloader = bound.reloader();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(bound.run(async {
            let _ = stopped.await;
        }));
        Sidecar {
            agent,
            reloader,
            metrics,
            source,
            clock,
            refusals,
            audit,
            moved,
            directory,
            stop: Some(stop),
            task: Some(task),
            admin,
            health,
        }
    }

    /// Asks whose credentials they are, as `connection test` does; and the audit of it.
    pub async fn who(self, call: &UserCall) -> (Who, Vec<serde_json::Value>) {
        let (bound, built) = self.bind().await;
        let who = bound.who(call).await;
        drop(bound);
        built.audit.close().unwrap();
        (who, audit_in(&built.directory.path().join("audit")))
    }

    async fn bind(self) -> (app::Bound, Built) {
        let directory = TempDir::new().unwrap();
        let policy = directory.path().join("policy.yaml");
        std::fs::write(&policy, &self.policy).unwrap();
        let mut config = config(directory.path());
        config.listen.proxy = vec!["127.0.0.1:0".parse().unwrap()];
        config.listen.admin = vec!["127.0.0.1:0".parse().unwrap()];
        config.upstream.hosts = self.hosts;
        for (index, pem) in self.ca_files.iter().enumerate() {
            let file = directory.path().join(format!("ca-{index}.pem"));
            std::fs::write(&file, pem).unwrap();
            config.upstream.ca_files.push(file);
        }
        for change in self.change {
            change(&mut config);
        }
        let (moved, clock) = clock(self.at);
        let source = Arc::new(MemorySource::new(self.connections.into_iter().map(in_memory)));
        let routes: Vec<_> =
            config.connections.keys().map(|name| (name.clone(), config.named_there(name).clone())).collect();
        let lender: Arc<dyn LeaseSource> = match (self.lender, &config.remote) {
            (Some(lender), _) => lender,
            (None, Some(remote)) => app::remote_source(&config, remote, Arc::clone(&clock)).unwrap(),
            (None, None) => Arc::<MemorySource>::clone(&source),
        };
        let sources = match config.sources.is_empty() {
            true => Sources::new().with("local", lender, routes).rest_is_last(),
            false => app::add_sources(Sources::new(), &config, &app::Opened::default(), &clock).unwrap(),
        };
        let agents: Vec<_> =
            self.agents.iter().map(|(name, password)| (name.clone(), Secret::new(password.as_str()))).collect();
        let audit = Audit::open(&config.audit, Arc::clone(&clock)).unwrap();
        let metrics = Arc::new(Metrics::new());
        let refusals: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&refusals);
        let parts = Parts {
            policy: app::load_policy(&[policy]).unwrap_or_else(|problems| panic!("{problems}")),
            config,
            gate: Arc::new(Gate::named(agents, self.agents.is_empty())),
            ca: Ca::ephemeral(clock.wall()).unwrap(),
            sources,
            audit: audit.clone(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            on_refusal: Some(Box::new(move |refused, asked, _| {
                if let Refused::Here(refusal) = refused {
                    told.lock().unwrap().push(format!("{} {asked}", refusal.code().as_str()));
                }
            })),
        };
        let credentials = self.agents.first().cloned();
        let built = Built { source, clock, moved, metrics, refusals, audit, directory, credentials };
        (app::bind(parts).await.unwrap(), built)
    }
}

/// Every line of the audit in a folder.
fn audit_in(folder: &std::path::Path) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl") && !path.ends_with("index.jsonl"))
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    lines
}

/// What a sidecar was made of, for whoever asks it later.
struct Built {
    source: Arc<MemorySource>,
    clock: Arc<dyn Clock>,
    moved: Option<Arc<TestClock>>,
    metrics: Arc<Metrics>,
    refusals: Arc<Mutex<Vec<String>>>,
    audit: Audit,
    directory: TempDir,
    credentials: Option<(String, String)>,
}

fn in_memory((name, bindings, fields): (ConnectionName, Bindings, Fields)) -> MemoryConnection {
    MemoryConnection { name, bindings, fields, expires_at: None }
}

/// The clock that a test moves, or the system's.
fn clock(at: Option<SystemTime>) -> (Option<Arc<TestClock>>, Arc<dyn Clock>) {
    let moved = at.map(|wall| Arc::new(TestClock::at(wall)));
    let clock: Arc<dyn Clock> = match &moved {
        Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        None => Arc::new(SystemClock),
    };
    (moved, clock)
}

fn config(home: &std::path::Path) -> Config {
    let seconds = Duration::from_secs;
    Config {
        file: None,
        listen: Listen::default(),
        authority: AuthorityConfig {
            data_dir: home.join("data"),
            key: KeySource::File(home.join("key")),
            store: StoreConfig::Sqlite,
            other_keys: vec![],
        },
        service: ServiceConfig::default(),
        sources: Vec::new(),
        lease: LeaseConfig::default(),
        remote: None,
        ca_dir: home.join("ca"),
        upstream: UpstreamConfig { ca_files: Vec::new(), hosts: BTreeMap::new(), max_idle_per_key: 64, max_idle: 256 },
        limits: Limits {
            header: 64 * 1024,
            buffer: 1024 * 1024,
            replay: 64 * 1024,
            connections: 1024,
            streams: 100,
            leaves: 100,
        },
        timeouts: Timeouts {
            header: seconds(5),
            handshake: seconds(5),
            keep_alive: seconds(30),
            connect: seconds(5),
            response: seconds(10),
            body: seconds(10),
            idle: seconds(30),
            tunnel: seconds(30),
            lease: seconds(5),
            drain: seconds(5),
        },
        agents: Vec::new(),
        anonymous: true,
        cleartext: false,
        connections: BTreeMap::new(),
        policy: Vec::new(),
        policy_of_authority: false,
        audit: AuditConfig {
            mode: AuditMode::Required,
            dir: home.join("audit"),
            key_file: home.join("audit.key"),
            max_file: 1 << 30,
        },
        log: LogConfig::default(),
    }
}
