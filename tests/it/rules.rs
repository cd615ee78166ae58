//! Rules over the wire: ports, upgrade to https, the readings of a path, methods that echo.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::support::{Answer, Origin, Pki, Sidecar, Speaks, origin};

/// Rules for `api.test` and an origin behind TLS; `PORT` in the rules is its port.
async fn rules(text: &str) -> (Sidecar, Origin) {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let sidecar = Sidecar::builder()
        .policy(text.replace("PORT", &origin.port().to_string()))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", "canary-90aa")])
        .trusts(&pki)
        .host("api.test", &origin)
        .start()
        .await;
    (sidecar, origin)
}

async fn ask(sidecar: &Sidecar, origin: &Origin, method: &str, path: &str) -> Answer {
    // Raw, so that no library spells the path anew.
    sidecar.agent.plain(method, &format!("http://api.test:{}{path}", origin.port()), &[], b"").await
}

fn denied(answer: &Answer) -> bool {
    answer.status == 403 && answer.code() == "POLICY_DENIED"
}

#[tokio::test]
async fn without_a_port_a_rule_means_its_default() {
    let Some(low) = Origin::reserved(443).await else {
        return crate::left_out::say("default ports (a user here cannot listen on port 443)");
    };
    let pki = Pki::new();
    let server = Speaks::Tls(pki.server(&["api.test"], &[b"http/1.1"]));
    let origin = Origin::on(low, server, origin::ok);
    let sidecar = Sidecar::builder()
        .policy("rules:\n  - { host: api.test, connection: api, networks: [127.0.0.0/8] }\n")
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", "canary-90aa")])
        .trusts(&pki)
        .host("api.test", &origin)
        .start()
        .await;
    for url in ["http://api.test/", "http://api.test:80/", "http://api.test:443/", "https://api.test/"] {
        let answer = sidecar.agent.plain("GET", url, &[], b"").await;
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
    }
    assert_eq!(sidecar.agent.get("https://api.test/").await.status, 200);
    assert_eq!(sidecar.agent.get("https://api.test:443/").await.status, 200);
    assert!(origin.received().iter().all(|received| received.header("host") == "api.test"));
    assert!(origin.received().iter().all(|received| received.header("authorization") == "Bearer canary-90aa"));
    for url in ["http://api.test:8080/", "https://api.test:8443/", "https://api.test:80/"] {
        assert!(denied(&sidecar.agent.plain("GET", url, &[], b"").await), "{url}");
    }
    assert!(denied(&sidecar.agent.get("https://api.test:8443/").await));
}

