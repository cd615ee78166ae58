//! The frame, with endpoints and callers of the test's own, over real sockets.

mod access;
mod connections;
mod frame;
mod leases;
mod limits;
mod policies;
mod providers;
mod records;
mod refreshes;
mod revocations;
mod scopes;
mod shapes;
mod tls;
mod tokens;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::caller::{Gate, Role};
use super::endpoint::{Bucket, Endpoint, Handler, Schema};
use super::problem::{Problem, Surface};
use super::sse::{self, Event};
use super::{Service, ServiceGround, Waits, table};
use crate::authority::access::{ApiKey, Denied, Presented, Principal, Scope};
use crate::authority::for_tests::{clock, opened};
use crate::authority::{Authority, StoreError};
use crate::config::ServiceConfig;
use crate::model::{Secret, Workspace};
use crate::telemetry::TestClock;

/// As long as a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keys of the test's gate: one for each scope, a revoked one, one that ended, and one that finds the
/// store broken.
const ADMIN: u8 = 1;
const SIDECAR: u8 = 2;
const LEASE: u8 = 3;
const APP: u8 = 4;
const AGENT: u8 = 5;
const REVOKED: u8 = 6;
const EXPIRED: u8 = 7;
const BROKEN: u8 = 8;
const UNKNOWN: u8 = 99;

/// The connection that the key of the scope `lease` may take.
const TAKEN: &str = "11111111-1111-4111-8111-111111111111";

fn key(number: u8) -> String {
    ApiKey::new(&[number; 32]).secret().expose_str().unwrap().to_owned()
}

struct TestGate;

impl Gate for TestGate {
    fn admit(&self, presented: &Presented) -> Result<Principal, Denied> {
        let number = match presented {
            Presented::Key(shown) => {
                (0..10).find(|n| ApiKey::new(&[*n; 32]).hash() == shown.hash()).ok_or(Denied::Invalid)?
            }
            Presented::Certificate(_) => ADMIN,
            Presented::Token(_) => return Err(Denied::Claims),
        };
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let scope = match number {
            ADMIN => Scope::Admin,
            SIDECAR => Scope::Sidecar { agents: set("bot") },
            LEASE => Scope::Lease { connections: set(TAKEN) },
            APP => Scope::App,
            AGENT => Scope::Agent { agent: "bot".to_owned() },
            REVOKED => return Err(Denied::Revoked),
            EXPIRED => return Err(Denied::Expired),
            BROKEN => return Err(Denied::Store(StoreError::Closed)),
            _ => return Err(Denied::Invalid),
        };
        Ok(Principal::new(Workspace::local(), format!("key:{number}"), scope))
    }
}

/// Tells that the handler of `/api/v2/test/held` has begun; lets it end.
static BEGUN: LazyLock<Notify> = LazyLock::new(Notify::new);
static GO_ON: LazyLock<Notify> = LazyLock::new(Notify::new);

fn endpoint(method: Method, path: &'static str, handler: Handler) -> Endpoint {
    let surface = Surface::of(path);
    let body = (method == Method::POST).then_some(Schema { name: "Anything", of: || json!({ "type": "object" }) });
    let (bucket, name) = (Bucket::Requests, path);
    Endpoint {
        method,
        path,
        name,
        surface,
        summary: "",
        parameters: Vec::new(),
        body,
        answers: Vec::new(),
        bucket,
        handler,
    }
}

