//! What limits and rules bound stays bounded: tunnels count, addresses are kept apart, bodies that
//! outlive their answer can be ended, and no destination holds a request up.

use std::time::Duration;

use http::Response;
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::read_answer;
use crate::support::origin::Speaks;
use crate::support::underway::{ByHand, is_closed, read_until, soon};
use crate::support::{Origin, Received, Sidecar};

#[tokio::test]
async fn a_tunnel_counts_among_the_connections() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {port}, action: tunnel, protocol: any, networks: [127.0.0.0/8] }}\n"
        ))
        .configure(|config| config.limits.connections = 1)
        .start()
        .await;
    let tunnel = sidecar.agent.connect(&format!("127.0.0.1:{port}")).await.unwrap();
    let far = origin.accept().await;
    let mut second = sidecar.agent.dial().await;
    second.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), second.read(&mut [0; 1])).await;
    assert!(early.is_err(), "served beside a tunnel that fills the only place");
    drop((tunnel, far));
    assert_eq!(soon(read_answer(&mut second)).await.status, 400);
}

/// A pooled connection was dialled on the word of one rule's networks.
#[tokio::test]
async fn a_rule_without_networks_does_not_get_a_connection_of_one_that_has_them() {
    let origin = Origin::plain().await;
    let port = origin.port();
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: plain.test, port: {port}, path: /in/*, action: forward, networks: [127.0.0.0/8] }}\n  - {{ host: plain.test, port: {port}, action: forward }}\n"
        ))
        .host("plain.test", &origin)
        .start()
        .await;
    for (path, status) in [("/in/a", 200), ("/out", 403), ("/in/b", 200)] {
        let answer = sidecar.agent.get_plain(&format!("http://plain.test:{port}{path}")).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    assert_eq!(origin.received().len(), 2);
}

/// RFC 9110, section 10.1.4: a field of one hop is named as such on each hop.
#[tokio::test]
async fn the_wish_for_trailers_is_named_on_the_next_hop() {
    let origin = Origin::plain().await;
    let url = format!("http://plain.test:{}/", origin.port());
    let sidecar = forwarding(&origin).await;
    sidecar.agent.plain("GET", &url, &[("Connection", "TE"), ("TE", "trailers, gzip")], b"").await;
    let received = origin.only();
    assert_eq!((received.header("te"), received.header("connection")), ("trailers", "te"));
}

#[tokio::test]
async fn a_get_with_a_body_of_unknown_length_keeps_it() {
    let origin = Origin::plain().await;
    let sidecar = forwarding(&origin).await;
    let url = format!("http://plain.test:{}/_search", origin.port());
    let head =
        format!("GET {url} HTTP/1.1\r\nHost: plain.test:{}\r\nTransfer-Encoding: chunked\r\n\r\n", origin.port());
    let answer = sidecar.agent.raw(format!("{head}5\r\nquery\r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(&origin.only().body[..], b"query");
}

/// RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5; each side goes on with its connection.
#[tokio::test]
async fn answers_without_a_body_have_none_and_end_nothing() {
    let origin = Origin::start(Speaks::Plain, |received: &Received| {
        let status: u16 = received.target.trim_start_matches('/').parse().unwrap();
        let body = if status == 200 { Full::from("twelve bytes") } else { Full::default() };
        Response::builder().status(status).header("etag", "x").body(body).unwrap()
    })
    .await;
    let sidecar = forwarding(&origin).await;
    let host = format!("plain.test:{}", origin.port());
    let mut requests = String::new();
    for (method, status, more) in
        [("HEAD", 200, ""), ("GET", 204, ""), ("GET", 304, ""), ("GET", 200, "Connection: close\r\n")]
    {
        requests.push_str(&format!("{method} http://{host}/{status} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"));
    }
    let mut agent = sidecar.agent.dial().await;
    agent.write_all(requests.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon(agent.read_to_string(&mut text)).await.unwrap();
    let answers: Vec<_> = text.split("HTTP/1.1 ").skip(1).collect();
    let lengths: Vec<_> = answers.iter().map(|answer| answer.contains("content-length: 12\r\n")).collect();
    let bodies: Vec<_> = answers.iter().map(|answer| answer.split_once("\r\n\r\n").unwrap().1).collect();
    assert_eq!(lengths, [true, false, false, true], "{text}");
    assert_eq!(bodies, ["", "", "", "twelve bytes"], "{text}");
    assert!(!text.contains("content-length: 0") && !text.contains("chunked"), "{text}");
    assert_eq!(origin.connections(), 1);
}

/// RFC 9112, section 9.3: a client of HTTP/1.0 reads to the end of the connection.
#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let (sidecar, origin) = by_hand(Duration::from_secs(60)).await;
    let mut agent = sidecar.agent.dial().await;
    let head = format!("GET http://127.0.0.1:{}/ HTTP/1.0\r\n\r\n", origin.port());
    agent.write_all(head.as_bytes()).await.unwrap();
    let mut far = origin.accept().await;
    read_until(&mut far, b"\r\n\r\n").await;
    far.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    soon(agent.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.0 200") && text.ends_with("\r\n\r\nbody"), "{text}");
}

async fn forwarding(origin: &Origin) -> Sidecar {
    Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: plain.test, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .host("plain.test", origin)
        .start()
        .await
}

async fn by_hand(body: Duration) -> (Sidecar, ByHand) {
    let origin = ByHand::new().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .configure(move |config| config.timeouts.body = body)
        .start()
        .await;
    (sidecar, origin)
}

fn post(origin: &ByHand, length: u64) -> String {
    let port = origin.port();
    format!("POST http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_destination_that_takes_no_more_of_a_body_is_let_go() {
    let (sidecar, origin) = by_hand(Duration::from_millis(300)).await;
    let mut agent = sidecar.agent.dial().await;
    agent.write_all(post(&origin, 1 << 40).as_bytes()).await.unwrap();
    let far = origin.accept().await;
    let piece = vec![b'x'; 1 << 16];
    let sending =
        tokio::time::timeout(Duration::from_secs(20), async { while agent.write_all(&piece).await.is_ok() {} });
    sending.await.expect("an agent waits for a destination that takes nothing");
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "UPSTREAM_TIMEOUT");
    drop(far);
}

#[tokio::test]
async fn a_body_that_outlives_its_answer_ends_with_its_rule() {
    let (sidecar, origin) = by_hand(Duration::from_secs(60)).await;
    let mut agent = sidecar.agent.dial().await;
    agent.write_all(format!("{}part", post(&origin, 100)).as_bytes()).await.unwrap();
    let mut far = origin.accept().await;
    read_until(&mut far, b"part").await;
    far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(soon(read_answer(&mut agent)).await.status, 200);
    assert_eq!(sidecar.outcomes(1).await[0]["status"], json!(200));
    agent.write_all(b"more").await.unwrap();
    read_until(&mut far, b"more").await;
    sidecar.reload("version: 1\nrules: [{ host: other.test, action: forward }]\n");
    is_closed(&mut far).await;
    is_closed(&mut agent).await;
}
