//! No secret in anything that the agent's side receives, in logs, audit, metrics or status, in
//! any spelling, over every kind of success and failure.
//!
//! The one exception: a body by which a destination repeats the credential that it was sent is
//! passed as it is. No scenario here has one.

pub(crate) mod at_rest;
mod borrowed;
pub(crate) mod canaries;
mod gateway;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use nexus_sidecar::model::ConnectionName;
use nexus_sidecar::telemetry::{LogSettings, Sink, init};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::canaries::{assert_clean, canary, forms, percent};
use crate::support::{Agent, Origin, Pki, Received, Sidecar, Speaks};

const NAMES: [&str; 7] =
    ["bearer.test", "header.test", "query.test", "basic.test", "hook.test", "s3.test", "missing.test"];

/// Starts the log of this process, at its most talkative, into a file that has no name any more.
fn start_log() -> &'static fs::File {
    static LOG: OnceLock<fs::File> = OnceLock::new();
    LOG.get_or_init(|| {
        let file = tempfile::tempfile().unwrap();
        let settings = LogSettings { level: Some("trace".to_owned()), ..LogSettings::default() };
        init(&settings, Sink::File(file.try_clone().unwrap())).unwrap();
        file
    })
}

/// Everything that was logged so far.
fn log() -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(start_log().metadata().unwrap().len()).unwrap()];
    start_log().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A destination that repeats, in every header that it can make, what it was sent; the path says
/// with which status.
fn reflect(received: &Received) -> Response<Full<Bytes>> {
    let status = received.target.split(['/', '?']).nth(1).and_then(|word| word.parse().ok()).unwrap_or(200);
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    repeat(headers, "target", received.target.as_bytes());
    let location = format!("https://elsewhere.test{}", received.target);
    headers.insert("location", location.parse().unwrap());
    for (name, value) in &received.headers {
        repeat(headers, name.as_str(), value.as_bytes());
        // Basic: what stands behind the base64.
        if let Some(Ok(clear)) = value.as_bytes().strip_prefix(b"Basic ").map(|token| STANDARD.decode(token)) {
            repeat(headers, "clear", &clear);
        }
    }
    response
}

fn repeat(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    let text = String::from_utf8_lossy(value).into_owned();
    let json = serde_json::to_string(&text).unwrap();
    let spellings = [
        ("plain", text.clone()),
        ("base64", STANDARD.encode(format!("a{text}b"))),
        ("url64", URL_SAFE.encode(format!("ab{text}"))),
        ("hex", hex::encode(value)),
        ("upper", hex::encode_upper(value)),
        ("percent", percent(&text, false)),
        ("lower", percent(&text, true)),
        ("json", json),
    ];
    for (how, text) in spellings {
        if let (Ok(name), Ok(value)) = (format!("x-{how}-{name}").parse::<HeaderName>(), HeaderValue::try_from(text)) {
            headers.append(name, value);
        }
    }
}

async fn start() -> (Sidecar, Origin, Origin) {
    start_log();
    let (pki, impostor) = (Pki::new(), Pki::new());
    let origin = Origin::start(Speaks::Tls(pki.server(&NAMES, &[b"http/1.1", b"h2"])), reflect).await;
    let false_origin = Origin::tls(&impostor, "false.test").await;
    let (port, bad) = (origin.port(), false_origin.port());
    let mut policy = "rules:\n  - { host: bearer.test, path: /denied, action: deny }\n".to_owned();
    for name in NAMES {
        let connection = name.trim_end_matches(".test");
        policy += &format!("  - {{ host: {name}, port: {port}, connection: {connection}, networks: [127.0.0.0/8] }}\n");
    }
    policy += &format!("  - {{ host: false.test, port: {bad}, connection: impostor, networks: [127.0.0.0/8] }}\n");
    let token = [("access_token", canary("access_token"))];
    let mut builder = Sidecar::builder()
        .policy(policy)
        .trusts(&pki)
        .agent("bot", canary("proxy_password"))
        .connection("bearer", json!({"type": "oauth2"}), &["bearer.test"], &token)
        .connection("impostor", json!({"type": "oauth2"}), &["false.test"], &token)
        .connection("missing", json!({"type": "oauth2"}), &["missing.test"], &[("other", canary("api_key"))])
        .connection(
            "header",
            json!({"type": "header", "config": {"header_name": "X-Custom", "value_prefix": "Token "}}),
            &["header.test"],
            &[("api_key", canary("api_key"))],
        )
        .connection(
            "query",
            json!({"type": "query_param", "config": {"param_name": "api_key"}}),
            &["query.test"],
            &[("api_key", canary("query_key"))],
        )
        .connection(
            "basic",
            json!({"type": "basic_auth"}),
            &["basic.test"],
            &[("username", "some-user"), ("password", canary("password"))],
        )
        .connection(
            "hook",
            json!({"type": "hmac_payload", "config": {"header_name": "X-Signature"}}),
            &["hook.test"],
            &[("api_secret", canary("api_secret"))],
        )
        .connection(
            "s3",
            json!({"type": "aws_sigv4", "config": {"service": "execute-api", "region": "eu-west-1"}}),
            &["s3.test"],
            &[
                ("access_key", "AKIDEXAMPLE"),
                ("secret_key", canary("secret_key")),
                ("session_token", canary("session_token")),
            ],
        )
        .host("false.test", &false_origin)
        .configure(|config| {
            config.limits.buffer = 1000;
            config.timeouts.drain = Duration::from_millis(300);
        });
    for name in NAMES {
        builder = builder.host(name, &origin);
    }
    (builder.start().await, origin, false_origin)
}

