//! A look-alike service: TLS on a free loopback port, HTTP/1.1 and HTTP/2, and a record of what
//! each request brought with it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::telemetry::{Clock, SystemClock};

/// The longest body that a look-alike takes.
const BODY_LIMIT: usize = 1024 * 1024;

/// What a look-alike does with a request whose body it has.
pub(super) trait LookAlike: Send + Sync + 'static {
    /// Checks the credential and answers.
    fn answer(&self, request: &Arrived) -> Reply;
}

/// A request as a service received it.
pub(super) struct Arrived {
    pub(super) method: Method,
    /// The authority, port included.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) now: SystemTime,
}

/// What a service answers.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: String,
    pub(super) checked: Checked,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// The credential that came, masked.
    pub(super) credential: Option<String>,
    /// What is wrong with it.
    pub(super) fault: Option<&'static str>,
}

/// What a service saw of one request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) checked: Checked,
    pub(super) accepted: bool,
}

impl Seen {
    /// A few words for people.
    pub(super) fn in_words(&self) -> String {
        match (&self.checked.credential, self.checked.fault) {
            (Some(credential), Some(fault)) => format!("{credential}: {fault}"),
            (Some(credential), None) => credential.clone(),
            (None, _) => "no credential".to_owned(),
        }
    }
}

/// A running look-alike; dropped, it stops.
pub(super) struct Service {
    pub(super) host: &'static str,
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Service {
    /// Listens on a free port of 127.0.0.1.
    pub(super) async fn start(
        host: &'static str,
        tls: Arc<rustls::ServerConfig>,
        look_alike: impl LookAlike,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { look_alike: Box::new(look_alike), seen: Arc::clone(&seen) });
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(tls), shared));
        Ok(Self { host, address, seen, task })
    }

    /// Its URL, without a slash at the end.
    pub(super) fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.address.port())
    }

    /// Takes the oldest record of such a request, so that each is accounted for once.
    pub(super) fn take(&self, method: &str, path: &str) -> Option<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let place = seen.iter().position(|seen| seen.method == method && seen.path == path)?;
        Some(seen.remove(place))
    }

    /// How many requests arrived that nobody has accounted for.
    pub(super) fn unexplained(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    look_alike: Box<dyn LookAlike>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    // Aborting this task drops the set, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.handle(request).await) }
    });
    // A connection that breaks is the caller's failure; what it asked for is in the record.
    if is_h2 {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    } else {
        let http = hyper::server::conn::http1::Builder::new();
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }
}

impl Shared {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return refused;
        };
        // In HTTP/2 the authority is part of the target (RFC 9113, section 8.3.1).
        let named = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let arrived = Arrived {
            host: head.uri.authority().map_or(named, |authority| authority.as_str()).to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            method: head.method,
            headers: head.headers,
            body: body.to_bytes(),
            now: SystemClock.wall(),
        };
        let reply = self.look_alike.answer(&arrived);
        let Reply { status, kind, body, checked } = reply;
        let seen = Seen { method: arrived.method, path: arrived.path, checked, accepted: status.is_success() };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

impl Reply {
    /// A JSON answer.
    pub(super) fn json(status: StatusCode, body: &serde_json::Value, checked: Checked) -> Self {
        Self { status, kind: "application/json", body: body.to_string(), checked }
    }
}

/// Checks `Authorization: Bearer` (RFC 6750, section 2.1).
pub(super) fn check_bearer(headers: &HeaderMap, expected: &str) -> Checked {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Checked { credential: None, fault: Some("no credential") } };
    let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
    let fault = match (token, second) {
        (Some(token), None) if token == expected => None,
        (Some(_), None) => Some("an unknown token"),
        _ => Some("not one bearer token"),
    };
    Checked { credential: Some(format!("Bearer {}", masked(token.unwrap_or_default()))), fault }
}

/// The first four characters: enough to tell credentials apart, too little to use one.
pub(super) fn masked(credential: &str) -> String {
    credential.chars().take(4).chain(['…']).collect()
}

#[cfg(test)]
pub(super) mod example {
    use super::*;

    /// A request as a test sends it.
    pub(in super::super) fn arrived(method: Method, path: &str, authorization: Option<&str>, body: &str) -> Arrived {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        Arrived {
            method,
            host: "service.demo.test".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            now: SystemClock.wall(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_exactly_one_right_token() {
        let check = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            check_bearer(&headers, "abcdef123456")
        };
        assert_eq!(
            check(&["Bearer abcdef123456"]),
            Checked { credential: Some("Bearer abcd…".to_owned()), fault: None }
        );
        assert_eq!(check(&[]).credential, None);
        for bad in [
            &[][..],
            &["Bearer "],
            &["Bearer abcdef12345"],
            &["Bearer abcdef1234567"],
            &["bearer abcdef123456"],
            &["Basic abcdef123456"],
            &["abcdef123456"],
            &["Bearer abcdef123456", "Bearer abcdef123456"],
        ] {
            let checked = check(bad);
            assert!(checked.fault.is_some(), "{bad:?}");
            assert!(!format!("{checked:?}").contains("abcdef"), "{bad:?}: {checked:?}");
        }
    }
}
