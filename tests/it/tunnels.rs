//! CONNECT: tunnels, server names, and what is neither TLS nor HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::support::client::read_answer;
use crate::support::origin::ok;
use crate::support::{Origin, Pki, Sidecar, Speaks};

async fn tunnel(extra: &str) -> (Sidecar, Origin, Pki) {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "raw.test", ok).await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ name: raw, host: raw.test, port: {}, action: tunnel, networks: [127.0.0.0/8]{extra} }}\n",
            origin.port()
        ))
        .host("raw.test", &origin)
        .configure(|config| config.timeouts.handshake = Duration::from_millis(500))
        .start()
        .await;
    (sidecar, origin, pki)
}

#[tokio::test]
async fn a_tunnel_passes_bytes_untouched() {
    let (sidecar, origin, pki) = tunnel("").await;
    let stream = sidecar.agent.connect(&format!("raw.test:{}", origin.port())).await.unwrap();
    // The client trusts the origin's own authority: what it sees is the origin's certificate.
    let mut agent = sidecar.agent.clone();
    agent.trust = pki.pem.clone();
    let mut stream = TlsConnector::from(agent.tls(&[])).connect("raw.test".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    assert_eq!(origin.only().target, "/x");
    drop(stream);
    let outcome = sidecar.outcomes(1).await[0].clone();
    assert_eq!((&outcome["end"], &outcome["code"]), (&"done".into(), &serde_json::Value::Null), "{outcome}");
    assert!(outcome["up"].as_u64().unwrap() > 100 && outcome["down"].as_u64().unwrap() > 100, "{outcome}");
    assert!(
        sidecar
            .audit()
            .iter()
            .any(|line| line["kind"] == "intent" && line["rule"] == "raw" && line["method"] == "CONNECT")
    );
}

#[tokio::test]
async fn a_tunnel_under_another_server_name_is_refused() {
    let (sidecar, origin, _) = tunnel("").await;
    let stream = sidecar.agent.connect(&format!("raw.test:{}", origin.port())).await.unwrap();
    let error =
        TlsConnector::from(sidecar.agent.tls(&[])).connect("evil.test".try_into().unwrap(), stream).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("unrecogni"), "{error}");
    assert!(origin.received().is_empty());
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "MISDIRECTED_REQUEST");
}

#[tokio::test]
async fn a_tunnel_of_something_else_needs_protocol_any() {
    let (sidecar, origin, _) = tunnel("").await;
    let mut stream = sidecar.agent.connect(&format!("raw.test:{}", origin.port())).await.unwrap();
    stream.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "INVALID_REQUEST");

    let plain = Origin::start(Speaks::Plain, ok).await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: raw.test, port: {}, action: tunnel, protocol: any, networks: [127.0.0.0/8] }}\n",
            plain.port()
        ))
        .host("raw.test", &plain)
        .start()
        .await;
    let mut stream = sidecar.agent.connect(&format!("raw.test:{}", plain.port())).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: raw.test\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
}

#[tokio::test]
async fn silence_in_a_tunnel_is_not_waited_for() {
    let (sidecar, origin, _) = tunnel("").await;
    let mut stream = sidecar.agent.connect(&format!("raw.test:{}", origin.port())).await.unwrap();
    stream.write_all(&[0x16, 0x03]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn an_unreachable_tunnel_is_a_readable_502() {
    let (sidecar, origin, _) = tunnel("").await;
    let port = origin.port();
    drop(origin);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let answer = sidecar.agent.connect(&format!("raw.test:{port}")).await.unwrap_err();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UPSTREAM_FAILED"));
}

async fn intercepted() -> (Sidecar, Origin) {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .trusts(&pki)
        .host("api.test", &origin)
        .start()
        .await;
    (sidecar, origin)
}

#[tokio::test]
async fn an_intercepted_connection_under_another_name_gets_the_alert_and_a_record() {
    let (sidecar, origin) = intercepted().await;
    let authority = format!("api.test:{}", origin.port());
    let error = sidecar.agent.intercepted(&authority, "evil.test", &[b"http/1.1"]).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("unrecogni"), "{error}");
    let outcome = sidecar.outcomes(1).await[0].clone();
    assert_eq!((&outcome["code"], &outcome["method"]), (&"MISDIRECTED_REQUEST".into(), &"CONNECT".into()), "{outcome}");
}

#[tokio::test]
async fn a_host_that_disagrees_inside_is_a_421() {
    let (sidecar, origin) = intercepted().await;
    let authority = format!("api.test:{}", origin.port());
    let mut stream = sidecar.agent.intercepted(&authority, "api.test", &[b"http/1.1"]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (421, "MISDIRECTED_REQUEST"));
    assert!(origin.received().is_empty());
}

#[tokio::test]
async fn plain_http_inside_a_connect_is_read_as_such() {
    let origin = Origin::plain().await;
    let sidecar = Sidecar::forwarding(&origin).start().await;
    let authority = format!("plain.test:{}", origin.port());
    let mut stream = sidecar.agent.connect(&authority).await.unwrap();
    stream.write_all(format!("GET /x HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    assert_eq!(origin.only().target, "/x");
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_refused() {
    let (sidecar, origin) = intercepted().await;
    let mut stream = sidecar.agent.connect(&format!("api.test:{}", origin.port())).await.unwrap();
    stream.write_all(&[0x00, 0x01, 0x02]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "NOT_SUPPORTED");
}

#[tokio::test]
async fn a_handshake_that_fails_is_recorded() {
    let (sidecar, origin) = intercepted().await;
    let mut stranger = sidecar.agent.clone();
    stranger.trust = Pki::new().pem;
    let authority = format!("api.test:{}", origin.port());
    assert!(stranger.intercepted(&authority, "api.test", &[]).await.is_err());
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "INVALID_REQUEST");
}

#[tokio::test]
async fn a_connect_needs_a_port_and_one_name() {
    let (sidecar, origin) = intercepted().await;
    let port = origin.port();
    for (head, code) in [
        ("CONNECT api.test HTTP/1.1\r\nHost: api.test\r\n\r\n".to_owned(), "INVALID_REQUEST"),
        (format!("CONNECT api.test:{port} HTTP/1.1\r\nHost: other.test:{port}\r\n\r\n"), "MISDIRECTED_REQUEST"),
        (format!("CONNECT user@api.test:{port} HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n"), "INVALID_REQUEST"),
        ("CONNECT 0x7f.1:443 HTTP/1.1\r\nHost: 0x7f.1:443\r\n\r\n".to_owned(), "INVALID_REQUEST"),
    ] {
        assert_eq!(sidecar.agent.raw(head.as_bytes()).await.code(), code, "{head:?}");
    }
}