/// Everything that an agent receives for bytes that it sends inside a CONNECT.
async fn exchange(agent: &Agent, authority: &str, bytes: &[u8]) -> Vec<u8> {
    let host = authority.split(':').next().unwrap();
    let mut stream = agent.intercepted(authority, host, &[]).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut received = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut received)).await;
    received
}

fn request(method: &str, authority: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Searches every place that is neither the agent's nor the destination's.
async fn search(sidecar: &Sidecar) {
    for path in ["/metrics", "/status", "/ca.pem"] {
        let admin = Agent { proxy: sidecar.admin(), ..sidecar.agent.clone() };
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", sidecar.admin());
        assert_clean(path, &admin.raw(head.as_bytes()).await.body);
    }
    assert_clean("the summary of refusals", sidecar.refusals.lock().unwrap().join("\n").as_bytes());
    search_files(sidecar);
}

fn search_files(sidecar: &Sidecar) {
    let dir = sidecar.audit_dir();
    let key = fs::read(dir.with_file_name("audit.key")).unwrap();
    let log = log();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert_clean(&path.display().to_string(), &bytes);
        assert!(!holds_key(&bytes, &key), "the audit's key in {}", path.display());
    }
    assert_clean("the log", &log);
    assert!(!holds_key(&log, &key), "the audit's key in the log");
}

fn holds_key(bytes: &[u8], key: &[u8]) -> bool {
    let form_is_in = |form: &Vec<u8>| memchr::memmem::find(bytes, form).is_some();
    let decoded = STANDARD.decode(key.trim_ascii()).or_else(|_| hex::decode(key.trim_ascii())).unwrap_or_default();
    forms(key.trim_ascii()).iter().any(form_is_in) || (!decoded.is_empty() && forms(&decoded).iter().any(form_is_in))
}

#[tokio::test]
async fn every_strategy_and_every_status() {
    let (sidecar, origin, _false) = start().await;
    for name in &NAMES[..6] {
        let authority = format!("{name}:{}", origin.port());
        for path in
            ["/200", "/201/x?a=1", "/302", "/307?api_key=mine", "/400", "/401", "/403", "/404", "/429", "/500", "/503"]
        {
            let before = origin.received().len();
            let received = exchange(&sidecar.agent, &authority, &request("POST", &authority, path, "body")).await;
            assert!(received.starts_with(b"HTTP/1.1 ") && origin.received().len() == before + 1, "{name}{path}");
            assert_clean(&format!("the answer of {name}{path}"), &received);
        }
        let url = format!("https://{authority}/302");
        let answer = sidecar.agent.h2(Request::get(url).body(Full::default()).unwrap()).await;
        assert_clean("an answer over h2", format!("{:?}", answer).as_bytes());
        for (name, value) in &answer.headers {
            assert_clean(name.as_str(), value.as_bytes());
        }
    }
    // The credentials were there to be repeated.
    let mut sent = Vec::new();
    for one in origin.received() {
        sent.extend(one.target.bytes());
        one.headers.values().for_each(|value| sent.extend_from_slice(value.as_bytes()));
    }
    let fields = ["access_token", "api_key", "query_key", "password", "session_token"];
    let found = canaries::found(&sent, fields.map(|field| (field, canary(field).as_bytes())));
    assert_eq!(found, fields);
    // And the log is the one that was written.
    assert!(memchr::memmem::find(&log(), b"contained the injected credential and was dropped").is_some());
    search(&sidecar).await;
}

