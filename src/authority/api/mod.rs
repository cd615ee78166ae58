//! The Authority over HTTP: one table of endpoints, and the frame around them.
//!
//! From `table` come the router, the check of the caller's scope, the OpenAPI document and the
//! tests; `handle` is the life of a call. A handler is reached with a caller that was admitted, or
//! says in the table that it is for everybody. Nothing here logs what was sent, allows another
//! origin (there is no CORS), or answers a refusal without a body. Next: `endpoint`, then `table`.

mod access;
mod answer;
mod audit;
mod blocking;
mod call;
mod caller;
mod connections;
mod endpoint;
mod events;
mod handle;
mod json;
mod lease;
mod metrics;
mod openapi;
mod page;
mod policy;
mod problem;
mod providers;
mod rate;
mod refresh;
mod revocations;
mod router;
mod server;
mod service;
mod sse;
mod table;
#[cfg(test)]
mod tests;
mod token;
mod version;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

use self::blocking::Blocking;
use self::caller::{Doors, Gate};
use self::metrics::ApiMetrics;
use self::rate::Limits;
use self::router::Router;
use super::Authority;
use super::access::{Access, Dialers};
use crate::config::{AccessConfig, ServiceConfig, ServiceLimits};
use crate::telemetry::Clock;
use crate::tls::{RootsError, ServerTlsError, server_tls};

/// What every call shares.
pub(in crate::authority) struct Api {
    authority: Authority,
    gate: Arc<dyn Gate>,
    clock: Arc<dyn Clock>,
    router: Router,
    document: Bytes,
    blocking: Blocking,
    limits: Limits,
    metrics: ApiMetrics,
    stopping: watch::Sender<bool>,
    waits: Waits,
}

/// How long each wait may take, and how much a body may hold.
#[derive(Clone, Debug)]
struct Waits {
    handshake: Duration,
    /// From an accepted connection, or the end of an answer, to a whole head.
    header: Duration,
    body: Duration,
    body_limit: usize,
    /// From a whole request to the head of its answer.
    deadline: Duration,
    /// What was sent and is not taken.
    stalled: Duration,
    /// From the stop to the end of what is under way.
    drain: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(60),
            body: Duration::from_secs(30),
            body_limit: 1 << 20,
            deadline: Duration::from_secs(30),
            stalled: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// What keeps the Authority from being served.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its certificate.
    #[error(transparent)]
    Tls(#[from] ServerTlsError),
    /// The certificates that an issuer's keys are fetched by.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// Connections that may wait to be accepted.
const QUEUE: i32 = 1024;

/// What serving needs of the machine: sockets and certificates. It is opened before a store is, so
/// that a port in use makes nothing.
pub struct ServiceGround {
    listeners: Vec<(SocketAddr, std::net::TcpListener)>,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: ServiceLimits,
    access: AccessConfig,
}

impl ServiceGround {
    /// Reads the certificates and opens the sockets; port 0 picks a free one.
    pub fn open(config: &ServiceConfig) -> Result<Self, ServiceError> {
        let files = config.tls.as_ref();
        let tls = files.map(|files| server_tls(&files.cert_file, &files.key_file, files.client_ca_file.as_deref()));
        let tls = tls.transpose()?;
        let listeners = config.listen.iter().map(|address| listen(*address)).collect::<Result<_, _>>()?;
        Ok(Self { listeners, tls, limits: config.limits.clone(), access: config.access.clone() })
    }
}

fn listen(address: SocketAddr) -> Result<(SocketAddr, std::net::TcpListener), ServiceError> {
    let failed = |source| ServiceError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    rustix::net::listen(&listener, QUEUE).map_err(|error| failed(error.into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((address, listener))
}

/// An Authority whose sockets are open.
pub struct Service {
    ground: ServiceGround,
    api: Api,
}

impl Service {
    /// Puts an Authority on a ground.
    ///
    /// # Errors
    /// Certificates that an issuer's keys are to be fetched by and that cannot be read.
    pub fn new(ground: ServiceGround, authority: Authority, dialers: Dialers<'_>) -> Result<Self, ServiceError> {
        let access = Access::new(&ground.access, dialers)?;
        let doors = Doors { access, authority: authority.clone() };
        Ok(Self::with(ground, authority, Arc::new(doors), table::endpoints(), Waits::default()))
    }

    fn with(
        ground: ServiceGround,
        authority: Authority,
        gate: Arc<dyn Gate>,
        endpoints: Vec<endpoint::Endpoint>,
        waits: Waits,
    ) -> Self {
        let clock = Arc::clone(&authority.desk.clock);
        let router = Router::new(endpoints);
        let document = format!("{}\n", openapi::document(&router)).into();
        let stopping = watch::Sender::new(false);
        let (limits, metrics) = (Limits::new(&ground.limits), ApiMetrics::new());
        let api = Api {
            authority,
            gate,
            clock,
            router,
            document,
            blocking: Blocking::new(),
            limits,
            metrics,
            stopping,
            waits,
        };
        Self { ground, api }
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.ground.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// Serves until `shutdown` is done; then no new connections, and what is under way is answered.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServiceError> {
        let (stop, stopped) = (self.api.stopping.clone(), self.api.stopping.subscribe());
        let (alive, mut all_gone) = mpsc::channel(1);
        let drain = self.api.waits.drain;
        let places = Arc::new(Semaphore::new(self.ground.limits.connections));
        let front = server::Front { api: Arc::new(self.api), tls: self.ground.tls, places, stop: stopped, alive };
        let front = Arc::new(front);
        for (address, listener) in self.ground.listeners {
            let listener =
                TcpListener::from_std(listener).map_err(|source| ServiceError::Listen { address, source })?;
            tokio::spawn(Arc::clone(&front).accept(listener));
        }
        drop(front);
        shutdown.await;
        stop.send_replace(true);
        let gone = async { while all_gone.recv().await.is_some() {} };
        let _ = tokio::time::timeout(drain, gone).await;
        Ok(())
    }
}
