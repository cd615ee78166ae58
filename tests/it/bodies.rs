//! Bodies stream both ways; what must be held is held to a limit; every wait ends.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::read_answer;
use crate::support::sidecar::by_hand;
use crate::support::underway::read_until;
use crate::support::{Origin, Pki, Sidecar};

async fn forward(
    origin: &Origin,
    pki: &Pki,
    change: impl FnOnce(&mut nexus_sidecar::config::Config) + 'static,
) -> Sidecar {
    Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .trusts(pki)
        .host("api.test", origin)
        .configure(change)
        .start()
        .await
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", |received| Response::new(Full::new(received.body.clone()))).await;
    let sidecar = forward(&origin, &pki, |_| {}).await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let url = format!("https://api.test:{}/echo", origin.port());
    for over_h2 in [false, true] {
        let request = Request::post(&url).body(Full::new(Bytes::from(body.clone()))).unwrap();
        let answer = if over_h2 { sidecar.agent.h2(request).await } else { sidecar.agent.https(request).await };
        assert_eq!(answer.body, body);
    }
    let outcomes = sidecar.outcomes(2).await;
    assert!(outcomes.iter().all(|line| line["up"] == body.len() && line["down"] == body.len()), "{outcomes:#?}");
}

#[tokio::test]
async fn an_event_stream_is_not_held_back() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let mut agent = sidecar.agent.dial().await;
    let host = &url["http://".len()..];
    agent.write_all(format!("GET {url}/events HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    origin.write_all(b"b\r\ndata: one\n\n\r\n").await.unwrap();
    // The first event is read before the second is written: nothing in between waits for the end.
    read_until(&mut agent, b"data: one\n\n\r\n").await;
    origin.write_all(b"b\r\ndata: two\n\n\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut agent, b"data: two\n\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_body_that_is_signed_is_held_to_the_limit() {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, connection: hook, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .connection(
            "hook",
            json!({"type": "hmac_payload", "config": {"header_name": "X-Signature"}}),
            &["api.test"],
            &[("api_secret", "s3cret")],
        )
        .trusts(&pki)
        .host("api.test", &origin)
        .configure(|config| config.limits.buffer = 1000)
        .start()
        .await;
    let url = format!("https://api.test:{}/hook", origin.port());
    let send = |size: usize| Request::post(&url).body(Full::new(Bytes::from(vec![b'x'; size]))).unwrap();
    let answer = sidecar.agent.https(send(1001)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "BODY_TOO_LARGE"));
    assert!(origin.received().is_empty());
    assert_eq!(sidecar.agent.https(send(1000)).await.status, 200);
    assert_eq!(origin.only().header("x-signature").len(), 64);
}

#[tokio::test]
async fn continue_is_carried() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let mut agent = sidecar.agent.dial().await;
    let host = &url["http://".len()..];
    let head = format!("POST {url}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    agent.write_all(head.as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    let received = String::from_utf8(read_until(&mut origin, b"\r\n\r\n").await).unwrap().to_lowercase();
    assert!(received.contains("expect: 100-continue\r\n"), "{received}");
    origin.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert_eq!(read_until(&mut agent, b"\r\n\r\n").await, b"HTTP/1.1 100 Continue\r\n\r\n");
    agent.write_all(b"body").await.unwrap();
    read_until(&mut origin, b"body").await;
    origin.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut agent).await.status, 204);
}

