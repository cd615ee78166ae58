use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::{Code, Refusal, Scheme};
use crate::telemetry::{Clock, SystemClock};
use crate::tls::for_tests::Zone;

const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    zone: Zone,
    dialer: Dialer,
    _folder: tempfile::TempDir,
}

/// A dialer that trusts one private authority and knows `api.test` as 127.0.0.1.
fn world(timeout: Duration) -> World {
    let folder = tempfile::tempdir().unwrap();
    let zone = Zone::new("private");
    let file = folder.path().join("zone.pem");
    std::fs::write(&file, zone.pem()).unwrap();
    let roots = Arc::new(Roots::load(&[file]).unwrap());
    let hosts = BTreeMap::from([(Host::parse("api.test").unwrap(), IpAddr::from([127, 0, 0, 1]))]);
    let dialer = Dialer::new(DialSettings { hosts, timeout }, roots);
    World { zone, dialer, _folder: folder }
}

fn patient() -> World {
    world(Duration::from_secs(20))
}

fn https(host: &str, port: u16) -> Destination {
    Destination::new(Scheme::Https, Host::parse(host).unwrap(), port)
}

fn loopback() -> Vec<IpNet> {
    vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Serves one TLS connection and answers what it read after the handshake.
async fn serve(config: ServerConfig) -> (u16, JoinHandle<Vec<u8>>) {
    let (listener, port) = listen().await;
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        if let Ok(mut tls) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
            let _ = tls.read_to_end(&mut heard).await;
        }
        heard
    });
    (port, served)
}

fn refused<T>(result: Result<T, DialError>) -> Refusal {
    result.err().unwrap().into()
}

#[tokio::test]
async fn a_name_of_the_operators_is_classified_all_the_same() {
    let world = patient();
    let (_listener, port) = listen().await;
    let destination = https("api.test", port);
    let refusal = refused(world.dialer.tcp(&destination, Word::Rule(&[])).await);
    assert_eq!(refusal.code(), Code::PolicyDenied);
    assert!(refusal.message().contains("networks:") && !refusal.message().contains("127.0.0.1"));
    assert!(refusal.log().contains("127.0.0.1") && refusal.log().contains("loopback"), "{}", refusal.log());

    for word in [Word::Operator, Word::Rule(&loopback())] {
        let stream = world.dialer.tcp(&destination, word).await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!(stream.peer_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], port)));
    }
}

#[tokio::test]
async fn the_systems_names_are_classified_too() {
    let world = patient();
    let (_listener, port) = listen().await;
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let destination = https(host, port);
        assert_eq!(refused(world.dialer.tcp(&destination, Word::Rule(&[])).await).code(), Code::PolicyDenied);
        // Where the name has ::1 too, nobody listens there, and the other one is tried.
        world.dialer.tcp(&destination, Word::Rule(&loopback())).await.unwrap();
    }
}

#[tokio::test]
async fn our_own_listeners_are_not_dialled_for_a_rule() {
    let world = patient();
    let (listener, port) = listen().await;
    world.dialer.forbid(&[listener.local_addr().unwrap()]);
    for host in ["api.test", "127.0.0.1"] {
        let refusal = refused(world.dialer.tcp(&https(host, port), Word::Rule(&loopback())).await);
        assert_eq!((refusal.code(), refusal.message()), (Code::PolicyDenied, "the destination is this sidecar itself"));
    }
    world.dialer.tcp(&https("api.test", port), Word::Operator).await.unwrap();
}

#[tokio::test]
async fn tls_is_verified_and_the_protocol_agreed_on() {
    let world = patient();
    for (host, name, offer, want) in [
        ("api.test", "api.test", Offer::Any, &b"h2"[..]),
        ("api.test", "api.test", Offer::Http1, b"http/1.1"),
        ("127.0.0.1", "127.0.0.1", Offer::Any, b"h2"),
    ] {
        let (port, served) = serve(world.zone.server(name, SystemClock.wall())).await;
        let mut stream = world.dialer.tls(&https(host, port), Word::Operator, offer).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(want));
        assert!(stream.get_ref().0.nodelay().unwrap());
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(served.await.unwrap(), b"hello");
    }
}

#[tokio::test]
async fn a_bad_certificate_says_why_and_hears_nothing() {
    let world = patient();
    let now = SystemClock.wall();
    for (config, why) in [
        (world.zone.server("api.test", now - DAY * 3), "it ended at 20"),
        (world.zone.server("api.test", now + DAY * 3), "it starts at 20"),
        (world.zone.server("evil.test", now), "it is for another name"),
        (world.zone.server("127.0.0.1", now), "it is for another name"),
        (Zone::new("stranger").server("api.test", now), "its issuer is unknown (if it is a CA of your own"),
    ] {
        let (port, served) = serve(config).await;
        let refusal = refused(world.dialer.tls(&https("api.test", port), Word::Operator, Offer::Any).await);
        assert_eq!(refusal.code(), Code::UpstreamFailed);
        assert!(refusal.message().starts_with("the certificate of api.test is not valid: "), "{}", refusal.message());
        assert!(refusal.message().contains(why), "{}", refusal.message());
        assert_eq!(served.await.unwrap(), b"");
    }
}

#[tokio::test]
async fn what_is_not_there_or_no_tls_is_said_in_words() {
    let world = patient();
    let (listener, closed) = listen().await;
    drop(listener);
    let refusal = refused(world.dialer.tcp(&https("api.test", closed), Word::Operator).await);
    assert_eq!(refusal.code(), Code::UpstreamFailed);
    assert!(refusal.message().ends_with("it was refused"), "{}", refusal.message());

    for (answer, why) in
        [(&b"SSH-2.0-OpenSSH_9\r\n"[..], "does not speak TLS"), (b"", "hung up during the TLS handshake")]
    {
        let (listener, port) = listen().await;
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.read(&mut [0; 4096]).await;
            tcp.write_all(answer).await.unwrap();
        });
        let refusal = refused(world.dialer.tls(&https("api.test", port), Word::Operator, Offer::Any).await);
        assert_eq!(refusal.code(), Code::UpstreamFailed);
        assert!(refusal.message().contains(why), "{}", refusal.message());
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let world = world(Duration::from_millis(100));
    let (_listener, port) = listen().await;
    let refusal = refused(world.dialer.tls(&https("api.test", port), Word::Operator, Offer::Any).await);
    assert_eq!(refusal.code(), Code::UpstreamTimeout);
    assert!(refusal.message().contains("TLS handshake"), "{}", refusal.message());
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let source = std::io::Error::other("no such host");
    let refusal = Refusal::from(DialError::Resolve { destination: https("api.test", 443), source });
    assert_eq!(refusal.code(), Code::UpstreamFailed);
    assert_eq!(refusal.message(), "the name of https://api.test could not be resolved");
    assert!(refusal.log().contains("no such host"));
}