#[tokio::test]
async fn forward_means_the_schemes_port_and_deny_every_port() {
    let Some(low) = Origin::reserved(80).await else {
        return crate::left_out::say("default ports (a user here cannot listen on port 80)");
    };
    let origin = Origin::on(low, Speaks::Plain, origin::ok);
    let sidecar = Sidecar::builder()
        .policy(
            "rules:\n  - { host: api.test, path: /secret/**, action: deny }\n  \
             - { host: api.test, action: forward, networks: [127.0.0.0/8] }\n  \
             - { host: api.test, port: [80, 8080], path: /secret/**, action: forward }\n",
        )
        .host("api.test", &origin)
        .start()
        .await;
    assert_eq!(sidecar.agent.get_plain("http://api.test/x").await.status, 200);
    assert_eq!(origin.only().header("host"), "api.test");
    for url in
        ["http://api.test:8080/x", "http://api.test:443/x", "http://api.test/secret/a", "http://api.test:8080/secret/a"]
    {
        assert!(denied(&sidecar.agent.get_plain(url).await), "{url}");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_deny_rule_matches_every_common_reading_of_a_path() {
    let (sidecar, origin) = rules(
        "rules:\n  - { host: api.test, path: /admin/**, action: deny }\n  \
         - { host: api.test, port: PORT, connection: api, networks: [127.0.0.0/8] }\n",
    )
    .await;
    for path in [
        "/admin/x",
        "/ADMIN/x",
        "//admin/x",
        "/admin//x",
        "/%61dmin/x",
        "/admin%2Fx",
        "/admin%2fx",
        "/admin;a=1/x",
        "/%2561dmin/x",
    ] {
        assert!(denied(&ask(&sidecar, &origin, "GET", path).await), "{path}");
    }
    for path in
        ["/a/../admin/x", "/a/..;/admin/x", "/a/%2e%2e/admin/x", "/./admin/x", "/admin\\x", "/a/%252e%252e/admin"]
    {
        let answer = ask(&sidecar, &origin, "GET", path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "INVALID_REQUEST"), "{path}");
    }
    assert!(origin.received().is_empty());
    for path in ["/administer", "/x/admin", "/a%2Fb", "/a//b", "/%7Euser"] {
        assert_eq!(ask(&sidecar, &origin, "GET", path).await.status, 200, "{path}");
    }
    let targets: Vec<_> = origin.received().into_iter().map(|received| received.target).collect();
    assert_eq!(targets, ["/administer", "/x/admin", "/a%2Fb", "/a//b", "/~user"]);
}

#[tokio::test]
async fn an_allowing_rule_matches_the_one_form_alone() {
    let (sidecar, origin) = rules(
        "rules:\n  - { host: api.test, port: PORT, method: GET, path: /v1/*, connection: api, networks: [127.0.0.0/8] }\n",
    )
    .await;
    for path in ["/V1/x", "//v1/x", "/v1//x", "/v1/x/y", "/v1%2Fx", "/v1", "/v1x/y"] {
        assert!(denied(&ask(&sidecar, &origin, "GET", path).await), "{path}");
    }
    for path in ["/v1/x", "/%76%31/x", "/v1/a%2fb"] {
        assert_eq!(ask(&sidecar, &origin, "GET", path).await.status, 200, "{path}");
    }
    let targets: Vec<_> = origin.received().into_iter().map(|received| received.target).collect();
    assert_eq!(targets, ["/v1/x", "/v1/x", "/v1/a%2Fb"]);
}

#[tokio::test]
async fn strict_path_refuses_what_may_be_read_in_two_ways() {
    let (sidecar, origin) = rules(
        "rules:\n  - { host: api.test, port: PORT, strict_path: true, connection: api, networks: [127.0.0.0/8] }\n",
    )
    .await;
    for path in ["/a//b", "/a%2Fb", "/a;x/b", "/a%2561"] {
        assert!(denied(&ask(&sidecar, &origin, "GET", path).await), "{path}");
    }
    assert!(origin.received().is_empty());
    for path in ["/a/b", "/%61/b", "/a%20b"] {
        assert_eq!(ask(&sidecar, &origin, "GET", path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn methods_that_echo_a_request_are_refused() {
    let (sidecar, origin) =
        rules("rules:\n  - { host: api.test, port: PORT, connection: api, networks: [127.0.0.0/8] }\n").await;
    for method in ["TRACE", "TRACK", "trace", "Track"] {
        let answer = ask(&sidecar, &origin, method, "/").await;
        assert!(denied(&answer), "{method}: {answer:?}");
    }
    let request = Request::builder().method("TRACE").uri(format!("https://api.test:{}/", origin.port()));
    assert!(denied(&sidecar.agent.h2(request.body(Full::<Bytes>::default()).unwrap()).await));
    assert!(origin.received().is_empty());
}

#[tokio::test]
async fn a_parameter_that_overrides_the_method_is_refused() {
    let (sidecar, origin) =
        rules("rules:\n  - { host: api.test, port: PORT, method: POST, connection: api, networks: [127.0.0.0/8] }\n")
            .await;
    for query in ["_method=DELETE", "a=1&_METHOD=delete", "%5Fmethod=DELETE"] {
        assert!(denied(&ask(&sidecar, &origin, "POST", &format!("/x?{query}")).await), "{query}");
    }
    assert!(origin.received().is_empty());
}

/// Which rule refused stands in the record; what another agent may do stands nowhere.
#[tokio::test]
async fn a_rule_for_one_agent_is_none_for_another() {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, "api.test").await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, agent: triage, connection: api, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", "canary-90aa")])
        .trusts(&pki)
        .host("api.test", &origin)
        .agent("triage", "pw-1")
        .agent("other", "pw-2")
        .start()
        .await;
    let url = format!("https://api.test:{}/", origin.port());
    assert_eq!(sidecar.agent.get(&url).await.status, 200);
    let refused = sidecar.agent.named("other", "pw-2").get(&url).await;
    assert!(denied(&refused));
    assert!(!String::from_utf8_lossy(&refused.body).contains("triage"));
    for (name, password) in [("triage", "pw-2"), ("triage", ""), ("nobody", "pw-1")] {
        let refused = sidecar.agent.named(name, password).get(&url).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (407, "PROXY_AUTHENTICATION_REQUIRED"));
        assert!(refused.headers.contains_key("proxy-authenticate"));
    }
    assert_eq!(origin.received().len(), 1);
}

/// What one agent's connection to a destination saw is not for another to continue.
#[tokio::test]
async fn two_agents_share_no_upstream_connection() {
    let origin = Origin::plain().await;
    let sidecar = Sidecar::forwarding(&origin).agent("a", "pw-a").agent("b", "pw-b").start().await;
    let url = format!("http://plain.test:{}/", origin.port());
    let (a, b) = (sidecar.agent.clone(), sidecar.agent.named("b", "pw-b"));
    for (agent, connections) in [(&a, 1), (&b, 2), (&a, 2), (&b, 2)] {
        assert_eq!(agent.get_plain(&url).await.status, 200);
        assert_eq!(origin.connections(), connections);
    }
}
