//! A destination that records what it received and answers as the test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::pki::Pki;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: Method,
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Received {
    /// The one value of a header; a missing or repeated one is a failed test.
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        values[0].to_str().unwrap()
    }
}

type Respond = dyn Fn(&Received) -> Response<Full<Bytes>> + Send + Sync;

/// A server on a port of its own; dropping it stops it.
pub struct Origin {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// What an origin speaks.
pub enum Speaks {
    /// Cleartext HTTP/1.1.
    Plain,
    /// TLS with this configuration.
    Tls(Arc<rustls::ServerConfig>),
}

impl Origin {
    /// TLS for one name, h2 and HTTP/1.1, answering 200 `ok`.
    pub async fn tls(pki: &Pki, name: &str) -> Self {
        Self::start(Speaks::Tls(pki.server(&[name], &[b"h2", b"http/1.1"])), ok).await
    }

    /// TLS for one name, HTTP/1.1 alone, answering as told.
    pub async fn tls_h1(
        pki: &Pki,
        name: &str,
        respond: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Speaks::Tls(pki.server(&[name], &[b"http/1.1"])), respond).await
    }

    /// Cleartext, answering 200 `ok`.
    pub async fn plain() -> Self {
        Self::start(Speaks::Plain, ok).await
    }

    pub async fn start(
        speaks: Speaks,
        respond: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), speaks, respond)
    }

    /// A listener on a port that a test cannot choose, at an address of its own. None where the
    /// system reserves low ports for root.
    pub async fn reserved(port: u16) -> Option<TcpListener> {
        for _ in 0..20 {
            let ip = std::net::Ipv4Addr::from(0x7f00_0000 | rand_24());
            match TcpListener::bind((ip, port)).await {
                Ok(listener) => return Some(listener),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
                Err(_) => {}
            }
        }
        panic!("no loopback address has port {port} free");
    }

    /// Serves on a socket that the test opened.
    pub fn on(
        listener: TcpListener,
        speaks: Speaks,
        respond: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let respond: Arc<Respond> = Arc::new(respond);
        let (log, count) = (Arc::clone(&received), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                match &speaks {
                    Speaks::Plain => {
                        tasks.spawn(serve_h1(stream, log, respond));
                    }
                    Speaks::Tls(config) => {
                        let acceptor = TlsAcceptor::from(Arc::clone(config));
                        tasks.spawn(async move {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                                serve_h2(stream, log, respond).await;
                            } else {
                                serve_h1(stream, log, respond).await;
                            }
                        });
                    }
                }
            }
        });
        Self { address, received, connections, task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything that arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request that arrived.
    pub fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A number that two test binaries at once do not share.
fn rand_24() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    let drawn = RandomState::new().hash_one(std::process::id());
    0x01_0001 | (u32::try_from(drawn & 0xff_ffff).unwrap())
}

/// 200 `ok`.
pub fn ok(_: &Received) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"ok")))
}

async fn serve_h1<S>(stream: S, log: Arc<Mutex<Vec<Received>>>, respond: Arc<Respond>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, Arc::clone(&log), Arc::clone(&respond)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn serve_h2<S>(stream: S, log: Arc<Mutex<Vec<Received>>>, respond: Arc<Respond>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, Arc::clone(&log), Arc::clone(&respond)));
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Received>>>,
    respond: Arc<Respond>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(collected) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let trailers = collected.trailers().cloned();
    let received = Received {
        method: parts.method,
        target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        version: parts.version,
        headers: parts.headers,
        body: collected.to_bytes(),
        trailers,
    };
    let response = respond(&received);
    log.lock().unwrap().push(received);
    Ok(response)
}
