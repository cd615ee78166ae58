//! Placeholders of the catalogue on the request path: replaced where their provider is injected,
//! refused everywhere else, and not looked for in bodies and tunnels.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::support::client::read_answer;
use crate::support::{Answer, Origin, Pki, Sidecar, Speaks, origin};

const TOKEN: &str = "ghp_NexusPlaceholder00000000000000000000";
const AWS: &str = "AKIANEXUSPLACEHOLDER";
const SECRET: &str = "canary-92fd1c3a77";
const HOSTS: [&str; 5] = ["api.github.com", "github.com", "evil.test", "tunnel.test", "s3.eu-west-1.amazonaws.com"];

/// GitHub and AWS injected, one host forwarded to, one tunnelled.
struct Around {
    sidecar: Sidecar,
    origin: Origin,
    pki: Pki,
}

impl Around {
    async fn start() -> Self {
        let pki = Pki::new();
        let origin = Origin::start(Speaks::Tls(pki.server(&HOSTS, &[b"http/1.1"])), origin::ok).await;
        let more = format!("port: {}, networks: [127.0.0.0/8]", origin.port());
        let policy = format!(
            "rules:
  - {{ name: plain, host: api.github.com, path: /plain, action: forward, {more} }}
  - {{ name: api, host: api.github.com, connection: github, {more} }}
  - {{ name: git, host: github.com, connection: git, {more} }}
  - {{ name: aws, host: s3.eu-west-1.amazonaws.com, connection: aws, {more} }}
  - {{ name: other, host: evil.test, action: forward, {more} }}
  - {{ name: blind, host: tunnel.test, action: tunnel, {more} }}\n"
        );
        let token = [("access_token", SECRET)];
        let pair = [("username", "x-access-token"), ("password", SECRET)];
        let keys = [("access_key", "AKIDEXAMPLE"), ("secret_key", SECRET)];
        let mut builder = Sidecar::builder()
            .policy(policy)
            .connection("github", json!({"type": "oauth2"}), &["api.github.com"], &token)
            .connection("git", json!({"type": "basic_auth"}), &["github.com"], &pair)
            .connection("aws", json!({"type": "aws_sigv4"}), &["s3.eu-west-1.amazonaws.com"], &keys)
            .trusts(&pki);
        for host in HOSTS {
            builder = builder.host(host, &origin);
        }
        Self { sidecar: builder.start().await, origin, pki }
    }

    async fn send(&self, host: &str, target: &str, header: (&str, &str), body: &str) -> Answer {
        let url = format!("https://{host}:{}{target}", self.origin.port());
        let request = Request::post(url).header(header.0, header.1).body(Full::from(body.to_owned()));
        self.sidecar.agent.https(request.unwrap()).await
    }

