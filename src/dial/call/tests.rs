use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::dial::DialError;
use crate::dial::for_tests::{Does, LONG, Peer, dialer, plain_dialer};
use crate::telemetry::{Clock, SystemClock};
use crate::tls::Roots;
use crate::tls::for_tests::Zone;

fn say(text: &str) -> Does {
    Does::Say(text.to_owned())
}

fn say_and_hang(text: &str) -> Does {
    Does::SayAndHang(text.to_owned())
}

fn ok() -> Does {
    Does::answer(200, "", "ok")
}

fn plain() -> Caller {
    Caller::for_operator(plain_dialer()).in_cleartext_too().within(LONG)
}

fn networks(list: &[&str]) -> Arc<[IpNet]> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[tokio::test]
async fn a_request_leaves_as_it_was_built() {
    let mut peer = Peer::start(vec![vec![say("HTTP/1.1 201 Made\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok")]]).await;
    let call = Call::post(peer.url("/t%2f?a=%20"), "text/plain", secret("body"))
        .header(http::header::ACCEPT, HeaderValue::from_static("text/plain"));
    let answer = plain().call(call).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.expose()), (201, &b"ok"[..]));
    assert_eq!(answer.headers["x-a"], "b");
    let (head, body) = peer.hears().await.split_once("\r\n\r\n").map(|(h, b)| (h.to_owned(), b.to_owned())).unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", peer.authority());
    let agent = concat!("user-agent: nexus-sidecar/", env!("CARGO_PKG_VERSION"));
    let want = ["accept: text/plain", "content-length: 4", "content-type: text/plain", &host, agent];
    assert_eq!(lines, [&["POST /t%2f?a=%20 HTTP/1.1"][..], &want].concat());
    assert_eq!(body, "body");
    assert_eq!(format!("{answer:?}"), "Answer { status: 201, .. }");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let peer = Peer::start(vec![
        vec![say("HTTP/1.1 307 x\r\nlocation: http://api.test:1/\r\ncontent-length: 0\r\n\r\n")],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
    ]);
    let peer = peer.await;
    let answer = plain().call(Call::post(peer.url("/"), "text/plain", secret("canary"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), peer.connections()), (307, 1));
}

#[tokio::test]
async fn data_goes_where_it_may_and_nowhere_else() {
    let peer = Peer::start(vec![vec![say("HTTP/1.1 204 x\r\n\r\n")]]).await;
    let data = |list: &[&str]| Caller::for_data(plain_dialer(), networks(list)).in_cleartext_too().within(LONG);
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
    let tls_only = Caller::for_data(plain_dialer(), networks(&["127.0.0.0/8"]));
    let refused = tls_only.call(Call::get(peer.url("/"))).await.unwrap_err();
    assert!(matches!(refused, CallError::Cleartext { .. }), "{refused:?}");
    assert_eq!(peer.connections(), 0);
    assert_eq!(data(&["127.0.0.0/8"]).call(Call::get(peer.url("/"))).await.unwrap().status.as_u16(), 204);
}

#[tokio::test]
async fn an_answer_has_an_end() {
    let peer = Peer::start(vec![
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nlong canary")],
        vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nlong canary\r\n0\r\n\r\n")],
        vec![say("HTTP/1.1 200 OK\r\n\r\nlong canary")],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nall of it.")],
        vec![say("canary")],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\ncanary")],
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
    let peer = Peer::start(vec![
        vec![say_and_hang("")],
        vec![say_and_hang("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")],
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
    let mut peer = Peer::start(vec![vec![ok(), ok(), ok()]]).await;
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
    let mut peer = Peer::start(vec![vec![ok(), ok(), Does::HangUp], vec![ok(), Does::HangUp], vec![ok()]]).await;
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
    let peer = Peer::start(vec![
        vec![say_and_hang("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n")],
        vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n0\r\n\r\n")],
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
