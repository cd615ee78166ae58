//! Header rules both ways.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{Origin, Pki, Received, Sidecar};

const SECRET: &str = "canary-5d1f93c07b";

async fn injecting(
    strategy: Value,
    rule: &str,
    respond: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> (Sidecar, Origin) {
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", respond).await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, connection: api, networks: [127.0.0.0/8]{rule} }}\n",
            origin.port()
        ))
        .connection("api", strategy, &["api.test"], &[("access_token", SECRET), ("api_key", SECRET)])
        .trusts(&pki)
        .host("api.test", &origin)
        .start()
        .await;
    (sidecar, origin)
}

fn url(origin: &Origin) -> String {
    format!("http://api.test:{}/x", origin.port())
}

fn ok(_: &Received) -> Response<Full<Bytes>> {
    Response::new(Full::default())
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

const OWN: [(&str, &str); 18] = [
    ("Connection", "X-Hop, Authorization"),
    ("X-Hop", "1"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Upgrade", "h2c"),
    ("TE", "gzip"),
    ("Authorization", "Bearer own"),
    ("X-Api-Key", "own"),
    ("Private-Token", "own"),
    ("Cookie", "session=own"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/admin"),
    ("X-Rewrite-URL", "/admin"),
    ("X-Forwarded-Host", "evil.test"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("Forwarded", "host=evil.test"),
    ("X-Nexus-Error", "x"),
    ("X-Kept", "1"),
];

#[tokio::test]
async fn what_an_agent_may_not_send_along_a_credential() {
    let (sidecar, origin) = injecting(json!({"type": "oauth2"}), "", ok).await;
    let answer = sidecar.agent.plain("GET", &url(&origin), &OWN, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let received = origin.only();
    assert_eq!(names(&received.headers), ["authorization", "host", "x-kept"]);
    assert_eq!(received.header("authorization"), format!("Bearer {SECRET}"));
}

#[tokio::test]
async fn pass_headers_names_cookies_and_overrides_and_nothing_else() {
    let rule = ", pass_headers: [cookie, x-http-method-override, x-forwarded-for]";
    let (sidecar, origin) = injecting(json!({"type": "oauth2"}), rule, ok).await;
    let answer = sidecar.agent.plain("GET", &url(&origin), &OWN, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let received = origin.only();
    assert_eq!(
        names(&received.headers),
        ["authorization", "cookie", "host", "x-forwarded-for", "x-http-method-override", "x-kept"]
    );
    assert_eq!(received.header("authorization"), format!("Bearer {SECRET}"));
}

/// Origins that make variables of headers (RFC 3875, section 4.1.18) read `X_A` as `X-A`.
#[tokio::test]
async fn no_spelling_with_underscores_gets_past() {
    let strategy = json!({"type": "header", "config": {"header_name": "X-Vendor"}});
    let (sidecar, origin) = injecting(strategy, "", ok).await;
    let own = [
        ("X_Vendor", "own"),
        ("X_Api_Key", "own"),
        ("X_HTTP_Method_Override", "DELETE"),
        ("X_Forwarded-Host", "evil.test"),
        ("Proxy_Authorization", "own"),
        ("X_Kept", "1"),
    ];
    sidecar.agent.plain("GET", &url(&origin), &own, b"").await;
    let received = origin.only();
    assert_eq!(names(&received.headers), ["host", "x-vendor", "x_kept"]);
    assert_eq!(received.header("x-vendor"), SECRET);
}

/// RFC 9110, section 7.6.1: what `Connection` names belongs to this hop, an injected header never.
#[tokio::test]
async fn a_nominated_header_is_injected_all_the_same() {
    let strategy = json!({"type": "header", "config": {"header_name": "X-Vendor"}});
    let (sidecar, origin) = injecting(strategy, "", ok).await;
    let own = [("Connection", "x-vendor, close"), ("X-Vendor", "own")];
    sidecar.agent.plain("GET", &url(&origin), &own, b"").await;
    assert_eq!(origin.only().header("x-vendor"), SECRET);
}

#[tokio::test]
async fn where_nothing_is_injected_only_the_hop_ends() {
    let origin = Origin::plain().await;
    let sidecar = Sidecar::forwarding(&origin).agent("a", "pw-a").start().await;
    sidecar.agent.plain("GET", &format!("http://plain.test:{}/", origin.port()), &OWN, b"").await;
    let received = origin.only();
    for kept in ["cookie", "x-api-key", "x-forwarded-for", "x-http-method-override", "x-kept"] {
        assert!(received.headers.contains_key(kept), "{kept}");
    }
    // `Connection` names `Authorization` here, so that it ends with the hop too.
    for gone in ["x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "te", "authorization"] {
        assert!(!received.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn what_does_not_come_back_where_a_connection_speaks() {
    let (sidecar, origin) = injecting(json!({"type": "oauth2"}), "", |_| {
        let token = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, SECRET);
        Response::builder()
            .status(302)
            .header("set-cookie", "session=1")
            .header("set-cookie", "other=2")
            .header("alt-svc", "h3=\":443\"")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-nexus-error", "POLICY_DENIED")
            .header("proxy-status", "nexus-sidecar; error=x")
            .header("location", format!("https://api.test/next?access_token={SECRET}"))
            .header("x-echo", format!("Bearer {SECRET}"))
            .header("x-echo-base64", token)
            .header("x-kept", "1")
            .body(Full::default())
            .unwrap()
    })
    .await;
    let answer = sidecar.agent.plain("GET", &url(&origin), &[], b"").await;
    assert_eq!(answer.status, 302);
    let kept: Vec<_> =
        names(&answer.headers).into_iter().filter(|name| !matches!(*name, "date" | "content-length")).collect();
    assert_eq!(kept, ["x-kept"], "{:?}", answer.headers);
    assert!(!format!("{:?}", sidecar.audit()).contains(SECRET));
}

/// A query parameter is easily repeated in a `Location`, by its encoded bytes.
#[tokio::test]
async fn a_parameter_that_an_answer_repeats_is_dropped() {
    let strategy = json!({"type": "query_param", "config": {"param_name": "key"}});
    let (sidecar, origin) = injecting(strategy, "", |received| {
        Response::builder()
            .status(301)
            .header("location", format!("https://api.test{}&moved=1", received.target))
            .header("link", "<https://api.test/next>; rel=next")
            .body(Full::default())
            .unwrap()
    })
    .await;
    let answer = sidecar.agent.plain("GET", &url(&origin), &[], b"").await;
    assert_eq!(origin.only().target, format!("/x?key={SECRET}"));
    assert_eq!(answer.status, 301);
    assert!(!answer.headers.contains_key("location") && answer.headers.contains_key("link"), "{:?}", answer.headers);
    assert!(!format!("{:?}", sidecar.outcomes(1).await).contains(SECRET));
}
