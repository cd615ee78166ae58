//! What the frame does around every handler.

use super::*;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn every_refusal_has_a_body_in_the_shape_of_its_surface() {
    let served = serve().await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/api/v2/nothing", 404, "NOT_FOUND"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/connections/x", 404, "not_found"),
        ("POST", "/health", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/api/v2/test/echo", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/test/panic", 405, "method_not_allowed"),
        ("GET", "/health?x=1", 400, "INVALID_ARGUMENT"),
        ("GET", "/metrics", 401, "UNAUTHENTICATED"),
        ("GET", "/api/v2/test/broken", 500, "INTERNAL"),
    ] {
        let reply = served.send(method, path, &[], "").await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {path}: {reply:?}");
        assert_eq!(reply.header("nexus-protocol-version"), Some("2026.1"));
        assert!(reply.header("x-ratelimit-remaining").is_some(), "{reply:?}");
        assert!(!reply.body.contains("canary"), "{reply:?}");
    }
    let reply = served.send("PUT", "/v1/test/echo", &[], "").await;
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = served.open("/metrics").await;
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"nexus\""));
}

#[tokio::test]
async fn no_origin_is_allowed() {
    let served = serve().await;
    let asked = [("origin", "http://localhost:3000"), ("access-control-request-method", "GET")];
    for method in ["GET", "OPTIONS"] {
        let reply = served.send(method, "/health", &asked, "").await;
        assert!(!reply.head.to_ascii_lowercase().contains("access-control"), "{reply:?}");
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let served = serve().await;
    let (get, head) = (served.open("/health").await, served.send("HEAD", "/health", &[], "").await);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    let refused = served.send("HEAD", "/api/v2/nothing", &[], "").await;
    assert_eq!((refused.status, refused.body.as_str()), (404, ""));
}

#[tokio::test]
async fn another_major_version_is_refused_and_told_which_there_is() {
    let served = serve().await;
    for (said, status) in [("2026.1", 200), ("2026.9", 200), ("2025.1", 400), ("3", 400)] {
        let reply = served.send("GET", "/health", &[("nexus-protocol-version", said)], "").await;
        assert_eq!(reply.status, status, "{said}");
        if status == 400 {
            assert_eq!(reply.code(), "UNSUPPORTED_VERSION");
            assert_eq!(reply.json()["error"]["details"]["supported"], json!(["2026.1"]));
        }
    }
}

#[tokio::test]
async fn a_panicking_handler_is_a_500_and_the_next_call_is_served() {
    let served = serve().await;
    for path in ["/v1/test/panic", "/api/v2/test/panic", "/api/v2/test/panic-waits"] {
        let reply = served.get(path, ADMIN).await;
        assert_eq!(reply.status, 500, "{path}");
        assert_eq!(reply.code().to_ascii_lowercase(), "internal");
        assert!(!reply.body.contains("canary") && reply.header("nexus-trace-id").is_some());
    }
    assert_eq!(served.open("/health").await.status, 200);
}

#[tokio::test]
async fn new_surfaces_read_bodies_strictly_and_quote_nothing_of_them() {
    let served = serve().await;
    let admin = key(ADMIN);
    for (kind, body, status, field) in [
        ("application/json", "{\"said\": \"x\"}", 200, ""),
        ("Application/JSON; charset=utf-8", "{\"said\": \"x\"}", 200, ""),
        ("application/json", "{\"said\": \"x\", \"sad\": \"canary\"}", 400, "sad"),
        ("application/json", "{\"said\": {\"a\": \"canary\"}}", 400, "said"),
        ("application/json", "{}", 400, "said"),
        ("application/json", "{\"said\": \"canary\"", 400, ""),
        ("application/json", "{\"said\": \"canary\"} {}", 400, ""),
        ("application/json", "{\"said\": \"canary\", \"said\": \"x\"}", 400, ""),
        ("application/json", "[\"canary\"]", 400, ""),
        ("text/plain", "{\"said\": \"x\"}", 415, ""),
        ("application/x-www-form-urlencoded", "said=x", 415, ""),
    ] {
        let headers = [("authorization", &*format!("Bearer {admin}")), ("content-type", kind)];
        let reply = served.send("POST", "/api/v2/test/echo", &headers, body).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        if status != 200 {
            assert!(!reply.body.contains("canary"), "{reply:?}");
            assert_eq!(reply.json()["error"]["details"]["field"].as_str().unwrap_or_default(), field, "{reply:?}");
        }
    }
    let nothing = served.send("POST", "/api/v2/test/echo", &[("x-api-key", &admin), JSON], "").await;
    assert_eq!(nothing.status, 400);
}

#[tokio::test]
async fn old_surfaces_read_bodies_as_the_reference_does() {
    let served = serve().await;
    for (kind, body, status) in [
        ("text/plain", "{\"a\": 1} trailing", 200),
        ("application/json", "{\"a\": 1, \"a\": 2}", 200),
        ("application/json", "nonsense", 400),
        ("application/json", "", 400),
    ] {
        let reply = served.send("POST", "/v1/test/echo", &[("content-type", kind)], body).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        if status != 200 {
            assert_eq!(reply.code(), "invalid_json");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_framed() {
    let served = serve().await;
    let admin = key(ADMIN);
    let long = "x".repeat((1 << 20) + 1);
    let declared = served.send("POST", "/api/v2/test/echo", &[("x-api-key", &admin), JSON], &long).await;
    assert_eq!((declared.status, declared.code().as_str()), (413, "BODY_TOO_LARGE"));
    let head = "POST /v1/test/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let chunked = Reply::parse(&served.raw(chunked.as_bytes()).await);
    assert_eq!((chunked.status, chunked.code().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn who_takes_too_long_is_let_go() {
    let short = Duration::from_millis(100);
    let waits = Waits { header: short, body: short, deadline: short, ..Waits::default() };
    let served = serve_with(config(), waits).await;
    assert_eq!(served.raw(b"GET /health HTTP/1.1\r\nhost:").await, "", "a head that does not end has no answer");
    let head = "POST /v1/test/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{";
    let reply = Reply::parse(&served.raw(head.as_bytes()).await);
    assert_eq!((reply.status, reply.code().as_str()), (408, "request_timeout"));
    let reply = served.get("/api/v2/test/never", ADMIN).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "UNAVAILABLE"));
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_ends_streams() {
    let served = serve().await;
    let address = served.address;
    let ask = |path: &str| request("GET", path, &[("x-api-key", &key(ADMIN))], "");
    let (held, streamed) = (ask("/api/v2/test/held"), ask("/api/v2/test/events"));
    let held = tokio::spawn(async move { exchange(TcpStream::connect(address).await.unwrap(), &held).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&streamed).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("event: beat") {
        let mut some = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut some)).await.unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    assert!(seen.contains("content-type: text/event-stream") && seen.contains("id: 1\nevent: change\n"), "{seen}");
    BEGUN.notified().await;
    let stopping = tokio::spawn(served.stop());
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream comes to its end, and is not cut");
    assert!(!held.is_finished());
    GO_ON.notify_one();
    assert_eq!(Reply::parse(&held.await.unwrap()).status, 204);
    stopping.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn metrics_name_templates_and_nothing_that_a_caller_chose() {
    let served = serve().await;
    served.open("/canary-path?canary=query").await;
    served.open("/health").await;
    let text = served.get("/metrics", ADMIN).await.body;
    let health = "nexus_authority_requests_total{method=\"GET\",endpoint=\"/health\",status=\"200\"} 1\n";
    assert!(text.contains(health) && !text.contains("canary"), "{text}");
}
