//! A FAKE Authority: the wire of the service, its answers written by the test. It stores nothing,
//! decides nothing and checks nothing but the key; what it answers is what the test said last.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nexus_sidecar::config::{RemoteConfig, SourceAuth};
use nexus_sidecar::model::Url;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_rustls::TlsAcceptor;

use super::pki::Pki;

/// The key that it takes, and that a sidecar has.
pub const KEY: &str = "nx_live_key";

/// A fake on a port of its own; dropping it stops it.
pub struct FakeAuthority {
    pub address: SocketAddr,
    scheme: &'static str,
    folder: TempDir,
    script: Arc<Script>,
    task: tokio::task::JoinHandle<()>,
}

/// What it answers, and what it was asked.
struct Script {
    state: Mutex<State>,
    /// Everything that is written to every open stream, byte by byte as the test has it.
    stream: broadcast::Sender<Piece>,
    moved: Notify,
}

#[derive(Clone)]
enum Piece {
    Bytes(Bytes),
    /// Closes the streams.
    End,
}

struct State {
    key: String,
    store: String,
    number: u64,
    /// Answers to a lease of a connection, by the name asked for: the next ones first, then the
    /// one that stays.
    next: BTreeMap<String, Vec<Given>>,
    leases: BTreeMap<String, Given>,
    /// Answers to `GET /connections/{id}`.
    connections: BTreeMap<String, Given>,
    policy: Option<(u16, Value)>,
    /// How a stream answers: the head's status, and whether hello and beats are said.
    events: (u16, bool),
    asked: Vec<Asked>,
}

/// A question as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub what: String,
    pub key: Option<String>,
    pub last_event: Option<String>,
    pub body: Value,
}

/// An answer, and what it waits for.
#[derive(Clone)]
pub struct Given {
    status: u16,
    body: Bytes,
    gate: Option<Arc<Notify>>,
}

impl Given {
    /// This status with this body.
    pub fn of(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string().into(), gate: None }
    }

    /// Bytes of any kind.
    pub fn raw(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), gate: None }
    }

    /// A refusal.
    pub fn refusal(status: u16, code: &str) -> Self {
        Self::of(status, &refused(code))
    }

    /// The same once this is notified.
    pub fn after(self, gate: &Arc<Notify>) -> Self {
        Self { gate: Some(Arc::clone(gate)), ..self }
    }
}

fn refused(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "m", "details": {}, "trace_id": "t" } })
}

/// A loan of a bearer token for these hosts; its version is the number that ends the token.
pub fn loan(id: &str, name: &str, hosts: &[&str], token: &str, event: u64) -> Value {
    let strategy = json!({ "type": "oauth2" });
    let version: u64 = token.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
    json!({
        "id": id, "name": name, "version": version, "owned": false, "strategy": strategy, "hosts": hosts,
        "bindings": [{ "hosts": hosts, "strategy": strategy }],
        "credentials": { "access_token": token }, "expires_in": 600, "event": event,
    })
}

impl FakeAuthority {
    /// In cleartext.
    pub async fn plain() -> Self {
        Self::on(None).await
    }

    /// Over TLS for `nexus.test`.
    pub async fn tls(pki: &Pki) -> Self {
        Self::on(Some(TlsAcceptor::from(pki.server(&["nexus.test"], &[b"http/1.1"])))).await
    }

