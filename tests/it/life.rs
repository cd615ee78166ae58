//! A request's life: from the agent to the destination and back, with a credential on the way.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use serde_json::json;

use crate::support::{Origin, Pki, Sidecar, Speaks};

const SECRET: &str = "canary-7f3a9c51e2";

/// One origin behind TLS, one rule that injects a bearer token.
async fn bearer(rule: &str) -> (Sidecar, Origin) {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let sidecar = bearer_to(&pki, &origin, rule).await;
    (sidecar, origin)
}

async fn bearer_to(pki: &Pki, origin: &Origin, rule: &str) -> Sidecar {
    let port = origin.port();
    Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ name: api, host: api.test, port: {port}, connection: api, networks: [127.0.0.0/8]{rule} }}\n"
        ))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", SECRET)])
        .trusts(pki)
        .host("api.test", origin)
        .start()
        .await
}

fn url(origin: &Origin, path: &str) -> String {
    format!("https://api.test:{}{path}", origin.port())
}

#[tokio::test]
async fn a_credential_is_added_on_the_way_and_nothing_comes_back() {
    let (sidecar, origin) = bearer("").await;
    let request = Request::get(url(&origin, "/v1/items?q=1"))
        .header("authorization", "Bearer placeholder")
        .header("x-agent", "1")
        .body(Full::default())
        .unwrap();
    let answer = sidecar.agent.https(request).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
    let received = origin.only();
    assert_eq!(received.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!((received.header("x-agent"), received.target.as_str()), ("1", "/v1/items?q=1"));
    assert_eq!(received.version, Version::HTTP_2);
    let outcome = &sidecar.outcomes(1).await[0];
    assert_eq!((&outcome["end"], &outcome["status"]), (&json!("done"), &json!(200)));
}

#[tokio::test]
async fn h2_towards_the_agent_and_http1_towards_the_destination() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = bearer_to(&pki, &origin, "").await;
    let request = Request::post(url(&origin, "/v1")).body(Full::new(Bytes::from_static(b"hello"))).unwrap();
    let answer = sidecar.agent.h2(request).await;
    assert_eq!(answer.status, 200);
    let received = origin.only();
    assert_eq!((received.version, &received.body[..]), (Version::HTTP_11, &b"hello"[..]));
    assert_eq!(received.header("authorization"), format!("Bearer {SECRET}"));
}

#[tokio::test]
async fn plain_http_is_upgraded_where_a_credential_is_added() {
    let (sidecar, origin) = bearer("").await;
    let answer = sidecar.agent.get_plain(&url(&origin, "/x").replace("https", "http")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(origin.only().header("authorization"), format!("Bearer {SECRET}"));
}

#[tokio::test]
async fn plain_http_is_forwarded_where_a_rule_says_so() {
    let origin = Origin::plain().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: plain.test, port: {}, action: forward, networks: [127.0.0.1/32] }}\n",
            origin.port()
        ))
        .host("plain.test", &origin)
        .start()
        .await;
    let answer = sidecar.agent.get_plain(&format!("http://plain.test:{}/x?a=1", origin.port())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(origin.only().target, "/x?a=1");
}

#[tokio::test]
async fn what_no_rule_allows_is_refused_the_same_everywhere() {
    let (sidecar, origin) = bearer(", method: GET").await;
    let denied = sidecar.agent.get("https://other.test/").await;
    assert_eq!((denied.status.as_u16(), denied.code().as_str()), (403, "POLICY_DENIED"));
    let denied = sidecar.agent.get_plain("http://other.test/").await;
    assert_eq!((denied.status.as_u16(), denied.code().as_str()), (403, "POLICY_DENIED"));
    {
        let request = Request::delete(url(&origin, "/x")).body(Full::default()).unwrap();
        let denied = sidecar.agent.https(request).await;
        assert_eq!((denied.status.as_u16(), denied.code().as_str()), (403, "POLICY_DENIED"));
    }
    let request = Request::delete(url(&origin, "/x")).body(Full::default()).unwrap();
    assert_eq!(sidecar.agent.h2(request).await.code(), "POLICY_DENIED");
    assert!(origin.received().is_empty());
    let outcomes = sidecar.outcomes(4).await;
    assert!(
        outcomes.iter().all(|outcome| outcome["end"] == "denied" && outcome["code"] == "POLICY_DENIED"),
        "{outcomes:#?}"
    );
}

#[tokio::test]
async fn a_special_address_needs_the_rules_word() {
    let origin = Origin::start(Speaks::Plain, crate::support::origin::ok).await;
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: plain.test, port: {}, action: forward }}\n", origin.port()))
        .host("plain.test", &origin)
        .start()
        .await;
    let denied = sidecar.agent.get_plain(&format!("http://plain.test:{}/", origin.port())).await;
    assert_eq!(denied.code(), "POLICY_DENIED");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn one_upstream_connection_serves_many_requests() {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", crate::support::origin::ok).await;
    let sidecar = bearer_to(&pki, &origin, "").await;
    for _ in 0..5 {
        assert_eq!(sidecar.agent.get(&url(&origin, "/")).await.status, 200);
    }
    assert_eq!((origin.received().len(), origin.connections()), (5, 1));
}