#[tokio::test]
async fn a_destination_that_says_nothing_is_a_504() {
    let (sidecar, listener, url) = by_hand(|config| config.timeouts.response = Duration::from_millis(200)).await;
    let answer = sidecar.agent.get_plain(&format!("{url}/")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "UPSTREAM_TIMEOUT"));
    drop(listener);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_408() {
    let sidecar = Sidecar::builder()
        .policy("rules:\n  - { host: api.test, action: forward }\n")
        .configure(|config| config.timeouts.header = Duration::from_millis(200))
        .start()
        .await;
    let answer = sidecar.agent.raw(b"GET http://api.test/ HTTP/1.1\r\nHost: api").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let (sidecar, listener, url) = by_hand(|config| config.timeouts.keep_alive = Duration::from_millis(200)).await;
    let mut agent = sidecar.agent.dial().await;
    let host = &url["http://".len()..];
    agent.write_all(format!("GET {url}/slow HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(read_answer(&mut agent).await.body, "ok");
    assert_eq!(agent.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_get_that_died_on_a_reused_connection_goes_once_more_with_an_intent_of_its_own() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let agent = sidecar.agent.clone();
    let first = tokio::spawn({
        let (agent, url) = (agent.clone(), url.clone());
        async move { agent.get_plain(&format!("{url}/1")).await }
    });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    let second = tokio::spawn(async move { agent.get_plain(&format!("{url}/2")).await });
    read_until(&mut origin, b"\r\n\r\n").await;
    drop(origin);
    let (mut origin, _) = listener.accept().await.unwrap();
    let again = String::from_utf8(read_until(&mut origin, b"\r\n\r\n").await).unwrap();
    assert!(again.starts_with("GET /2 "), "{again}");
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(second.await.unwrap().status, 200);
    let trace = sidecar.outcomes(2).await[1]["trace"].clone();
    let intents = sidecar.audit().iter().filter(|line| line["kind"] == "intent" && line["trace"] == trace).count();
    assert_eq!(intents, 2);
}

#[tokio::test]
async fn a_post_that_died_is_not_sent_again() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let agent = sidecar.agent.clone();
    let host = url["http://".len()..].to_owned();
    let post = format!("POST {url}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi");
    let first = tokio::spawn({
        let (agent, post) = (agent.clone(), post.clone());
        async move { agent.raw(post.as_bytes()).await }
    });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\nhi").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    let second = tokio::spawn(async move { agent.raw(post.as_bytes()).await });
    read_until(&mut origin, b"\r\n\r\nhi").await;
    drop(origin);
    let answer = second.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UPSTREAM_FAILED"));
    assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err());
}

#[tokio::test]
async fn a_connection_with_leftover_bytes_is_not_used_again() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let agent = sidecar.agent.clone();
    let first = tokio::spawn({
        let (agent, url) = (agent.clone(), url.clone());
        async move { agent.get_plain(&format!("{url}/1")).await }
    });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    let forged = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    origin.write_all(forged).await.unwrap();
    assert_eq!(first.await.unwrap().body, "ok");
    let second = tokio::spawn(async move { agent.get_plain(&format!("{url}/2")).await });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntrue!").await.unwrap();
    assert_eq!(second.await.unwrap().body, "true!");
}

#[tokio::test]
async fn an_unasked_101_is_a_502() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let agent = sidecar.agent.clone();
    let asked = tokio::spawn(async move { agent.get_plain(&format!("{url}/")).await });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await.unwrap();
    assert_eq!(asked.await.unwrap().code(), "UPSTREAM_FAILED");
}

#[tokio::test]
async fn an_agent_that_goes_away_is_recorded_as_aborted() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let mut agent = sidecar.agent.dial().await;
    let host = &url["http://".len()..];
    agent.write_all(format!("GET {url}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart").await.unwrap();
    read_until(&mut agent, b"part").await;
    drop(agent);
    assert_eq!(sidecar.outcomes(1).await[0]["end"], "aborted");
}

#[tokio::test]
async fn a_chunked_body_that_is_malformed_reaches_nobody_whole() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let host = &url["http://".len()..];
    let head = format!("POST {url}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    let answer = sidecar.agent.raw(format!("{head}2x\r\nGET / HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.code(), "INVALID_REQUEST");

    let mut agent = sidecar.agent.dial().await;
    agent.write_all(head.as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"hi\r\n").await;
    agent.write_all(b"2x\r\nGET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = origin.read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "{}", String::from_utf8_lossy(&rest));
    assert_eq!(read_answer(&mut agent).await.code(), "INVALID_REQUEST");
    assert_eq!(sidecar.outcomes(2).await[1]["end"], "denied");
}