fn endpoints() -> Vec<Endpoint> {
    const ALL: &[Role] = &[Role::Admin, Role::Sidecar, Role::Lease, Role::App, Role::Agent];
    let mut all = table::endpoints();
    all.extend([
        endpoint(Method::GET, "/v1/test/panic", Handler::Open(|_| panic!("canary-panic"))),
        endpoint(Method::GET, "/api/v2/test/panic", Handler::Blocks(ALL, |_, _| panic!("canary-panic"))),
        endpoint(
            Method::GET,
            "/api/v2/test/panic-waits",
            Handler::Waits(ALL, |_, _| Box::pin(async { panic!("canary-panic") })),
        ),
        endpoint(Method::GET, "/api/v2/test/never", Handler::Waits(ALL, |_, _| Box::pin(std::future::pending()))),
        endpoint(Method::GET, "/api/v2/test/broken", Handler::Open(|_| Err(Problem::internal("canary-log")))),
        endpoint(
            Method::GET,
            "/api/v2/test/held",
            Handler::Waits(ALL, |_, _| {
                Box::pin(async {
                    BEGUN.notify_one();
                    GO_ON.notified().await;
                    Ok(Answer::done())
                })
            }),
        ),
        endpoint(
            Method::POST,
            "/api/v2/test/echo",
            Handler::Blocks(ALL, |call, who| {
                let mut members = call.members()?;
                let said = members.text("said")?;
                members.finish()?;
                Ok(Answer::json(&json!({ "said": said, "who": who.id() })))
            }),
        ),
        endpoint(Method::POST, "/v1/test/echo", Handler::Open(|call| Ok(Answer::json(&call.lenient()?)))),
        endpoint(
            Method::GET,
            "/api/v2/test/events",
            Handler::Waits(ALL, |call, _| Box::pin(async move { Ok(events(call.stopping())) })),
        ),
    ]);
    let mut leases = endpoint(Method::GET, "/api/v2/test/lease", Handler::Blocks(ALL, |_, _| Ok(Answer::done())));
    leases.bucket = Bucket::Leases;
    all.push(leases);
    all
}

/// A stream of one event, and then of beats.
struct OneEvent(bool);

impl sse::Source for OneEvent {
    async fn next(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.0, true) {
            false => Some(Event { id: Some(1), event: "change", data: json!({ "number": 1 }) }),
            true => std::future::pending().await,
        }
    }

    fn beat(&self) -> Option<Event> {
        Some(Event { id: None, event: "beat", data: json!({ "number": 1 }) })
    }
}

fn events(stop: tokio::sync::watch::Receiver<bool>) -> Answer {
    let (sender, feed) = sse::feed();
    tokio::spawn(sse::pump(OneEvent(false), sender, Duration::from_millis(20), PATIENCE, stop));
    Answer::events(feed)
}

/// An Authority that is served.
struct Served {
    address: std::net::SocketAddr,
    authority: Authority,
    clock: Arc<TestClock>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), super::ServiceError>>,
    _folder: tempfile::TempDir,
}

fn config() -> ServiceConfig {
    ServiceConfig { listen: vec![([127, 0, 0, 1], 0).into()], ..ServiceConfig::default() }
}

async fn serve() -> Served {
    serve_with(config(), Waits::default()).await
}

async fn serve_with(config: ServiceConfig, waits: Waits) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let authority = opened(&folder.path().join("data"), 7, &[], &clock).unwrap();
    serve_over(folder, clock, authority, config, waits)
}

fn serve_over(
    folder: tempfile::TempDir,
    clock: Arc<TestClock>,
    authority: Authority,
    config: ServiceConfig,
    waits: Waits,
) -> Served {
    let ground = ServiceGround::open(&config).unwrap();
    let service = Service::with(ground, authority.clone(), Arc::new(TestGate), endpoints(), waits);
    let address = service.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(service.run(async { drop(stopped.await) }));
    Served { address, authority, clock, stop: Some(stop), running, _folder: folder }
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(": ").is_some_and(|(own, _)| own.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| of(line)).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code, in either shape; that there is one, and words beside it.
    fn code(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let trace = self.header("nexus-trace-id").unwrap();
        if let Some(code) = body["error"].as_str() {
            assert!(!body["message"].as_str().unwrap().is_empty());
            return code.to_owned();
        }
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        assert_eq!(body["error"]["trace_id"], trace);
        assert!(body["error"]["details"].is_object());
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Served {
    /// Sends bytes and reads until the server closes.
    async fn raw(&self, request: &[u8]) -> String {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, request).await
    }

    /// A request with these header lines; the connection is closed after it.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        Reply::parse(&self.raw(&request(method, path, headers, body)).await)
    }

    async fn get(&self, path: &str, number: u8) -> Reply {
        self.send("GET", path, &[("x-api-key", &key(number))], "").await
    }

    async fn open(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    /// Tells it to stop, and waits for its end.
    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: authority.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    // It may refuse before it has read all of it.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end of the answer");
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    String::from_utf8(answer).unwrap()
}
