//! Answers those who look after the sidecar: health, metrics, trust material and status.
//!
//! Nothing here is secret and nothing can be changed: GET and HEAD alone. The admin surface also
//! refuses a `Host` that is not loopback, since a page in a browser could otherwise read it
//! through a name that it rebinds to 127.0.0.1.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::telemetry::Metrics;

/// Which routes a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/healthz` and `/readyz` alone, to whoever asks.
    Health,
    /// These, and `/metrics`, `/ca.pem` and `/status`, to loopback names alone.
    Admin,
}

/// What the routes show. Nothing of it is secret.
pub struct AdminState {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Sets what is not counted as it happens; called before each `/metrics`.
    pub gauges: Arc<dyn Fn(&Metrics) + Send + Sync>,
    /// The certificates that clients must trust.
    pub trust_pem: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether requests are served: false before the start is done and from the drain on.
    pub ready: Arc<AtomicBool>,
    /// Answers `/status`: version, policy version, what is alive, the audit's mode.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// Connections at once on one listener; more wait in the backlog.
const CONNECTIONS: usize = 64;

/// From an accepted connection, or the end of an answer, to a whole head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The life of a connection: probes and scrapes are short.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What is left of an answer when the sidecar stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Accepts until `shutdown` says true or its sender is gone, then lets answers that have begun
/// end for at most a second.
pub async fn serve(
    listener: TcpListener,
    state: Arc<AdminState>,
    surface: Surface,
    mut shutdown: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let accepted = tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: waiting is all that helps, spinning would not.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (state, stop) = (Arc::clone(&state), shutdown.clone());
        connections.spawn(async move {
            let _slot = slot;
            let served = connection(stream, state, surface, stop);
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
        });
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
}

async fn connection(stream: TcpStream, state: Arc<AdminState>, surface: Surface, mut stop: watch::Receiver<bool>) {
    let Ok(local) = stream.local_addr() else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&state, surface, local, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(16 * 1024);
    let served = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

fn answer<B>(state: &AdminState, surface: Surface, local: SocketAddr, request: &Request<B>) -> Response<Full<Bytes>> {
    let text = |status, text: &'static str| response(status, "text/plain; charset=utf-8", text);
    if surface == Surface::Admin && !is_loopback_host(request, local.port()) {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "this surface answers to 127.0.0.1, [::1] and localhost, with its port, alone\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match (request.uri().path(), surface) {
        ("/healthz", _) => text(StatusCode::OK, "ok\n"),
        ("/readyz", _) if state.ready.load(Ordering::Acquire) => text(StatusCode::OK, "ready\n"),
        ("/readyz", _) => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        ("/metrics", Surface::Admin) => {
            (state.gauges)(&state.metrics);
            response(StatusCode::OK, Metrics::CONTENT_TYPE, state.metrics.encode())
        }
        ("/ca.pem", Surface::Admin) => response(StatusCode::OK, "application/x-pem-file", (state.trust_pem)()),
        ("/status", Surface::Admin) => response(StatusCode::OK, "application/json", format!("{}\n", (state.status)())),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Exactly one `Host`, naming this port on loopback (the attack: DNS rebinding). An absolute-form
/// target has to agree, since it outranks `Host` (RFC 9112, section 3.2.2).
fn is_loopback_host<B>(request: &Request<B>, port: u16) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let named = host.to_str().is_ok_and(|host| is_loopback_authority(host, port));
    named && request.uri().authority().is_none_or(|authority| is_loopback_authority(authority.as_str(), port))
}

fn is_loopback_authority(authority: &str, port: u16) -> bool {
    let Some(name) = authority.strip_suffix(&format!(":{port}")) else { return false };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match address {
        Some(v6) => v6.parse().is_ok_and(|address: std::net::Ipv6Addr| address.is_loopback()),
        None => name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Served {
        address: SocketAddr,
        ready: Arc<AtomicBool>,
        stop: watch::Sender<bool>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(surface: Surface) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Arc::new(AtomicBool::new(false));
        let state = Arc::new(AdminState {
            metrics: Arc::new(Metrics::new()),
            gauges: Arc::new(|metrics| metrics.alive(7, 0)),
            trust_pem: Arc::new(|| "-----BEGIN CERTIFICATE-----\n".to_owned()),
            ready: Arc::clone(&ready),
            status: Arc::new(|| serde_json::json!({"version": "1"})),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, state, surface, stopped));
        Served { address, ready, stop, task }
    }

    impl Served {
        async fn send(&self, request: String) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }

        async fn get(&self, path: &str) -> String {
            let port = self.address.port();
            self.send(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n")).await
        }
    }

    #[tokio::test]
    async fn admin_shows_everything() {
        let served = start(Surface::Admin).await;
        for (path, expected) in [
            ("/healthz", "ok\n"),
            ("/metrics", "nexus_sidecar_requests_total"),
            ("/metrics", "nexus_sidecar_requests_alive 7\n"),
            ("/ca.pem", "BEGIN CERTIFICATE"),
            ("/status", "{\"version\":\"1\"}"),
            ("/status?x=1", "{\"version\":\"1\"}"),
        ] {
            let answer = served.get(path).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(expected), "{path}: {answer}");
        }
        for path in ["/", "/metrics/", "/../metrics", "/CA.PEM"] {
            assert!(served.get(path).await.starts_with("HTTP/1.1 404 "), "{path}");
        }
    }

    #[tokio::test]
    async fn health_shows_health_alone_to_every_name() {
        let served = start(Surface::Health).await;
        for path in ["/metrics", "/ca.pem", "/status"] {
            assert!(served.get(path).await.starts_with("HTTP/1.1 404 "), "{path}");
        }
        let probe = "GET /readyz HTTP/1.1\r\nhost: 10.1.2.3\r\nconnection: close\r\n\r\n";
        assert!(served.send(probe.to_owned()).await.starts_with("HTTP/1.1 503 "));
        served.ready.store(true, Ordering::Release);
        assert!(served.send(probe.to_owned()).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_rebound_name_is_refused() {
        let served = start(Surface::Admin).await;
        let port = served.address.port();
        for (host, status) in [
            (format!("localhost:{port}"), "200"),
            (format!("LocalHost:{port}"), "200"),
            (format!("[::1]:{port}"), "200"),
            (format!("127.0.0.1:{port}"), "200"),
            ("127.0.0.1".to_owned(), "421"),
            (format!("127.0.0.1:{}", port ^ 1), "421"),
            (format!("evil.test:{port}"), "421"),
            (format!("127.0.0.1.evil.test:{port}"), "421"),
            (format!("localhost.evil.test:{port}"), "421"),
            (format!("10.0.0.1:{port}"), "421"),
            (format!("0.0.0.0:{port}"), "421"),
            (format!("::1:{port}"), "200"),
            (String::new(), "421"),
        ] {
            let request = format!("GET /ca.pem HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let answer = served.send(request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        }
        let twice =
            format!("GET /ca.pem HTTP/1.1\r\nhost: localhost:{port}\r\nhost: e.test\r\nconnection: close\r\n\r\n");
        assert!(served.send(twice).await.starts_with("HTTP/1.1 421 "));
        let absolute =
            format!("GET http://e.test/ca.pem HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
        assert!(served.send(absolute).await.starts_with("HTTP/1.1 421 "));
        assert!(served.send("GET /ca.pem HTTP/1.0\r\n\r\n".to_owned()).await.starts_with("HTTP/1.0 421 "));
    }

    #[tokio::test]
    async fn nothing_can_be_written() {
        let served = start(Surface::Admin).await;
        let port = served.address.port();
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
            let request = format!("{method} /status HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
            let answer = served.send(request).await;
            assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
        }
        let head = format!("HEAD /metrics HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
        let answer = served.send(head).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn it_stops_with_a_connection_open() {
        let served = start(Surface::Admin).await;
        let idle = TcpStream::connect(served.address).await.unwrap();
        served.get("/healthz").await;
        served.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(5), served.task).await.unwrap().unwrap();
        drop(idle);
    }
}
