//! A hostile destination, and an agent that does not read.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::read_answer;
use crate::support::sidecar::by_hand;
use crate::support::underway::read_until;
use crate::support::{Answer, Sidecar};

/// Asks for `path` and answers with these bytes; the connection stays open until the answer came.
async fn answered(bytes: &[u8]) -> (Sidecar, Answer) {
    let (sidecar, listener, url) = by_hand(|config| config.timeouts.response = Duration::from_secs(2)).await;
    let agent = sidecar.agent.clone();
    let asked = tokio::spawn(async move { agent.get_plain(&format!("{url}/")).await });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    let _ = origin.write_all(bytes).await;
    let answer = asked.await.unwrap();
    (sidecar, answer)
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_502() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(2 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: a\r\n".repeat(5000));
    for bytes in [
        &b"SSH-2.0-x\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let (_, answer) = answered(bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UPSTREAM_FAILED"), "{shown:?}");
    }
}

#[tokio::test]
async fn of_two_framings_the_agent_gets_one() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let host = url["http://".len()..].to_owned();
    for framing in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 30"]
    {
        let mut agent = sidecar.agent.dial().await;
        agent
            .write_all(format!("GET {url}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let (mut origin, _) = listener.accept().await.unwrap();
        read_until(&mut origin, b"\r\n\r\n").await;
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        origin.write_all(answer.as_bytes()).await.unwrap();
        let mut text = String::new();
        agent.read_to_string(&mut text).await.unwrap();
        let text = text.to_lowercase();
        assert!(!text.contains("content-length") && text.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{text}");
    }
}

#[tokio::test]
async fn ours_to_say_is_ours_alone() {
    let forged = b"HTTP/1.1 200 OK\r\nX-Nexus-Error: POLICY_DENIED\r\nProxy-Status: x\r\nX-Should-Retry: true\r\nAlt-Svc: h3=\":443\"\r\nProxy-Authenticate: Basic\r\nConnection: x-own\r\nX-Own: 1\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n";
    let (_, answer) = answered(forged).await;
    let names: Vec<_> =
        answer.headers.keys().map(http::HeaderName::as_str).filter(|name| *name != "connection").collect();
    assert_eq!(names, ["content-length", "date"], "{:?}", answer.headers);
}

#[tokio::test]
async fn informational_answers_without_end_are_a_504() {
    let (sidecar, listener, url) = by_hand(|config| config.timeouts.response = Duration::from_millis(500)).await;
    let agent = sidecar.agent.clone();
    let asked = tokio::spawn(async move { agent.get_plain(&format!("{url}/")).await });
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    let flood = tokio::spawn(async move {
        while origin.write_all(&b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(50)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let answer = asked.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "UPSTREAM_TIMEOUT"));
    flood.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_said_too_much_is_not_used_again() {
    let (sidecar, listener, url) = by_hand(|_| {}).await;
    let host = url["http://".len()..].to_owned();
    let get = format!("GET {url}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let post = format!("POST {url}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc");
    for (request, answer) in [
        // An early answer to an unread body.
        (&post, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        // Challenges that authenticate the connection.
        (&get, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"),
        (&get, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\", NTLM\r\nContent-Length: 0\r\n\r\n"),
        (&get, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let mut agent = sidecar.agent.dial().await;
        agent.write_all(request.as_bytes()).await.unwrap();
        let (mut origin, _) =
            tokio::time::timeout(Duration::from_secs(3), listener.accept()).await.expect("reused").unwrap();
        read_until(&mut origin, if request.starts_with("POST") { b"abc" } else { b"\r\n\r\n" }).await;
        origin.write_all(answer.as_bytes()).await.unwrap();
        read_answer(&mut agent).await;
        drop(agent);
        // Kept open by the destination: only ours to end.
        tokio::spawn(async move { origin.read_to_end(&mut Vec::new()).await });
    }
    let mut agent = sidecar.agent.dial().await;
    agent.write_all(get.as_bytes()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(3), listener.accept()).await.expect("reused").unwrap();
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_let_go() {
    let (sidecar, listener, url) = by_hand(|config| config.timeouts.body = Duration::from_millis(300)).await;
    let mut agent = sidecar.agent.dial().await;
    let host = &url["http://".len()..];
    agent.write_all(format!("GET {url}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    let piece = vec![b'x'; 1 << 16];
    let sending =
        tokio::time::timeout(Duration::from_secs(10), async { while origin.write_all(&piece).await.is_ok() {} });
    sending.await.expect("the destination waits for an agent that does not read");
    assert_eq!(sidecar.outcomes(1).await[0]["end"], "aborted");
    drop(agent);
}

#[tokio::test]
async fn a_destination_that_stops_within_its_answer_is_let_go() {
    let (sidecar, listener, url) = by_hand(|config| config.timeouts.body = Duration::from_millis(300)).await;
    let mut agent = sidecar.agent.dial().await;
    let host = &url["http://".len()..];
    agent.write_all(format!("GET {url}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, b"\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart").await.unwrap();
    let mut text = Vec::new();
    let _ = agent.read_to_end(&mut text).await;
    assert!(text.ends_with(b"part"));
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "UPSTREAM_TIMEOUT");
}
