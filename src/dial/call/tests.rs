use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::dial::{DialError, DialSettings};
use crate::model::Host;
use crate::telemetry::{Clock, SystemClock};
use crate::tls::Roots;
use crate::tls::for_tests::Zone;

const LONG: Duration = Duration::from_secs(30);

/// A peer that plays one script per connection, and tells each whole request that it heard.
struct Peer {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
}

/// What a peer does on one connection: one entry for each request; after the last one it hangs up.
type Script = &'static [Does];

#[derive(Clone, Copy)]
enum Does {
    Say(&'static str),
    /// Says it, then nothing more, and keeps the connection.
    SayAndHang(&'static str),
    HangUp,
}

impl Peer {
    async fn start(scripts: &'static [Script]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heard) = mpsc::unbounded_channel();
        let connections: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            for script in scripts {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                for does in *script {
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

    fn url(&self, target: &str) -> Url {
        Url::parse(&format!("http://api.test:{}{target}", self.address.port())).unwrap()
    }

    async fn hears(&mut self) -> String {
        self.heard.recv().await.unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One head and as much as its `content-length` says.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
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

fn dialer(roots: Roots) -> Arc<Dialer> {
    let hosts = [("api.test", [127, 0, 0, 1]), ("meta.test", [169, 254, 169, 254]), ("far.test", [9, 9, 9, 9])];
    let hosts = hosts.into_iter().map(|(name, ip)| (Host::parse(name).unwrap(), ip.into())).collect();
    Arc::new(Dialer::new(DialSettings { hosts, timeout: LONG }, Arc::new(roots)))
}

fn nothing_trusted() -> Arc<Dialer> {
    dialer(Roots::load(&[]).unwrap())
}

fn plain() -> Caller {
    Caller::for_operator(nothing_trusted()).in_cleartext_too().within(LONG)
}

fn networks(list: &[&str]) -> Arc<[IpNet]> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[tokio::test]
async fn a_request_leaves_as_it_was_built() {
    let mut peer = Peer::start(&[&[Does::Say("HTTP/1.1 201 Made\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok")]]).await;
    let call = Call::post(peer.url("/t%2f?a=%20"), "text/plain", secret("body"))
        .header(http::header::ACCEPT, HeaderValue::from_static("text/plain"));
    let answer = plain().call(call).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.expose()), (201, &b"ok"[..]));
    assert_eq!(answer.headers["x-a"], "b");
    let (head, body) = peer.hears().await.split_once("\r\n\r\n").map(|(h, b)| (h.to_owned(), b.to_owned())).unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: api.test:{}", peer.address.port());
    let agent = concat!("user-agent: nexus-sidecar/", env!("CARGO_PKG_VERSION"));
    let want = ["accept: text/plain", "content-length: 4", "content-type: text/plain", &host, agent];
    assert_eq!(lines, [&["POST /t%2f?a=%20 HTTP/1.1"][..], &want].concat());
    assert_eq!(body, "body");
    assert!(!format!("{answer:?}").contains("ok"), "{answer:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let peer = Peer::start(&[
        &[Does::Say("HTTP/1.1 307 x\r\nlocation: http://api.test:1/\r\ncontent-length: 0\r\n\r\n")],
        &[Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
    ]);
    let peer = peer.await;
    let answer = plain().call(Call::post(peer.url("/"), "text/plain", secret("canary"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), peer.connections()), (307, 1));
}

#[tokio::test]
async fn data_goes_where_it_may_and_nowhere_else() {
    let peer = Peer::start(&[&[Does::Say("HTTP/1.1 204 x\r\n\r\n")]]).await;
    let data = |list: &[&str]| Caller::for_data(nothing_trusted(), networks(list)).in_cleartext_too().within(LONG);
    let refused = data(&[]).call(Call::get(peer.url("/"))).await.unwrap_err();
    assert!(matches!(refused, CallError::Dial(DialError::NotListed { .. })), "{refused:?}");
    assert!(refused.to_string().contains("authority.networks"));
    for (url, wide) in [("http://meta.test/", "169.254.0.0/16"), ("http://far.test/", "127.0.0.0/8")] {
        let refused = data(&[wide]).call(Call::get(Url::parse(url).unwrap())).await.unwrap_err();
        assert!(
            matches!(refused, CallError::Dial(DialError::NotListed { .. } | DialError::Cleartext { .. })),
            "{refused:?}"
        );
    }
    let tls_only = Caller::for_data(nothing_trusted(), networks(&["127.0.0.0/8"]));
    let refused = tls_only.call(Call::get(peer.url("/"))).await.unwrap_err();
    assert!(matches!(refused, CallError::Cleartext { .. }), "{refused:?}");
    assert_eq!(peer.connections(), 0);
    assert_eq!(data(&["127.0.0.0/8"]).call(Call::get(peer.url("/"))).await.unwrap().status.as_u16(), 204);
}

#[tokio::test]
async fn an_answer_has_an_end() {
    let peer = Peer::start(&[
        &[Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nlong canary")],
        &[Does::Say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nlong canary\r\n0\r\n\r\n")],
        &[Does::Say("HTTP/1.1 200 OK\r\n\r\nlong canary")],
        &[Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nall of it.")],
        &[Does::Say("canary")],
        &[Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\ncanary")],
    ]);
    let peer = peer.await;
    let caller = plain().reading_up_to(10);
    for _ in 0..3 {
        let error = caller.call(Call::get(peer.url("/"))).await.unwrap_err();
        assert!(matches!(error, CallError::TooLong { longest: 10, .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
    assert_eq!(caller.call(Call::get(peer.url("/"))).await.unwrap().body.expose(), b"all of it.");
    for _ in 0..2 {
        let error = caller.call(Call::get(peer.url("/"))).await.unwrap_err();
        assert!(matches!(error, CallError::Broken { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
}

#[tokio::test]
async fn silence_ends_the_call() {
    let peer = Peer::start(&[
        &[Does::SayAndHang("")],
        &[Does::SayAndHang("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")],
    ]);
    let peer = peer.await;
    let caller = plain().within(Duration::from_millis(300));
    for _ in 0..2 {
        let error = caller.call(Call::get(peer.url("/"))).await.unwrap_err();
        assert!(matches!(error, CallError::Timeout { .. } | CallError::Dial(DialError::Timeout { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn tls_is_verified_for_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let zone = Zone::new("private");
    let file = folder.path().join("zone.pem");
    std::fs::write(&file, zone.pem()).unwrap();
    let roots = Roots::load(&[file]).unwrap();
    let caller = Caller::for_data(dialer(roots), networks(&["127.0.0.0/8"])).within(LONG);
    for (name, good) in [("api.test", true), ("evil.test", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(zone.server(name, SystemClock.wall())));
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            if let Ok(mut tls) = acceptor.accept(tcp).await {
                assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                let _ = tls.read(&mut [0; 4096]).await;
                tls.write_all(b"HTTP/1.1 204 x\r\n\r\n").await.unwrap();
            }
        });
        let url = Url::parse(&format!("https://api.test:{port}/")).unwrap();
        let result = caller.call(Call::get(url)).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
        assert!(good || matches!(result, Err(CallError::Dial(DialError::Tls { .. }))));
    }
}

#[tokio::test]
async fn a_line_serves_one_place_many_times() {
    const OK: Does = Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let mut peer = Peer::start(&[&[OK, OK, OK]]).await;
    let mut line = plain().open(peer.url("/").destination()).await.unwrap();
    for target in ["/1", "/2"] {
        assert_eq!(line.call(Call::get(peer.url(target))).await.unwrap().body.expose(), b"ok");
        assert!(peer.hears().await.starts_with(&format!("GET {target} ")));
    }
    let elsewhere = line.call(Call::get(Url::parse("http://api.test:1/").unwrap())).await.unwrap_err();
    assert!(matches!(elsewhere, CallError::Elsewhere { .. }), "{elsewhere:?}");
    line.call(Call::get(peer.url("/3"))).await.unwrap();
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn kept_connections_are_used_again_and_replaced_when_dead() {
    const OK: Does = Does::Say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let mut peer = Peer::start(&[&[OK, OK, Does::HangUp], &[OK, Does::HangUp], &[OK]]).await;
    let kept = Kept::new(plain(), 4);
    let post = |url| Call::post(url, "text/plain", secret("x"));
    kept.call(post(peer.url("/1"))).await.unwrap();
    kept.call(post(peer.url("/2"))).await.unwrap();
    assert_eq!(peer.connections(), 1);
    // Heard and not answered: only what may be heard twice is said again.
    kept.call(post(peer.url("/3")).repeatable()).await.unwrap();
    assert_eq!(peer.connections(), 2);
    let error = kept.call(post(peer.url("/4"))).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }), "{error:?}");
    kept.call(post(peer.url("/5"))).await.unwrap();
    assert_eq!(peer.connections(), 3);
    let mut heard = Vec::new();
    for _ in 0..6 {
        heard.push(peer.hears().await[..7].to_owned());
    }
    assert_eq!(heard, ["POST /1", "POST /2", "POST /3", "POST /3", "POST /4", "POST /5"]);
}

#[tokio::test]
async fn a_stream_is_read_piece_by_piece_and_may_not_fall_silent() {
    let peer = Peer::start(&[
        &[Does::SayAndHang("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n")],
        &[Does::Say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n0\r\n\r\n")],
    ]);
    let peer = peer.await;
    let mut stream = plain().stream(Call::get(peer.url("/")), Duration::from_millis(300)).await.unwrap();
    assert_eq!(stream.status, StatusCode::OK);
    assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error:?}");
    drop(stream);
    let mut stream = plain().stream(Call::get(peer.url("/")), LONG).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
    assert!(stream.next().await.unwrap().is_none());
}