    /// Sends what must be refused; the message.
    async fn refused(&self, host: &str, target: &str, header: (&str, &str)) -> String {
        let answer = self.send(host, target, header, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (403, "POLICY_DENIED"),
            "{host}{target} {header:?}"
        );
        assert_eq!(answer.headers["x-should-retry"], "false");
        assert!(self.origin.received().is_empty(), "{:?}", self.origin.received());
        answer.error()["message"].as_str().unwrap().to_owned()
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn signed(key: &str) -> String {
    let scope = "20260101/eu-west-1/s3/aws4_request";
    format!("AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders=host, Signature={}", "0".repeat(64))
}

#[tokio::test]
async fn where_its_provider_is_injected_a_placeholder_is_replaced() {
    let bearer = format!("Bearer {TOKEN}");
    for (host, sent, left) in [
        ("api.github.com", bearer.clone(), format!("Bearer {SECRET}")),
        ("api.github.com", basic(TOKEN, "x-oauth-basic"), format!("Bearer {SECRET}")),
        ("github.com", basic("x-access-token", TOKEN), basic("x-access-token", SECRET)),
        ("s3.eu-west-1.amazonaws.com", signed(AWS), "Credential=AKIDEXAMPLE/".to_owned()),
    ] {
        let around = Around::start().await;
        let answer = around.send(host, "/r", ("authorization", &sent), "").await;
        assert_eq!(answer.status, 200, "{host} {answer:?}");
        let received = around.origin.only();
        let authorization = received.header("authorization");
        assert!(authorization.contains(&left), "{authorization}");
        assert!(!format!("{:?}", received.headers).to_lowercase().contains("nexusplaceholder"));
    }
}

#[tokio::test]
async fn everywhere_else_it_is_refused_by_its_place_and_its_provider() {
    let around = Around::start().await;
    let bearer = format!("Bearer {TOKEN}");
    let accept = ("accept", "*/*");
    let query = format!("/r?a=1&access_token={TOKEN}");
    let escaped = format!("/r?u=https%3A%2F%2Fx%3A{}%40github.com", TOKEN.replace('_', "%5F"));
    for (host, target, header, place, reason) in [
        ("evil.test", "/r", ("authorization", bearer.as_str()), "the header authorization", "no rule injects github"),
        ("evil.test", "/r", ("authorization", &basic("x", TOKEN)), "the header authorization", "evil.test"),
        ("evil.test", "/r", ("cookie", &bearer), "the header cookie", "evil.test"),
        ("evil.test", &query, accept, "the query", "evil.test"),
        ("evil.test", &escaped, accept, "the query", "evil.test"),
        ("evil.test", &format!("/{TOKEN}"), accept, "the path", "evil.test"),
        ("api.github.com", "/plain", ("authorization", &bearer), "the header authorization", "`connection: github`"),
        ("api.github.com", "/r", ("x-other", TOKEN), "the header x-other", "the connection github puts no credential"),
        ("api.github.com", &query, accept, "the query", "the connection github"),
    ] {
        let message = around.refused(host, target, header).await;
        assert!(message.starts_with(&format!("{place} holds the placeholder of github")), "{message}");
        assert!(message.contains(reason) && !message.contains("NexusPlaceholder"), "{message}");
    }
    let presigned = format!("/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={AWS}%2F20260101%2Fx%2Fs3");
    for (target, header, place) in [
        ("/b/k", ("authorization", signed(AWS)), "the header authorization"),
        (presigned.as_str(), ("accept", "*/*".to_owned()), "the query"),
    ] {
        let message = around.refused("evil.test", target, (header.0, &header.1)).await;
        assert!(message.starts_with(&format!("{place} holds the placeholder of aws")), "{message}");
    }
    let outcomes = around.sidecar.outcomes(11).await;
    for outcome in &outcomes {
        assert_eq!(outcome["code"], "POLICY_DENIED", "{outcome}");
        assert!(outcome["reason"].as_str().unwrap().contains("holds the placeholder of"), "{outcome}");
    }
    assert!(!around.sidecar.audit().iter().any(|line| line["kind"] == "intent"), "nothing was about to leave");
    assert!(around.sidecar.metrics.encode().contains("nexus_sidecar_refusals_total{code=\"POLICY_DENIED\"} 11"));
}

/// README, "What the agent can and cannot do".
#[tokio::test]
async fn bodies_and_tunnels_are_not_searched() {
    let around = Around::start().await;
    assert_eq!(around.send("evil.test", "/r", ("accept", "*/*"), TOKEN).await.status, 200);
    assert_eq!(around.origin.only().body, TOKEN);

    let stream = around.sidecar.agent.connect(&format!("tunnel.test:{}", around.origin.port())).await.unwrap();
    let mut agent = around.sidecar.agent.clone();
    agent.trust = around.pki.pem.clone();
    let name = "tunnel.test".try_into().unwrap();
    let mut stream = TlsConnector::from(agent.tls(&[])).connect(name, stream).await.unwrap();
    let head = format!("GET /x HTTP/1.1\r\nHost: tunnel.test\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    assert_eq!(around.origin.received()[1].header("authorization"), format!("Bearer {TOKEN}"));
}
