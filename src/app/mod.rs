//! The composition root: configuration -> bound addresses -> run until told to stop.
//!
//! Everything that a sidecar needs is handed in ([`Parts`]); nothing here reads a file or an
//! environment variable, but for the policy's files ([`load_policy`], [`KeptPolicy`]) and those of
//! a source with a `url` ([`remote_source`]).

mod calls;
mod drain;
mod narrowing;
mod pushed;
mod reload;
mod remote;
mod sources;
mod who;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use self::calls::caller;
pub use self::narrowing::Narrowing;
pub use self::pushed::{KeptPolicy, PushedError, PushedPolicy, Start, document_of};
pub use self::reload::Reloader;
pub use self::remote::{RemoteError, gateway_wire, remote_source};
pub use self::sources::{Opened, add_sources};
pub use self::who::{Who, policy_of_call};
use crate::audit::Audit;
use crate::config::{AuditMode, Config, Problems, SetName};
use crate::dial::{DialSettings, Dialer};
use crate::identity::Gate;
use crate::lease::{Leases, Sources};
use crate::policy::Policy;
use crate::proxy::admin::{AdminState, Surface};
use crate::proxy::{Front, OnRefusal, Pipeline, PipelineParts};
use crate::telemetry::{Clock, Metrics};
use crate::tls::{Ca, Leaves, Roots};

/// Everything a sidecar is made of, each part given by whoever starts it.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The rules to start with.
    pub policy: Policy,
    /// Who may use the port.
    pub gate: Arc<Gate>,
    /// Our CA.
    pub ca: Ca,
    /// Where credentials come from.
    pub sources: Sources,
    /// The log.
    pub audit: Audit,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Called with every refusal and what was asked, for the summary of `run`.
    pub on_refusal: Option<OnRefusal>,
}

/// What a sidecar needs of the machine: its sockets, and the roots of destinations. It is opened
/// before anything is made on disk, so that a port in use changes nothing.
pub struct Ground {
    roots: Roots,
    proxy: Listening,
    admin: Listening,
    health: Listening,
}

/// Connections that may wait to be accepted.
const QUEUE: i32 = 1024;

type Listening = Vec<(SocketAddr, std::net::TcpListener)>;

/// A sidecar whose sockets are open.
pub struct Bound {
    pipeline: Arc<Pipeline>,
    leaves: Arc<Leaves>,
    roots: Arc<Roots>,
    clock: Arc<dyn Clock>,
    proxy: Sockets,
    admin: Sockets,
    health: Sockets,
    audit_mode: AuditMode,
}

struct Sockets {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// What keeps a sidecar from starting.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A socket.
    #[error("cannot listen on {address}{}", hint(source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The roots of destinations.
    #[error(transparent)]
    Roots(#[from] crate::tls::RootsError),
    /// Our CA.
    #[error(transparent)]
    Ca(#[from] crate::tls::CaError),
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            ": another program has it (nexus-sidecar doctor names it); stop it, or change `listen`"
        }
        _ => "",
    }
}

impl Ground {
    /// Reads the roots and opens the sockets; port 0 picks a free one.
    pub fn open(config: &Config) -> Result<Self, AppError> {
        let listen = |wanted: &[SocketAddr]| wanted.iter().map(|address| listen(*address)).collect::<Result<_, _>>();
        Ok(Self {
            roots: Roots::load(&config.upstream.ca_files)?,
            proxy: listen(&config.listen.proxy)?,
            admin: listen(&config.listen.admin)?,
            health: listen(&config.listen.health)?,
        })
    }
}