#[tokio::test]
async fn every_refusal_and_every_failure() {
    let (sidecar, origin, impostor) = start().await;
    let authority = |name: &str| format!("{name}.test:{}", origin.port());
    let (bearer, hook) = (authority("bearer"), authority("hook"));
    let unverified = format!("false.test:{}", impostor.port());
    // What `why` reads of a refusal: the names of its query, and none of the values.
    let asking = format!("/denied?key={}&flag", percent(canary("query_key"), false));
    let scenarios: Vec<(&str, String, Vec<u8>, &str)> = vec![
        (
            "a certificate of another authority",
            unverified.clone(),
            request("GET", &unverified, "/", ""),
            "UPSTREAM_FAILED",
        ),
        ("denied", bearer.clone(), request("GET", &bearer, "/denied", ""), "POLICY_DENIED"),
        ("denied, with a query", bearer.clone(), request("GET", &bearer, &asking, ""), "POLICY_DENIED"),
        ("TRACE", bearer.clone(), request("TRACE", &bearer, "/", ""), "POLICY_DENIED"),
        (
            "a missing field",
            authority("missing"),
            request("GET", &authority("missing"), "/", ""),
            "CREDENTIAL_UNUSABLE",
        ),
        ("too large", hook.clone(), request("POST", &hook, "/", &"x".repeat(2000)), "BODY_TOO_LARGE"),
        ("malformed", bearer.clone(), b"GET / HTTP/1.1\r\n\r\n".to_vec(), "INVALID_REQUEST"),
        ("another host", bearer.clone(), request("GET", "evil.test", "/", ""), "MISDIRECTED_REQUEST"),
        ("a bad path", bearer.clone(), request("GET", &bearer, "/a/../b", ""), "INVALID_REQUEST"),
    ];
    for (what, authority, bytes, code) in scenarios {
        let received = exchange(&sidecar.agent, &authority, &bytes).await;
        assert!(
            memchr::memmem::find(&received, code.as_bytes()).is_some(),
            "{what}: {}",
            String::from_utf8_lossy(&received)
        );
        assert_clean(what, &received);
    }
    let targets: Vec<_> = sidecar.outcomes(9).await.into_iter().map(|outcome| outcome["target"].to_string()).collect();
    assert!(targets.iter().any(|target| target.ends_with("/denied?key=***&flag\"")), "{targets:?}");
    let liar =
        Agent { credentials: Some(("bot".into(), format!("{}x", canary("proxy_password")))), ..sidecar.agent.clone() };
    let refused = liar.connect(&bearer).await.unwrap_err();
    assert_clean("a 407", format!("{refused:?}").as_bytes());

    // An agent that goes away, within its body and within its answer.
    for bytes in [request("POST", &hook, "/", "body"), request("GET", &bearer, "/", "")] {
        let mut stream = sidecar.agent.intercepted(&hook, "hook.test", &[]).await.unwrap();
        stream.write_all(&bytes[..bytes.len() - 2]).await.unwrap();
        drop(stream);
    }
    // A destination that cannot be reached any more, a revocation, other rules, a drain.
    drop(impostor);
    let received = exchange(&sidecar.agent, &unverified, &request("GET", &unverified, "/", "")).await;
    assert_clean("no destination", &received);
    sidecar.source.revoke(&ConnectionName::parse("bearer").unwrap());
    let received = exchange(&sidecar.agent, &bearer, &request("GET", &bearer, "/", "")).await;
    assert_clean("a revoked connection", &received);
    sidecar.reload("version: 1\nrules:\n  - { host: hook.test, action: deny }\n");
    search(&sidecar).await;
    let mut sidecar = sidecar;
    let held = sidecar.agent.dial().await;
    sidecar.drain().await;
    drop(held);
    search_files(&sidecar);
}
