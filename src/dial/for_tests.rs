//! A peer for tests of what we call ourselves, and a way there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{DialSettings, Dialer};
use crate::model::{Host, Url};
use crate::tls::Roots;

/// Longer than any answer of a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A peer that plays one script per connection, and tells each whole request that it heard.
pub(crate) struct Peer {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
}

/// What a peer does about one request; after the last one of a script it hangs up.
#[derive(Clone)]
pub(crate) enum Does {
    /// Answers with these bytes.
    Say(String),
    /// Answers so, then says nothing more, and keeps the connection.
    SayAndHang(String),
    /// Closes the connection.
    HangUp,
}

impl Does {
    /// Answers with a status, headers (each with its line end) and a body.
    pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Self {
        Self::Say(format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
    }
}

impl Peer {
    /// One script for each connection.
    pub(crate) async fn start(scripts: Vec<Vec<Does>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heard) = mpsc::unbounded_channel();
        let connections: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            for script in scripts {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                for does in script {
                    let Some(request) = read_request(&mut stream).await else { break };
                    tell.send(request).unwrap();
                    match does {
                        Does::Say(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        Does::SayAndHang(answer) => {
                            stream.write_all(answer.as_bytes()).await.unwrap();
                            let _ = stream.read(&mut [0; 1]).await;
                        }
                        Does::HangUp => break,
                    }
                }
            }
        });
        Self { address, heard, connections }
    }

    /// An address of it, by the name that [`dialer`] knows.
    pub(crate) fn url(&self, target: &str) -> Url {
        Url::parse(&format!("http://{}{target}", self.authority())).unwrap()
    }

    /// Its name and port.
    pub(crate) fn authority(&self) -> String {
        format!("api.test:{}", self.address.port())
    }

    /// The next request, whole.
    pub(crate) async fn hears(&mut self) -> String {
        self.heard.recv().await.unwrap()
    }

    /// How many connections it took.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A body that may go on for as long as its server wants.
pub(crate) type LongBody = UnsyncBoxBody<Bytes, Infallible>;

/// A server that answers by a function, over HTTP/1.1.
pub(crate) struct Served(SocketAddr);

impl Served {
    /// Answers every request by `answer`; it ends with the test's runtime.
    pub(crate) async fn start<F>(answer: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Response<LongBody> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = Arc::clone(&answer);
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        Ok::<_, hyper::Error>(answer(Request::from_parts(parts, body)))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self(address)
    }

    /// Its address, by the name that [`dialer`] knows.
    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://api.test:{}", self.0.port())).unwrap()
    }
}

/// An answer in JSON.
pub(crate) fn json_answer(status: u16, body: &serde_json::Value) -> Response<LongBody> {
    let body = http_body_util::Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

/// A body that says what is sent to it, until the sender is gone.
pub(crate) fn piped() -> (mpsc::UnboundedSender<Bytes>, LongBody) {
    let (sender, pieces) = mpsc::unbounded_channel();
    (sender, Piped(pieces).boxed_unsync())
}

struct Piped(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

/// One head and as much as its `content-length` says.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if bytes.len() >= end + 4 + length.map_or(0, |digits| digits.parse().unwrap()) {
                return Some(String::from_utf8(bytes).unwrap());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A dialer that knows `api.test` as 127.0.0.1, `meta.test` as a metadata service, and `far.test` as
/// a public address.
pub(crate) fn dialer(roots: Roots) -> Arc<Dialer> {
    let hosts = [("api.test", [127, 0, 0, 1]), ("meta.test", [169, 254, 169, 254]), ("far.test", [9, 9, 9, 9])];
    let hosts = hosts.into_iter().map(|(name, ip)| (Host::parse(name).unwrap(), ip.into())).collect();
    Arc::new(Dialer::new(DialSettings { hosts, timeout: LONG }, Arc::new(roots)))
}

/// The same, for what needs no TLS: one for all tests, since the system's roots take a while to read.
pub(crate) fn plain_dialer() -> Arc<Dialer> {
    static SHARED: OnceLock<Arc<Dialer>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| dialer(Roots::load(&[]).unwrap())))
}