fn listen(address: SocketAddr) -> Result<(SocketAddr, std::net::TcpListener), AppError> {
    let failed = |source| AppError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    // The standard library's own queue is too short for a burst of agents.
    rustix::net::listen(&listener, QUEUE).map_err(|error| failed(error.into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((address, listener))
}

/// Opens the ground, and binds to it.
pub async fn bind(parts: Parts) -> Result<Bound, AppError> {
    let ground = Ground::open(&parts.config)?;
    bind_on(ground, parts)
}

/// Puts the parts together on a ground that was opened for their configuration. Called on the
/// runtime that is to serve: the sockets are registered there.
pub fn bind_on(ground: Ground, parts: Parts) -> Result<Bound, AppError> {
    let Parts { config, policy, gate, ca, sources, audit, metrics, clock, on_refusal } = parts;
    let roots = Arc::new(ground.roots.excluding(&ca)?);
    let (proxy, admin, health) = (Sockets::of(ground.proxy)?, Sockets::of(ground.admin)?, Sockets::of(ground.health)?);
    let settings = DialSettings { hosts: config.upstream.hosts.clone(), timeout: config.timeouts.connect };
    let dialer = Dialer::new(settings, Arc::clone(&roots));
    let own: Vec<_> = [&proxy, &admin, &health].into_iter().flat_map(|sockets| sockets.addresses.clone()).collect();
    dialer.forbid(&own);
    let leaves = Arc::new(Leaves::new(ca, config.limits.leaves)?);
    let audit_mode = config.audit.mode;
    let leases = Leases::new(sources, &config.lease, config.timeouts.lease, Arc::clone(&clock));
    let pipeline = Arc::new(Pipeline::new(PipelineParts {
        policy,
        gate,
        leases,
        dialer,
        audit,
        metrics,
        clock: Arc::clone(&clock),
        config,
        on_refusal,
    }));
    Ok(Bound { pipeline, leaves, roots, clock, proxy, admin, health, audit_mode })
}

impl Sockets {
    fn of(listening: Listening) -> Result<Self, AppError> {
        let mut sockets = Self { listeners: Vec::new(), addresses: Vec::new() };
        for (address, listener) in listening {
            let failed = |source| AppError::Listen { address, source };
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            sockets.addresses.push(listener.local_addr().map_err(failed)?);
            sockets.listeners.push(listener);
        }
        Ok(sockets)
    }
}

impl Bound {
    /// The proxy's addresses.
    pub fn proxy(&self) -> &[SocketAddr] {
        &self.proxy.addresses
    }

    /// The admin addresses.
    pub fn admin(&self) -> &[SocketAddr] {
        &self.admin.addresses
    }

    /// Health addresses.
    pub fn health(&self) -> &[SocketAddr] {
        &self.health.addresses
    }

    /// What clients must trust.
    pub fn trust_pem(&self) -> String {
        self.leaves.trust_pem()
    }

    /// The system's roots, `upstream.ca_files` included, as PEM.
    pub fn roots_pem(&self) -> String {
        self.roots.bundle_pem()
    }

    /// A handle that swaps policy and gate in a running sidecar.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(Arc::clone(&self.pipeline), Arc::clone(&self.leaves), Arc::clone(&self.clock))
    }

    /// Serves until `shutdown` is done, then drains: no new connections, idle ones closed, the
    /// rest given `limits.drain` to end.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(false);
        // Who probes it must see that it drains: these pages go last.
        let (end, over) = watch::channel(false);
        let (alive, all_gone) = mpsc::channel(1);
        let ready = Arc::new(AtomicBool::new(true));
        let state = Arc::new(self.admin_state(&ready));
        for (sockets, surface) in [(self.admin, Surface::Admin), (self.health, Surface::Health)] {
            for listener in sockets.listeners {
                let serve = crate::proxy::admin::serve(listener, Arc::clone(&state), surface, over.clone());
                tokio::spawn(serve);
            }
        }
        let front = Arc::new(Front::new(Arc::clone(&self.pipeline), self.leaves, stopped.clone(), alive));
        for listener in self.proxy.listeners {
            tokio::spawn(Arc::clone(&front).accept(listener));
        }
        drop(front);
        let chores = tokio::spawn(drain::chores(Arc::clone(&self.pipeline)));
        let sources = tokio::spawn(drain::sources(Arc::clone(&self.pipeline)));
        shutdown.await;
        ready.store(false, Ordering::Release);
        drain::drain(&self.pipeline, &stop, all_gone).await;
        end.send_replace(true);
        chores.abort();
        sources.abort();
        drain::close(&self.pipeline).await;
    }

    fn admin_state(&self, ready: &Arc<AtomicBool>) -> AdminState {
        let (pipeline, gauged) = (Arc::clone(&self.pipeline), Arc::clone(&self.pipeline));
        let mode = match self.audit_mode {
            AuditMode::Required => "required",
            AuditMode::Durable => "durable",
            AuditMode::BestEffort => "best_effort",
        };
        AdminState {
            metrics: Arc::clone(&self.pipeline.metrics),
            gauges: Arc::new(move |metrics| {
                let (requests, tunnels) = gauged.alive();
                metrics.alive(requests, tunnels);
                metrics.audit_write_failures(gauged.audit_failures());
            }),
            trust_pem: {
                let leaves = Arc::clone(&self.leaves);
                Arc::new(move || leaves.trust_pem())
            },
            ready: Arc::clone(ready),
            status: Arc::new(move || {
                let (requests, tunnels) = pipeline.alive();
                let mut status = serde_json::json!({
                    "version": env!("CARGO_PKG_VERSION"),
                    "policy": &**pipeline.policy.load().version(),
                    "alive": { "requests": requests, "tunnels": tunnels },
                    "audit": { "mode": mode },
                });
                let sources = pipeline.leases.status();
                if !sources.is_empty() {
                    status["sources"] = sources.into();
                }
                status
            }),
        }
    }
}

/// Reads and compiles policy files as one set.
pub fn load_policy(files: &[PathBuf]) -> Result<Policy, Problems> {
    Policy::compile(crate::config::load_documents(files)?)
}

/// Reads and compiles policy files and, after them, permission sets, as one set.
pub fn load_policy_and_sets(files: &[PathBuf], sets: &[SetName]) -> Result<Policy, Problems> {
    Policy::with_sets(crate::config::load_documents(files)?, sets)
}
