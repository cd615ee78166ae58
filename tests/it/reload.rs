//! A reload asks everything alive again: what is no longer allowed ends, the rest goes on.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nexus_sidecar::identity::Gate;
use nexus_sidecar::model::Secret;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::underway::{is_closed, read_until};
use crate::support::{ByHand, Origin, Pki, Sidecar, soon};

const NOTHING: &str = "version: 1\nrules:\n  - { host: other.test, action: forward }\n";

fn rule(origin: &ByHand, more: &str) -> String {
    format!(
        "rules:\n  - {{ host: 127.0.0.1, port: {}, action: forward, networks: [127.0.0.0/8]{more} }}\n",
        origin.port()
    )
}

async fn forwarding(more: &str) -> (Sidecar, ByHand) {
    let origin = ByHand::new().await;
    let sidecar = Sidecar::builder().policy(rule(&origin, more)).start().await;
    (sidecar, origin)
}

#[tokio::test]
async fn an_answer_under_way_ends_if_it_is_no_longer_allowed() {
    let (sidecar, origin) = forwarding("").await;
    let underway = origin.answering(&sidecar.agent, "/x").await;
    sidecar.reload(NOTHING);
    underway.gets_cut().await;
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!((&outcome["code"], &outcome["status"]), (&json!("POLICY_DENIED"), &json!(200)), "{outcome}");
    assert!(outcome["reason"].as_str().unwrap().contains("policy was changed"), "{outcome}");
}

#[tokio::test]
async fn an_answer_under_way_goes_on_if_it_still_is() {
    let (sidecar, origin) = forwarding("").await;
    let underway = origin.answering(&sidecar.agent, "/x?a=1").await;
    for more in [", method: GET", ", path: /x", ", strict_path: true"] {
        sidecar.reload(&format!("version: 1\n{}", rule(&origin, more)));
    }
    underway.ends_well().await;
    assert_eq!(sidecar.outcomes(1).await[0]["end"], "done");
}

#[tokio::test]
async fn what_a_rule_looks_at_is_asked_again_as_it_was() {
    for (before, after, stays) in [
        (", method: GET", ", method: POST", false),
        (", path: /x", ", path: /y", false),
        (", query: { a: '1' }", ", query: { a: '1' }, path: /x", true),
        (", query: { a: '1' }", ", query: { a: '2' }", false),
        (", headers: { x-seen: '1' }", ", headers: { x-seen: '*' }", false),
        (", headers: { x-seen: '1' }", ", headers: { x-seen: null }", false),
        ("", ", query: { a: '1' }", false),
        ("", ", headers: { x-seen: '1' }", false),
    ] {
        let (sidecar, origin) = forwarding(before).await;
        let underway = origin.answering(&sidecar.agent, "/x?a=1").await;
        sidecar.reload(&format!("version: 1\n{}", rule(&origin, after)));
        if stays { underway.ends_well().await } else { underway.gets_cut().await }
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_told() {
    let (sidecar, origin) = forwarding("").await;
    let underway = origin.asked(&sidecar.agent, "/x").await;
    sidecar.reload(NOTHING);
    let answer = underway.gets_refused().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "POLICY_DENIED"));
}

/// Its buffers are full, so that nobody asks for the next part of the answer.
#[tokio::test]
async fn an_agent_that_does_not_read_holds_nothing_open() {
    let (sidecar, origin) = forwarding("").await;
    let mut underway = origin.answering(&sidecar.agent, "/x").await;
    let chunk = [b"10000\r\n", &vec![b'x'; 0x10000][..], b"\r\n"].concat();
    // Until nothing moves any more.
    while let Ok(written) =
        tokio::time::timeout(std::time::Duration::from_millis(500), underway.origin.write_all(&chunk)).await
    {
        written.unwrap();
    }
    sidecar.reload(NOTHING);
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!(outcome["code"], "POLICY_DENIED", "{outcome}");
    is_closed(&mut underway.origin).await;
}

