//! The end: what is alive may finish, what is idle closes, what lasts too long is cut and recorded.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::read_answer;
use crate::support::underway::{is_closed, read_until};
use crate::support::{ByHand, Origin, Pki, Sidecar, soon};

async fn forwarding(drain: Duration) -> (Sidecar, ByHand) {
    let origin = ByHand::new().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .configure(move |config| config.timeouts.drain = drain)
        .start()
        .await;
    (sidecar, origin)
}

#[tokio::test]
async fn what_is_alive_finishes_what_is_idle_closes_and_nothing_new_comes_in() {
    let (mut sidecar, origin) = forwarding(Duration::from_secs(10)).await;
    let mut idle = sidecar.agent.dial().await;
    let mut asked = origin.asked(&sidecar.agent, "/waiting").await;
    let answering = origin.answering(&sidecar.agent, "/x").await;
    sidecar.begin_drain();
    is_closed(&mut idle).await;
    soon(async {
        while TcpStream::connect(sidecar.agent.proxy).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // A request that was taken before is served to its end, and is the last on its connection.
    asked.origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    let answer = soon(read_answer(&mut asked.agent)).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
    is_closed(&mut asked.agent).await;
    answering.ends_well().await;
    let started = Instant::now();
    soon(sidecar.drain()).await;
    assert!(started.elapsed() < Duration::from_secs(2), "nothing was left to wait for");
    assert!(sidecar.outcomes(2).await.iter().all(|outcome| outcome["end"] == "done"));
}

#[tokio::test]
async fn what_lasts_longer_than_the_drain_is_cut_and_recorded() {
    let (mut sidecar, origin) = forwarding(Duration::from_millis(200)).await;
    let asked = origin.asked(&sidecar.agent, "/waiting").await;
    let answering = origin.answering(&sidecar.agent, "/x").await;
    let mut stalled = origin.answering(&sidecar.agent, "/stalled").await;
    let chunk = [b"10000\r\n", &vec![b'x'; 0x10000][..], b"\r\n"].concat();
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), stalled.origin.write_all(&chunk)).await {
        written.unwrap();
    }
    soon(sidecar.drain()).await;
    let answer = asked.gets_refused().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "UNAVAILABLE"));
    answering.gets_cut().await;
    is_closed(&mut stalled.origin).await;
    let outcomes = sidecar.outcomes(3).await;
    assert!(outcomes.iter().all(|outcome| outcome["code"] == "UNAVAILABLE"), "{outcomes:#?}");
}

#[tokio::test]
async fn a_tunnel_is_cut_at_the_end_of_the_drain() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let mut sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {port}, action: tunnel, protocol: any, networks: [127.0.0.0/8] }}\n"
        ))
        .configure(|config| config.timeouts.drain = Duration::from_millis(200))
        .start()
        .await;
    let mut agent = sidecar.agent.connect(&format!("127.0.0.1:{port}")).await.unwrap();
    agent.write_all(b"hello\n").await.unwrap();
    let mut far = origin.accept().await;
    read_until(&mut far, b"hello\n").await;
    soon(sidecar.drain()).await;
    is_closed(&mut agent).await;
    is_closed(&mut far).await;
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!((&outcome["code"], &outcome["up"]), (&json!("UNAVAILABLE"), &json!(6)), "{outcome}");
}

#[tokio::test]
async fn intercepted_connections_that_are_idle_close() {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let mut sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .trusts(&pki)
        .host("api.test", &origin)
        .configure(|config| config.timeouts.drain = Duration::from_secs(10))
        .start()
        .await;
    let at = format!("api.test:{}", origin.port());
    let mut h1 = sidecar.agent.intercepted(&at, "api.test", &[b"http/1.1"]).await.unwrap();
    h1.write_all(format!("GET / HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(soon(read_answer(&mut h1)).await.status, 200);
    let h2 = sidecar.agent.intercepted(&at, "api.test", &[b"h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(h2)).await.unwrap();
    let ended = tokio::spawn(connection);
    let request = Request::get(format!("https://{at}/")).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(soon(sender.send_request(request)).await.unwrap().status(), 200);
    let started = Instant::now();
    sidecar.begin_drain();
    assert_eq!(soon(h1.read(&mut [0; 1])).await.unwrap_or(0), 0);
    let _ = soon(ended).await.unwrap();
    soon(sidecar.drain()).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// A tunnel whose ClientHello does not come is recorded too.
#[tokio::test]
async fn a_tunnel_that_never_began_is_recorded() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let mut sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {port}, action: tunnel, networks: [127.0.0.0/8] }}\n"))
        .configure(|config| {
            config.timeouts.drain = Duration::from_millis(200);
            config.timeouts.handshake = Duration::from_secs(60);
        })
        .start()
        .await;
    let mut agent = sidecar.agent.connect(&format!("127.0.0.1:{port}")).await.unwrap();
    let mut far = origin.accept().await;
    soon(sidecar.drain()).await;
    is_closed(&mut agent).await;
    is_closed(&mut far).await;
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!(outcome["code"], "UNAVAILABLE", "{outcome}");
}

/// Nothing was asked inside: what it waits for is not worth a drain.
#[tokio::test]
async fn a_connect_that_nothing_follows_does_not_hold_the_drain_up() {
    let (mut sidecar, origin) = forwarding(Duration::from_millis(200)).await;
    let mut agent = sidecar.agent.connect(&format!("127.0.0.1:{}", origin.port())).await.unwrap();
    let started = Instant::now();
    soon(sidecar.drain()).await;
    is_closed(&mut agent).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!((&outcome["code"], &outcome["method"]), (&json!("UNAVAILABLE"), &json!("CONNECT")), "{outcome}");
}

/// A head that never becomes whole is nobody's request.
#[tokio::test]
async fn half_a_head_does_not_hold_the_drain_up() {
    let (mut sidecar, _origin) = forwarding(Duration::from_secs(10)).await;
    let mut half = sidecar.agent.dial().await;
    half.write_all(b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    soon(sidecar.drain()).await;
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}
