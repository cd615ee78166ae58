//! What changes while a request is under way: the rules, the lease, the log; and who shares a
//! connection with whom.

use std::time::{Duration, SystemTime};

use http::Request;
use http_body_util::Full;
use nexus_sidecar::lease::MemoryConnection;
use nexus_sidecar::model::{Binding, Bindings, ConnectionName, Fields, HostPattern, Secret, Strategy};
use nexus_sidecar::telemetry::{Clock, SystemClock};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::bearer;
use crate::support::client::read_answer;
use crate::support::{Agent, Origin, Pki, Sidecar};

fn hook(secret: &str, expires_at: Option<SystemTime>) -> MemoryConnection {
    let strategy = json!({"type": "hmac_payload", "config": {"header_name": "X-Signature"}});
    let binding = Binding {
        hosts: vec![HostPattern::parse("api.test").unwrap()],
        strategy: Strategy::from_json(&strategy).unwrap(),
    };
    let mut fields = Fields::new();
    fields.insert("api_secret", Secret::new(secret));
    MemoryConnection {
        name: ConnectionName::parse("hook").unwrap(),
        bindings: Bindings::new(vec![binding], true).unwrap(),
        fields,
        expires_at,
    }
}

fn rule(origin: &Origin) -> String {
    format!("rules:\n  - {{ host: api.test, port: {}, connection: hook, networks: [127.0.0.0/8] }}\n", origin.port())
}

async fn signing(pki: &Pki, origin: &Origin) -> Sidecar {
    let sidecar = Sidecar::builder()
        .policy(rule(origin))
        .trusts(pki)
        .host("api.test", origin)
        .at(SystemClock.wall())
        .start()
        .await;
    sidecar.source.set(hook("first-secret", None));
    sidecar
}

/// Sends the first half of a body that is held until it is whole, lets `between` happen, and
/// sends the rest.
async fn halves(sidecar: &Sidecar, origin: &Origin, between: impl AsyncFnOnce(&Sidecar)) -> crate::support::Answer {
    let authority = format!("api.test:{}", origin.port());
    let mut stream = sidecar.agent.intercepted(&authority, "api.test", &[]).await.unwrap();
    let own = "Cookie: a=b\r\nX-Real-IP: 1\r\n";
    let head = format!("POST /hook HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 10\r\n{own}\r\n01234");
    stream.write_all(head.as_bytes()).await.unwrap();
    while sidecar_alive(sidecar).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    between(sidecar).await;
    let _ = stream.write_all(b"56789").await;
    read_answer(&mut stream).await
}

async fn sidecar_alive(sidecar: &Sidecar) -> u64 {
    let admin = Agent { proxy: sidecar.admin(), ..sidecar.agent.clone() };
    let head = format!("GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", sidecar.admin());
    let status: serde_json::Value = serde_json::from_slice(&admin.raw(head.as_bytes()).await.body).unwrap();
    status["alive"]["requests"].as_u64().unwrap()
}

#[tokio::test]
async fn rules_that_change_while_a_body_comes_are_asked_again() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = signing(&pki, &origin).await;
    let answer = halves(&sidecar, &origin, async |sidecar| {
        sidecar.reload("version: 1\nrules:\n  - { host: api.test, action: deny }\n");
    })
    .await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "POLICY_DENIED"));
    assert!(origin.received().is_empty());
}

/// The rule that stands when a request leaves says what passes, and is the one that is recorded.
#[tokio::test]
async fn a_rule_that_allows_less_while_a_body_comes_holds() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let passing = |name: &str, pass: &str| {
        format!(
            "version: 1\nrules:\n  - {{ name: {name}, host: api.test, port: {}, connection: hook, networks: [127.0.0.0/8], pass_headers: [{pass}] }}\n",
            origin.port()
        )
    };
    let sidecar = signing(&pki, &origin).await;
    sidecar.reload(&passing("before", "cookie, x-real-ip"));
    let answer = halves(&sidecar, &origin, async |sidecar| sidecar.reload(&passing("after", "cookie"))).await;
    assert_eq!(answer.status, 200);
    let received = origin.only();
    assert_eq!(received.header("cookie"), "a=b");
    assert!(!received.headers.contains_key("x-real-ip"));
    sidecar.outcomes(1).await;
    let intent = sidecar.audit().into_iter().find(|line| line["kind"] == "intent").unwrap();
    assert_eq!(intent["rule"], "after");
}

