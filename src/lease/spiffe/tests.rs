//! Against a FAKE of a Workload API over a real Unix socket: the calls, shapes and statuses of its
//! standard, and no more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;

use super::*;
use crate::config::SpiffeConnection;
use crate::dial::for_tests::LONG;
use crate::lease::suite::Case;
use crate::lease::{Ask, Configured, Fetch, Fetched, LendError};
use crate::model::{Binding, Bindings, ConnectionName, Host, HostPattern, Strategy, Workspace};
use crate::telemetry::SystemClock;

/// What the agent does about one call.
enum Does {
    /// Sends these bytes, in pieces, then this status.
    Send(Vec<Vec<u8>>, u32),
    /// A status and nothing else, in the head.
    Refuse(u32),
    /// Sends these bytes and goes on for ever.
    Stay(Vec<u8>),
    /// No gRPC.
    Page,
}

struct FakeAgent {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// The method, and the message with its prefix.
type Heard = (String, Vec<u8>);

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl FakeAgent {
    fn start(script: Vec<Does>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let known = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, script) = (Arc::clone(&known), Arc::clone(&script));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (heard, script) = (Arc::clone(&heard), Arc::clone(&script));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes().to_vec();
                        let is_safe = parts.headers.get("workload.spiffe.io").is_some_and(|value| value == "true");
                        assert_eq!(
                            (&parts.headers["te"], &parts.headers["content-type"]),
                            (&"trailers".parse().unwrap(), &"application/grpc".parse().unwrap())
                        );
                        heard.lock().unwrap().push((parts.uri.path().to_owned(), body));
                        let does = script.lock().unwrap().pop_front().unwrap_or(Does::Refuse(14));
                        Ok::<_, hyper::Error>(answer(if is_safe { does } else { Does::Refuse(3) }))
                    }
                });
                tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { _folder: folder, socket, heard }
    }

    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    async fn token(&self, place: &SpiffeConnection) -> Result<Fetched, LendError> {
        fetch(&self.socket, place).await
    }
}

async fn fetch(socket: &Path, place: &SpiffeConnection) -> Result<Fetched, LendError> {
    let (connection, host) = (ConnectionName::parse("api").unwrap(), Host::parse("api.test").unwrap());
    let ask = Ask { workspace: Workspace::local(), agent: "bot".into(), connection, host, scope: None, held: None };
    SpiffeFetch::new(socket, LONG).fetch(place, &ask).await
}

fn answer(does: Does) -> Response<Body> {
    let response = Response::builder().header("content-type", "application/grpc");
    let status = |code: u32| HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.into())]);
    match does {
        Does::Page => Response::builder().body(body(vec![Frame::data(Bytes::from_static(b"canary"))], false)).unwrap(),
        Does::Refuse(code) => {
            response.header("grpc-status", code).header("grpc-message", "canary").body(body(Vec::new(), false)).unwrap()
        }
        Does::Send(pieces, code) => {
            let mut frames: Vec<_> = pieces.into_iter().map(|piece| Frame::data(Bytes::from(piece))).collect();
            frames.push(Frame::trailers(status(code)));
            response.body(body(frames, false)).unwrap()
        }
        Does::Stay(bytes) => response.body(body(vec![Frame::data(Bytes::from(bytes))], true)).unwrap(),
    }
}

fn body(frames: Vec<Frame<Bytes>>, stays: bool) -> Body {
    Frames(frames.into(), stays).boxed_unsync()
}

struct Frames(VecDeque<Frame<Bytes>>, bool);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(frame) => std::task::Poll::Ready(Some(Ok(frame))),
            None if self.1 => std::task::Poll::Pending,
            None => std::task::Poll::Ready(None),
        }
    }
}

/// A message of gRPC.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    fields.iter().for_each(|(number, value)| proto::push(&mut message, *number, value));
    message
}

fn jwt(id: &str, token: &str) -> Vec<u8> {
    message(&[(1, &message(&[(1, id.as_bytes()), (2, token.as_bytes())]))])
}

fn token(end: u64) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.canary", part(r#"{"alg":"ES256","typ":"JOSE"}"#.to_owned()), part(format!(r#"{{"exp":{end}}}"#)))
}

fn place(spiffe_id: Option<&str>) -> SpiffeConnection {
    SpiffeConnection { audience: vec!["api".to_owned()], spiffe_id: spiffe_id.map(str::to_owned) }
}

/// The word of an error, and its reason, which never holds a canary.
fn told(result: Result<Fetched, LendError>) -> String {
    let error = result.unwrap_err();
    let text = format!("{}: {error}", error.word());
    assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"), "{text}");
    text
}