    async fn on(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = State {
            key: KEY.into(),
            store: "store-1".into(),
            number: 10,
            next: BTreeMap::new(),
            leases: BTreeMap::new(),
            connections: BTreeMap::new(),
            policy: None,
            events: (200, true),
            asked: Vec::new(),
        };
        let script =
            Arc::new(Script { state: Mutex::new(state), stream: broadcast::Sender::new(256), moved: Notify::new() });
        let served = Arc::clone(&script);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, tls) = (Arc::clone(&served), tls.clone());
                tasks.spawn(async move {
                    match tls {
                        None => serve(stream, script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script).await;
                            }
                        }
                    }
                });
            }
        });
        let fake = Self { address, scheme, folder: TempDir::new().unwrap(), script, task };
        fake.holds(KEY);
        fake
    }

    /// Where it is: by its name over TLS, else by its address.
    pub fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://nexus.test:{}", self.address.port()),
            _ => format!("http://{}", self.address),
        }
    }

    /// A sidecar's configuration of it.
    pub fn config(&self) -> RemoteConfig {
        let url = Url::parse(&self.url()).unwrap();
        let auth = SourceAuth { key_file: Some(self.key_file()), client: None };
        RemoteConfig { name: "fleet".into(), url, auth, ca_file: None }
    }

    /// The file of the sidecar's key.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Gives the sidecar another key.
    pub fn holds(&self, key: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, format!("{key}\n")).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(next, self.key_file()).unwrap();
    }

    /// Answers nobody any more.
    pub fn stops(&self) {
        self.task.abort();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.script.state.lock().unwrap()
    }

    /// The key that it takes.
    pub fn takes(&self, key: &str) {
        self.state().key = key.to_owned();
    }

    /// Lends this under a name from now on.
    pub fn lends(&self, name: &str, given: Given) {
        self.state().leases.insert(name.to_owned(), given);
    }

    /// Answers the next question for a name with this, before what it answers else.
    pub fn answers_next(&self, name: &str, given: Given) {
        self.state().next.entry(name.to_owned()).or_default().push(given);
    }

    /// Knows a connection in this state.
    pub fn knows(&self, id: &str, state: &str) {
        let body = json!({ "id": id, "name": "n", "state": state, "version": 1 });
        self.says_of(id, Given::of(200, &body));
    }

    /// Says this of a connection.
    pub fn says_of(&self, id: &str, given: Given) {
        self.state().connections.insert(id.to_owned(), given);
    }

    /// Has this policy.
    pub fn has_policy(&self, version: u64, document: &str) {
        self.state().policy = Some((200, json!({ "version": version, "document": document, "at": "x" })));
    }

    /// Answers this to whoever opens a stream; `greets` says whether it begins as it must.
    pub fn streams(&self, status: u16, greets: bool) {
        self.state().events = (status, greets);
    }

    /// Is another store from the next stream on, whose last number is this.
    pub fn becomes(&self, store: &str, number: u64) {
        let mut state = self.state();
        (state.store, state.number) = (store.to_owned(), number);
    }

    /// Counts an event that no stream is told of.
    pub fn misses(&self) -> u64 {
        let mut state = self.state();
        state.number += 1;
        state.number
    }

    /// Tells every stream of a change.
    pub fn changes(&self, kind: &str, about: &Value) -> u64 {
        let number = self.misses();
        let mut data = json!({ "number": number, "kind": kind, "at": "2026-01-01T00:00:00Z" });
        for (key, value) in about.as_object().unwrap() {
            data[key] = value.clone();
        }
        self.says(&format!("id: {number}\nevent: change\ndata: {data}\n\n"));
        number
    }

    /// Writes bytes to every stream.
    pub fn says(&self, text: &str) {
        let _ = self.script.stream.send(Piece::Bytes(Bytes::copy_from_slice(text.as_bytes())));
    }

    /// Ends every stream.
    pub fn cuts(&self) {
        let _ = self.script.stream.send(Piece::End);
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How often this was asked.
    pub fn count(&self, what: &str) -> usize {
        self.asked().iter().filter(|asked| asked.what == what).count()
    }

    /// Waits until this was asked so often.
    pub async fn is_asked(&self, what: &str, times: usize) {
        self.waits(&format!("{what} x {times}"), || self.count(what) >= times).await;
    }

    /// Waits until so many streams are open.
    pub async fn has_streams(&self, count: usize) {
        self.waits(&format!("{count} streams"), || self.script.stream.receiver_count() == count).await;
    }

    async fn waits(&self, what: &str, is_so: impl Fn() -> bool) {
        let waiting = async {
            loop {
                let moved = self.script.moved.notified();
                if is_so() {
                    return;
                }
                // The end of a stream is told by nobody.
                let _ = tokio::time::timeout(Duration::from_millis(20), moved).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "{what}: {:#?}", self.asked());
    }
}

impl Drop for FakeAuthority {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(stream: S, script: Arc<Script>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, Arc::clone(&script)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, script: Arc<Script>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(whole(400, Bytes::new())) };
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let path = parts.uri.path().to_owned();
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let asked = Asked {
        what: format!("{} {path}", parts.method),
        key: header("authorization"),
        last_event: header("last-event-id"),
        body: body.clone(),
    };
    let (given, stream) = {
        let mut state = script.state.lock().unwrap();
        state.asked.push(asked.clone());
        if asked.key != Some(format!("Bearer {}", state.key)) {
            (Given::refusal(401, "UNAUTHENTICATED"), false)
        } else {
            decide(&mut state, &parts.method, &path, &body)
        }
    };
    let receiver = stream.then(|| script.stream.subscribe());
    script.moved.notify_waiters();
    if let Some(gate) = &given.gate {
        gate.notified().await;
    }
    Ok(match receiver {
        None => whole(given.status, given.body),
        Some(receiver) => streamed(given.body, receiver),
    })
}

/// What is answered, and whether a stream follows it.
fn decide(state: &mut State, method: &Method, path: &str, body: &Value) -> (Given, bool) {
    let missing = || Given::refusal(404, "NOT_FOUND");
    match (method.as_str(), path.strip_prefix("/api/v2/").unwrap_or_default()) {
        ("POST", "leases") => {
            let name = body["connection"].as_str().unwrap_or_default();
            if let Some(next) = state.next.get_mut(name).filter(|next| !next.is_empty()) {
                return (next.remove(0), false);
            }
            let given = state.leases.get(name).cloned();
            (given.unwrap_or_else(|| Given::refusal(404, "CONNECTION_NOT_FOUND")), false)
        }
        ("GET", "policy") => {
            let given = state.policy.as_ref().map(|(status, body)| Given::of(*status, body));
            (given.unwrap_or_else(missing), false)
        }
        ("GET", "events") => {
            let (status, greets) = state.events;
            let hello = json!({ "number": state.number, "store": state.store });
            let beat = json!({ "number": state.number });
            let text = format!("event: hello\ndata: {hello}\n\nevent: beat\ndata: {beat}\n\n");
            let given = Given::raw(status, if greets { text } else { String::new() });
            (given, status == 200)
        }
        ("GET", path) => {
            let found = path.strip_prefix("connections/").and_then(|id| state.connections.get(id));
            (found.cloned().unwrap_or_else(|| Given::refusal(404, "CONNECTION_NOT_FOUND")), false)
        }
        _ => (missing(), false),
    }
}

fn whole(status: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn streamed(first: Bytes, mut receiver: broadcast::Receiver<Piece>) -> Response<Body> {
    let (sender, pieces) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(16);
    tokio::spawn(async move {
        if !first.is_empty() && sender.send(Ok(Frame::data(first))).await.is_err() {
            return;
        }
        loop {
            let piece = tokio::select! {
                piece = receiver.recv() => piece,
                // The other side went away: the stream is no longer counted.
                () = sender.closed() => return,
            };
            let Ok(Piece::Bytes(bytes)) = piece else { return };
            if sender.send(Ok(Frame::data(bytes))).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Pieces(pieces).boxed());
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

/// The pieces of a body as they come.
struct Pieces(mpsc::Receiver<Result<Frame<Bytes>, Infallible>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context)
    }
}