#[tokio::test]
async fn a_lease_that_ends_while_a_body_comes_is_not_used() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = signing(&pki, &origin).await;
    let start = sidecar.clock.wall();
    sidecar.source.set(hook("first-secret", Some(start + Duration::from_secs(60))));
    // The same clock, moved: the first lease ends, and what its source lends now is used.
    let before = halves(&sidecar, &origin, async |_| {}).await;
    assert_eq!(before.status, 200);
    let answer = halves(&sidecar, &origin, async |sidecar| {
        sidecar.source.set(hook("second-secret", Some(start + Duration::from_secs(300))));
        sidecar.advance(Duration::from_secs(120));
    })
    .await;
    assert_eq!(answer.status, 200);
    let received = origin.received();
    assert_ne!(received[0].header("x-signature"), received[1].header("x-signature"));
    // And one that has ended at its source refuses.
    let answer = halves(&sidecar, &origin, async |sidecar| sidecar.advance(Duration::from_secs(600))).await;
    assert_eq!(answer.code(), "CONNECTION_EXPIRED");
    assert_eq!(origin.received().len(), 2);
}

#[tokio::test]
async fn a_connection_that_is_revoked_while_a_body_comes_is_not_used() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = signing(&pki, &origin).await;
    let answer = halves(&sidecar, &origin, async |sidecar| {
        sidecar.source.revoke(&ConnectionName::parse("hook").unwrap());
        // Its end is a message away; a request that is not closed by it asks again.
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    assert_eq!(answer.code(), "CONNECTION_REVOKED");
    assert!(origin.received().is_empty());
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_leave() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = bearer(&pki, &origin, "").configure(|config| config.audit.max_file = 4096).start().await;
    let url = format!("https://api.test:{}/", origin.port());
    assert_eq!(sidecar.agent.get(&url).await.status, 200);
    // The next file cannot be made.
    let dir = sidecar.audit_dir();
    std::fs::rename(&dir, dir.with_extension("gone")).unwrap();
    let mut refused = None;
    for _ in 0..200 {
        let before = origin.received().len();
        let answer = sidecar.agent.get(&url).await;
        if answer.status != 200 {
            assert_eq!(origin.received().len(), before);
            refused = Some(answer);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = refused.expect("requests leave that nobody records");
    assert!(refused.status.is_server_error(), "{refused:?}");
    let after = origin.received().len();
    for _ in 0..5 {
        assert_ne!(sidecar.agent.get(&url).await.status, 200);
    }
    assert_eq!(origin.received().len(), after);
}

#[tokio::test]
async fn no_connection_serves_two_agents_or_two_versions() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = Sidecar::builder()
        .policy(rule(&origin))
        .trusts(&pki)
        .host("api.test", &origin)
        .agent("one", "s3cret-of-one")
        .agent("two", "s3cret-of-two")
        .start()
        .await;
    sidecar.source.set(hook("first-secret", None));
    let two = Agent { credentials: Some(("two".into(), "s3cret-of-two".into())), ..sidecar.agent.clone() };
    let post = || {
        Request::post(format!("https://api.test:{}/", origin.port())).body(Full::new(bytes::Bytes::from("x"))).unwrap()
    };
    for (agent, connections) in [(&sidecar.agent, 1), (&sidecar.agent, 1), (&two, 2), (&two, 2), (&sidecar.agent, 2)] {
        assert_eq!(agent.https(post()).await.status, 200);
        assert_eq!(origin.connections(), connections);
    }
    sidecar.source.set(hook("second-secret", None));
    for _ in 0..100 {
        assert_eq!(two.https(post()).await.status, 200);
        if origin.connections() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(origin.connections(), 3);
}