#[tokio::test]
async fn a_token_for_an_audience_with_its_end() {
    let answer = framed(&[jwt("spiffe://t/a", &token(1_800_000_000)), jwt("spiffe://t/b", &token(7))].concat());
    let (start, end) = answer.split_at(9);
    let agent = FakeAgent::start(vec![
        Does::Send(vec![answer.clone()], 0),
        Does::Send(vec![start.to_vec(), end.to_vec()], 0),
        Does::Send(vec![answer], 0),
    ]);
    for (id, seconds) in [(None, 1_800_000_000), (Some("spiffe://t/b"), 7)] {
        let fetched = agent.token(&place(id)).await.unwrap();
        let value = fetched.fields.get("access_token").unwrap().expose_str().unwrap();
        assert_eq!((value, fetched.refreshable), (token(seconds).as_str(), true));
        assert_eq!(fetched.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
    }
    assert!(told(agent.token(&place(Some("spiffe://t/c"))).await).starts_with("unavailable"));
    let heard = agent.heard();
    assert_eq!(heard[0], (JWT.to_owned(), framed(b"\x0a\x03api")));
    assert_eq!(heard[1].1, framed(b"\x0a\x03api\x12\x0cspiffe://t/b"));
}

#[tokio::test]
async fn what_is_no_token_is_told_without_a_word_of_it() {
    let svid = jwt("spiffe://t/a", &token(7));
    let whole = framed(&svid);
    let sent = |bytes: &[u8], status| Does::Send(vec![bytes.to_vec()], status);
    for (does, want) in [
        (Does::Refuse(7), "unavailable: the source of the connection api could not be asked"),
        (Does::Refuse(3), "unusable"),
        (Does::Refuse(12), "unavailable"),
        (Does::Refuse(14), "unavailable"),
        (Does::Refuse(0), "unavailable"),
        (sent(b"", 0), "unavailable"),
        (sent(&whole, 13), "unavailable"),
        (sent(&whole[..20], 0), "unavailable"),
        (sent(&[&whole[..], &whole[..]].concat(), 0), "unavailable"),
        (sent(&[&[1], &whole[1..]].concat(), 0), "unavailable"),
        (sent(b"\0\xff\xff\xff\xffcanary", 0), "unavailable"),
        (sent(&framed(b"canary"), 0), "unavailable"),
        (sent(&framed(b""), 0), "unavailable"),
        (sent(&framed(&jwt("spiffe://t/a", "canary")), 0), "unavailable"),
        (Does::Page, "unavailable"),
    ] {
        let agent = FakeAgent::start(vec![does]);
        let error = told(agent.token(&place(None)).await);
        assert!(error.starts_with(want), "{want}: {error}");
    }
    assert!(told(fetch("/nowhere/agent.sock".as_ref(), &place(None)).await).contains("look at the source's `socket`"));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let silent = GrpcSocket::new(&socket, Duration::from_millis(200));
    let error = silent.call(JWT, SECURITY, b"").await.unwrap_err();
    assert!(matches!(error, GrpcError::Timeout { .. }), "{error}");
    drop(listener);
}

#[tokio::test]
async fn an_identity_is_kept_current_and_dropped_when_it_is_taken_away() {
    let answer = |id: &str, key: &[u8]| {
        let svid = message(&[(1, id.as_bytes()), (2, b"\x30\x01a\x30\x01b"), (3, key), (4, b"\x30\x01c")]);
        framed(&message(&[(1, &svid)]))
    };
    let two = [answer("spiffe://t/1", b"canary-1"), answer("spiffe://t/2", b"canary-2")];
    let agent = FakeAgent::start(vec![
        Does::Send(two.to_vec(), 14),
        Does::Send(vec![framed(b"canary")], 0),
        Does::Send(vec![answer("spiffe://t/3", b"canary-3")], 7),
        Does::Stay(answer("spiffe://t/4", b"canary-4")),
    ]);
    let svids = Arc::new(X509Svids::new(&agent.socket, LONG, Arc::new(SystemClock)));
    let mut current = svids.current();
    assert!(current.borrow().is_none());
    let follower = tokio::spawn({
        let svids = Arc::clone(&svids);
        async move { svids.follow().await }
    });
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("spiffe://t/4") {
        current.changed().await.unwrap();
        let svid = current.borrow_and_update().clone();
        if let Some(svid) = &svid {
            assert_eq!(svid.chain, [b"\x30\x01a".to_vec(), b"\x30\x01b".to_vec()]);
            assert_eq!(svid.bundle, [b"\x30\x01c".to_vec()]);
            assert!(!format!("{svid:?}").contains("canary"));
        }
        seen.push(svid.map(|svid| svid.id.clone()).unwrap_or_default());
    }
    // Those that follow at once may be seen as one.
    assert!(seen.contains(&String::new()) || seen.len() < 5, "{seen:?}");
    assert!(agent.heard().iter().all(|(path, message)| path == X509 && *message == framed(b"")));
    follower.abort();
}

#[tokio::test]
async fn it_does_what_every_source_does() {
    let answer = || Does::Send(vec![framed(&jwt("spiffe://t/a", &token(1_800_000_000)))], 0);
    let agent = FakeAgent::start((0..8).map(|_| answer()).collect());
    let hosts = vec![HostPattern::parse("api.test").unwrap()];
    let contract = Bindings::new(vec![Binding { hosts, strategy: Strategy::OAuth2 }], false).unwrap();
    let name = ConnectionName::parse("api").unwrap();
    let source = Configured::new("s", SpiffeFetch::new(&agent.socket, LONG), [(name, contract, place(None))]);
    Case { source: &source, connection: "api", host: "api.test", canaries: &["canary"] }.passes().await;
}