#[tokio::test]
async fn one_stream_ends_and_its_neighbour_goes_on() {
    let pki = Pki::new();
    let (gate, opened) = tokio::sync::watch::channel(false);
    let origin = ByHand::new().await;
    let acceptor = tokio_rustls::TlsAcceptor::from(pki.server(&["api.test"], &[b"http/1.1"]));
    let port = origin.port();
    let policy = |path: &str| {
        format!(
            "rules:\n  - {{ host: api.test, port: {port}, path: {path}, action: forward, networks: [127.0.0.0/8] }}\n"
        )
    };
    let sidecar = Sidecar::builder()
        .policy(policy("/**"))
        .trusts(&pki)
        .configure(|config| {
            let host = nexus_sidecar::model::Host::parse("api.test").unwrap();
            config.upstream.hosts.insert(host, [127, 0, 0, 1].into());
        })
        .start()
        .await;
    // Each connection begins an answer, and ends it once the gate opens.
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let stream = origin.accept().await;
            let (acceptor, mut opened) = (acceptor.clone(), opened.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                read_until(&mut stream, b"\r\n\r\n").await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npart").await.unwrap();
                opened.wait_for(|open| *open).await.unwrap();
                let _ = stream.write_all(b"rest").await;
            });
        }
    });
    let stream = sidecar.agent.intercepted(&format!("api.test:{port}"), "api.test", &[b"h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for path in ["/kept", "/cut"] {
        let request = Request::get(format!("https://api.test:{port}{path}")).body(Full::<Bytes>::default()).unwrap();
        let mut answer = soon(sender.send_request(request)).await.unwrap();
        let part = soon(answer.body_mut().frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(part, "part");
        answers.push(answer);
    }
    soon(serving).await.unwrap();
    sidecar.reload(&format!("version: 1\n{}", policy("/kept")));
    let cut = answers.pop().unwrap();
    assert!(soon(cut.into_body().collect()).await.is_err());
    gate.send_replace(true);
    let kept = answers.pop().unwrap();
    assert_eq!(soon(kept.into_body().collect()).await.unwrap().to_bytes(), "rest");
}

#[tokio::test]
async fn a_tunnel_ends_or_goes_on_likewise() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let tunnel = |host: &str| {
        format!(
            "rules:\n  - {{ host: {host}, port: {port}, action: tunnel, protocol: any, networks: [127.0.0.0/8] }}\n"
        )
    };
    let sidecar = Sidecar::builder().policy(tunnel("127.0.0.1")).start().await;
    let mut agent = sidecar.agent.connect(&format!("127.0.0.1:{port}")).await.unwrap();
    agent.write_all(b"hello\n").await.unwrap();
    let mut far = origin.accept().await;
    read_until(&mut far, b"hello\n").await;
    sidecar.reload(&format!("version: 1\n{}", tunnel("[127.0.0.1, other.test]")));
    far.write_all(b"still\n").await.unwrap();
    read_until(&mut agent, b"still\n").await;
    sidecar.reload(NOTHING);
    is_closed(&mut agent).await;
    is_closed(&mut far).await;
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!((&outcome["code"], &outcome["up"]), (&json!("POLICY_DENIED"), &json!(6)), "{outcome}");
}

#[tokio::test]
async fn an_agent_whose_password_changed_loses_its_connections_and_the_others_keep_theirs() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let pki = Pki::new();
    let api = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "{}  - {{ host: api.test, port: {}, action: forward, networks: [127.0.0.0/8] }}\n",
            rule(&origin, ""),
            api.port()
        ))
        .trusts(&pki)
        .host("api.test", &api)
        .agent("a", "pw-a")
        .agent("b", "pw-b")
        .start()
        .await;
    let b = sidecar.agent.named("b", "pw-b");
    let at = format!("api.test:{}", api.port());
    let ours = origin.answering(&sidecar.agent, "/a").await;
    let theirs = origin.answering(&b, "/b").await;
    let mut our_idle = sidecar.agent.intercepted(&at, "api.test", &[b"http/1.1"]).await.unwrap();
    // Waits for its answer inside a CONNECT, in the clear.
    let mut waiting = sidecar.agent.connect(&format!("127.0.0.1:{port}")).await.unwrap();
    waiting.write_all(format!("GET /w HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes()).await.unwrap();
    let mut far = origin.accept().await;
    read_until(&mut far, b"\r\n\r\n").await;
    let mut their_idle = b.intercepted(&at, "api.test", &[b"http/1.1"]).await.unwrap();

    let agents = [("a".to_owned(), Secret::new("pw-new")), ("b".to_owned(), Secret::new("pw-b"))];
    sidecar.reloader.gate(Arc::new(Gate::named(agents.into(), false)));

    ours.gets_cut().await;
    assert_eq!(soon(our_idle.read(&mut [0; 1])).await.unwrap_or(0), 0);
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(sidecar.agent.get_plain(&url).await.code(), "PROXY_AUTHENTICATION_REQUIRED");
    let answer = soon(crate::support::client::read_answer(&mut waiting)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (407, "PROXY_AUTHENTICATION_REQUIRED"));
    is_closed(&mut waiting).await;
    theirs.ends_well().await;
    their_idle.write_all(format!("GET / HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(soon(crate::support::client::read_answer(&mut their_idle)).await.status, 200);
    // The answer under way, what waited, and the one that came after; the idle one was no request.
    let outcomes = sidecar.outcomes(4).await;
    let told = outcomes.iter().filter(|outcome| outcome["code"] == "PROXY_AUTHENTICATION_REQUIRED");
    assert!(told.count() >= 3, "{outcomes:#?}");
}
