//! A sidecar that borrows from the reference's Gateway and Broker: fakes of what is documented.

use std::time::{Duration, SystemTime};

use nexus_sidecar::config::{Dialect, SourceAuth};
use nexus_sidecar::telemetry::{Clock as _, SystemClock};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::gateway::{FakeGateway, Kept};
use crate::support::process::{Home, Running};
use crate::support::sidecar::Builder;
use crate::support::{Origin, Pki, Sidecar, Speaks};

const ID: &str = "2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f";
const HOUR: Duration = Duration::from_secs(3600);

/// A sidecar whose agents reach an origin as `/NAME` with the connection NAME.
fn borrowing(origin: &Origin, names: &[&str]) -> Builder {
    let port = origin.port();
    let rule = |name: &&str| {
        format!(
            "  - {{ host: 127.0.0.1, port: {port}, path: /{name}, connection: {name}, plaintext: true, \
             networks: [127.0.0.0/8] }}\n"
        )
    };
    Sidecar::builder().policy(format!("rules:\n{}", names.iter().map(rule).collect::<String>()))
}

async fn simply(gateway: &FakeGateway, origin: &Origin) -> Sidecar {
    with_source(borrowing(origin, &["jira"]), gateway, SourceAuth::default(), None, &[("jira", ID)]).start().await
}

/// The same with this as the only source.
fn with_source(
    builder: Builder,
    gateway: &FakeGateway,
    auth: SourceAuth,
    trusted: Option<&Pki>,
    ids: &[(&str, &str)],
) -> Builder {
    let ca_file = trusted.map(|pki| gateway.file("ca.pem", &pki.pem));
    builder.configure(gateway.source(auth, ca_file, ids))
}

/// The header that arrived, or the refusal.
async fn asks(sidecar: &Sidecar, origin: &Origin, name: &str) -> String {
    let answer = sidecar.agent.get_plain(&format!("http://127.0.0.1:{}/{name}", origin.port())).await;
    match answer.status.as_u16() {
        200 => origin.received().last().unwrap().header("authorization").to_owned(),
        status => format!("{status} {}", answer.code()),
    }
}

#[tokio::test]
async fn a_gateway_lends_over_verified_tls_to_who_shows_the_bearer() {
    let (pki, others, origin) = (Pki::new(), Pki::new(), Origin::plain().await);
    let gateway = FakeGateway::tls(Dialect::Gateway, &pki, None).await;
    gateway.keeps(ID, Kept::oauth("canary-1", Duration::ZERO));
    for trusted in [&pki, &others] {
        let auth = SourceAuth { key_file: Some(gateway.file("key", "canary-key\n")), client: None };
        let builder = borrowing(&origin, &["jira"]);
        let sidecar = with_source(builder, &gateway, auth, Some(trusted), &[("jira", ID)]).start().await;
        let before = gateway.asked().len();
        let said = asks(&sidecar, &origin, "jira").await;
        if std::ptr::eq(trusted, &pki) {
            assert_eq!(said, "Bearer canary-1");
            let asked = gateway.asked();
            assert_eq!(asked.len(), 1, "{asked:?}");
            assert_eq!(asked[0].what, format!("GET /v1/token/{ID}"));
            assert_eq!(asked[0].authorization.as_deref(), Some("Bearer canary-key"));
            assert!(asked[0].api_key.is_none() && !asked[0].certificate);
        } else {
            assert_eq!(said, "503 AUTHORITY_UNAVAILABLE");
            assert_eq!(gateway.asked().len(), before, "the key went to somebody else");
        }
    }
}

#[tokio::test]
async fn a_broker_takes_a_key_and_a_certificate_which_may_be_exchanged() {
    let (pki, clients, others, origin) = (Pki::new(), Pki::new(), Pki::named("others"), Origin::plain().await);
    let broker = FakeGateway::tls(Dialect::Broker, &pki, Some(&clients)).await;
    broker.keeps(ID, Kept::oauth("canary-1", 2 * HOUR));
    let key_file = Some(broker.file("key", "canary-key\n"));
    // Nothing is shown, and then what somebody else signed.
    let auth = SourceAuth { key_file: key_file.clone(), client: None };
    let sidecar = with_source(borrowing(&origin, &["jira"]), &broker, auth, Some(&pki), &[("jira", ID)]).start().await;
    assert_eq!(asks(&sidecar, &origin, "jira").await, "503 AUTHORITY_UNAVAILABLE");
    let auth = SourceAuth { key_file, client: Some(broker.certificate(&others)) };
    let sidecar = with_source(borrowing(&origin, &["jira"]), &broker, auth, Some(&pki), &[("jira", ID)]).start().await;
    assert_eq!(asks(&sidecar, &origin, "jira").await, "503 AUTHORITY_UNAVAILABLE");
    assert!(broker.asked().is_empty());
    // The files are read again.
    broker.certificate(&clients);
    assert_eq!(asks(&sidecar, &origin, "jira").await, "Bearer canary-1+1");
    let asked = broker.asked();
    let what: Vec<_> = asked.iter().map(|asked| asked.what.replace(ID, "ID")).collect();
    assert_eq!(what, ["GET /connections/ID/token", "POST /connections/ID/refresh", "GET /connections/ID/token"]);
    assert!(asked.iter().all(|asked| asked.certificate && asked.api_key.as_deref() == Some("canary-key")));
    assert!(asked.iter().all(|asked| asked.authorization.is_none()), "{asked:?}");
}

/// The reference would lose the connection to two refreshes at once: its issuer rotates.
#[tokio::test]
async fn what_has_ended_is_renewed_once_for_all_who_ask() {
    for dialect in [Dialect::Gateway, Dialect::Broker] {
        let (gateway, origin) = (FakeGateway::plain(dialect).await, Origin::plain().await);
        gateway.keeps(ID, Kept { offset: true, ..Kept::oauth("canary-1", HOUR) });
        let gate = gateway.holds_refreshes();
        let builder = borrowing(&origin, &["jira", "other"]).agent("one", "pw").agent("two", "pw");
        let ids = [("jira", ID), ("other", ID)];
        let sidecar = with_source(builder, &gateway, SourceAuth::default(), None, &ids).start().await;
        let url = |name: &str| format!("http://127.0.0.1:{}/{name}", origin.port());
        let mut asking = tokio::task::JoinSet::new();
        for agent in ["one", "two"] {
            for name in ["jira", "other"] {
                for _ in 0..5 {
                    let (mut caller, url) = (sidecar.agent.clone(), url(name));
                    caller.credentials = Some((agent.to_owned(), "pw".to_owned()));
                    asking.spawn(async move { caller.get_plain(&url).await.status });
                }
            }
        }
        gateway.is_asked("refresh", 1).await;
        gateway.is_asked("token", 4).await;
        gate.add_permits(100);
        while let Some(status) = asking.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
        assert_eq!((gateway.count("refresh"), gateway.finds(ID)), (1, "active"), "{:?}", gateway.asked());
        assert!(origin.received().iter().all(|seen| seen.header("authorization") == "Bearer canary-1+1"));
    }
}

/// A refresh that nobody waits for any more goes on, and the next asker gets what it brought.
#[tokio::test]
async fn a_refresh_that_takes_longer_than_its_asker_waits_is_not_begun_again() {
    let (gateway, origin) = (FakeGateway::plain(Dialect::Gateway).await, Origin::plain().await);
    gateway.keeps(ID, Kept::oauth("canary-1", HOUR));
    let gate = gateway.holds_refreshes();
    let builder = borrowing(&origin, &["jira"]).configure(|config| config.timeouts.lease = Duration::from_millis(300));
    let sidecar = with_source(builder, &gateway, SourceAuth::default(), None, &[("jira", ID)]).start().await;
    assert_eq!(asks(&sidecar, &origin, "jira").await, "503 AUTHORITY_UNAVAILABLE");
    gate.add_permits(1);
    let mut said = String::new();
    for _ in 0..100 {
        said = asks(&sidecar, &origin, "jira").await;
        if said.starts_with("Bearer") {
            break;
        }
    }
    assert_eq!((said.as_str(), gateway.count("refresh"), gateway.finds(ID)), ("Bearer canary-1+1", 1, "active"));
}

/// A token that its issuer ended early: the agent does not notice.
#[tokio::test]
async fn a_token_that_a_destination_refuses_is_renewed_and_the_request_asked_again() {
    let gateway = FakeGateway::plain(Dialect::Broker).await;
    let origin = Origin::start(Speaks::Plain, |seen| {
        let good = seen.header("authorization") != "Bearer canary-1" || seen.target.ends_with("/before");
        let mut response = http::Response::new(http_body_util::Full::default());
        *response.status_mut() = if good { http::StatusCode::OK } else { http::StatusCode::UNAUTHORIZED };
        response
    })
    .await;
    gateway.keeps(ID, Kept::oauth("canary-1", Duration::ZERO));
    let rule = "connection: jira, plaintext: true, networks: [127.0.0.0/8]";
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {}, {rule} }}\n", origin.port()))
        .at(SystemClock.wall())
        .configure(gateway.source(SourceAuth::default(), None, &[("jira", ID)]))
        .start()
        .await;
    let url = |path: &str| format!("http://127.0.0.1:{}/{path}", origin.port());
    assert_eq!(sidecar.agent.get_plain(&url("before")).await.status, 200);
    sidecar.advance(Duration::from_secs(31));
    assert_eq!(sidecar.agent.get_plain(&url("after")).await.status, 200);
    let seen: Vec<_> = origin.received().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(seen, ["Bearer canary-1", "Bearer canary-1", "Bearer canary-1+1"]);
    assert_eq!(gateway.count("refresh"), 1);
}

#[tokio::test]
async fn each_state_has_its_answer_to_the_agent() {
    let gone = |status: u16, body: &str| Some((status, body.to_owned()));
    for dialect in [Dialect::Gateway, Dialect::Broker] {
        let (gateway, origin) = (FakeGateway::plain(dialect).await, Origin::plain().await);
        let sidecar = simply(&gateway, &origin).await;
        assert_eq!(asks(&sidecar, &origin, "jira").await, "404 CONNECTION_NOT_FOUND");
        let kept = Kept::oauth("canary-1", HOUR);
        let key = |stored: Value| Kept {
            issued: SystemClock.wall() - HOUR,
            ..Kept::fixed(json!({"type": "api_key"}), stored)
        };
        let mut no_refresh = kept.clone();
        no_refresh.stored.as_object_mut().unwrap().remove("refresh_token");
        for (kept, want) in [
            (Kept { state: "pending", ..kept.clone() }, "409 CONNECTION_NOT_READY"),
            (Kept { state: "attention", ..kept.clone() }, "409 ATTENTION_REQUIRED"),
            (Kept { refresh: gone(409, "{}"), ..kept.clone() }, "409 ATTENTION_REQUIRED"),
            (Kept { refresh: gone(502, ""), ..kept.clone() }, "503 AUTHORITY_UNAVAILABLE"),
            (Kept { refresh: gone(200, "{}"), ..kept.clone() }, "502 CREDENTIAL_UNUSABLE"),
            (Kept { refresh: gone(200, r#"{"error":"x"}"#), ..kept.clone() }, "502 CREDENTIAL_UNUSABLE"),
            (no_refresh, "410 CONNECTION_EXPIRED"),
            (key(json!({"api_key": "canary", "expires_in": 60})), "410 CONNECTION_EXPIRED"),
            (key(json!({"api_key": 7})), "502 CREDENTIAL_UNUSABLE"),
            (Kept::fixed(json!({"type": "magic"}), json!({"api_key": "canary"})), "502 CREDENTIAL_UNUSABLE"),
            (Kept::fixed(json!({}), json!({"api_key": "canary"})), "502 CREDENTIAL_UNUSABLE"),
            (Kept::fixed(json!({"type": "header"}), Value::Null), "502 CREDENTIAL_UNUSABLE"),
            (Kept { instead: gone(200, ""), ..kept.clone() }, "502 CREDENTIAL_UNUSABLE"),
            (Kept { instead: gone(200, "{}"), ..kept.clone() }, "502 CREDENTIAL_UNUSABLE"),
            (Kept { instead: gone(200, &"x".repeat(1 << 20)), ..kept.clone() }, "502 CREDENTIAL_UNUSABLE"),
            (Kept { instead: gone(500, ""), ..kept.clone() }, "503 AUTHORITY_UNAVAILABLE"),
            (Kept { instead: gone(302, ""), ..kept.clone() }, "503 AUTHORITY_UNAVAILABLE"),
        ] {
            gateway.keeps(ID, kept);
            assert_eq!(asks(&sidecar, &origin, "jira").await, want, "{dialect:?}");
        }
        assert!(origin.received().is_empty());
    }
}

#[tokio::test]
async fn every_form_of_an_end_and_of_a_strategy_is_put_to_use() {
    let soon = SystemClock.wall() + HOUR;
    let unix = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let text = OffsetDateTime::from(soon).format(&Rfc3339).unwrap();
    let header = json!({"type": "header", "config": {"header_name": "Authorization", "value_prefix": "Token "}});
    for (strategy, stored, want) in [
        (json!({"type": "api_key", "config": null}), json!({"api_key": "  k 1  "}), "k 1"),
        (json!({"type": "header"}), json!({"api_key": "k-123", "expires_at": unix}), "k-123"),
        (header, json!({"api_key": "k-123", "expiry": text}), "Token k-123"),
        (
            json!({"type": "basic_auth"}),
            json!({"username": "us\u{e9}r", "password": "p:ss w\u{f6}rd"}),
            "Basic dXPDqXI6cDpzcyB3w7ZyZA==",
        ),
        (Value::Null, json!({"access_token": "at", "expires_at": unix.to_string(), "expires_in": "9"}), "Bearer at"),
    ] {
        let (gateway, origin) = (FakeGateway::plain(Dialect::Gateway).await, Origin::plain().await);
        gateway.keeps(ID, Kept::fixed(strategy, stored));
        let sidecar = simply(&gateway, &origin).await;
        assert_eq!(asks(&sidecar, &origin, "jira").await, want);
        assert_eq!(sidecar.status().await["sources"][0]["dialect"], "gateway");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_asks_a_source_how_it_is_and_shows_its_key_to_nobody_else() {
    let (pki, others) = (Pki::new(), Pki::new());
    let gateway = FakeGateway::tls(Dialect::Gateway, &pki, None).await;
    let home = Home::new();
    home.secret("key", "canary-key\n");
    let written = |trusted: &Pki, auth: &str| {
        home.write("ca.pem", &trusted.pem);
        home.write("policy.yaml", "version: 1\nrules: [{ name: r, host: a.test, connection: jira }]\n");
        home.write(
            "c.yaml",
            &format!(
                "version: 1\nanonymous: allow\npolicy: [policy.yaml]\nupstream: {{ hosts: {{ gw.test: 127.0.0.1 }} }}\n\
                 sources: {{ g: {{ url: '{}', dialect: gateway, auth: {auth}, ca_file: ca.pem }} }}\n\
                 connections: {{ jira: {{ source: g, id: {ID}, hosts: a.test }} }}\n",
                gateway.url()
            ),
        );
        let home = &home;
        let run = || home.run(["doctor", "--config", "c.yaml", "--json"]);
        tokio::task::block_in_place(run)
    };
    let ended = written(&pki, "{ bearer_file: key }");
    let says = |out: &str, level: &str, words: &str| {
        let report: Value = serde_json::from_str(out).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().any(|check| check["level"] == level && check.to_string().contains(words));
        assert!(found, "no {level} {words:?} in {report:#}");
    };
    says(&ended.out, "ok", "answers as a gateway that is healthy");
    says(&ended.out, "ok", "key of g");
    assert!(!ended.out.contains("canary"), "{}", ended.out);
    let asked = gateway.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].what.as_str(), asked[0].authorization.as_deref()), ("GET /health", Some("Bearer canary-key")));
    let ended = written(&others, "{ bearer_file: key }");
    says(&ended.out, "fail", "look at the source's url, dialect and ca_file");
    assert_eq!((ended.code, gateway.asked().len()), (Some(1), 1), "the key went to somebody else");
    let (cert, key) = pki.client("sidecar.test");
    home.write("client.crt", &cert);
    home.write("client.key", &key);
    let ended = written(&pki, "{ client_cert_file: client.crt, client_key_file: client.key }");
    says(&ended.out, "fail", "certificate key of g");
    says(&ended.out, "fail", "client.key");
}

/// The Authority service itself, which knows this sidecar by its certificate alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_knows_a_sidecar_by_its_certificate() {
    let (pki, clients, origin, there) = (Pki::new(), Pki::new(), Origin::plain().await, Home::new());
    there.connect("jira", "127.0.0.1", "canary-jira");
    for args in [&["authority", "agent", "add", "anonymous"][..], &["authority", "allow", "anonymous", "jira"]] {
        assert_eq!(there.run(args.iter().copied()).code, Some(0));
    }
    let (cert, key) = pki.pair("gw.test");
    there.write("tls.crt", &cert);
    there.secret("tls.key", &key);
    there.write("clients.pem", &clients.pem);
    let tls = "tls: { cert_file: tls.crt, key_file: tls.key, client_ca_file: clients.pem }";
    let known = "clients: [{ san: sidecar.test, scope: sidecar, agents: [anonymous] }]";
    there.write("c.yaml", &format!("version: 1\nauthority: {{ listen: '127.0.0.1:0', {tls}, {known} }}\n"));
    let authority = Running::start(there.command(["authority", "serve", "--config", "c.yaml"]));
    let port = authority.address("authority").port();
    let here = Home::new();
    here.write("ca.pem", &pki.pem);
    let rule = "connection: jira, plaintext: true, networks: [127.0.0.0/8]";
    let policy = format!("version: 1\nrules: [{{ host: 127.0.0.1, port: {}, {rule} }}]\n", origin.port());
    let auth = "{ client_cert_file: client.crt, client_key_file: client.key }";
    let more = format!(
        "upstream: {{ hosts: {{ gw.test: 127.0.0.1 }} }}\n\
         sources: {{ fleet: {{ url: 'https://gw.test:{port}', dialect: nexus, auth: {auth}, ca_file: ca.pem }} }}\n"
    );
    for (name, want) in [("other.test", "AUTHORITY_UNAVAILABLE"), ("sidecar.test", "")] {
        let (cert, key) = clients.client(name);
        here.write("client.crt", &cert);
        here.secret("client.key", &key);
        let proxy = here.proxy(&policy, &more);
        let answer = proxy.agent.get_plain(&format!("http://127.0.0.1:{}/", origin.port())).await;
        match want {
            "" => {
                assert_eq!((answer.status.as_u16(), origin.only().header("authorization")), (200, "Bearer canary-jira"))
            }
            code => assert_eq!(answer.code(), code),
        }
    }
    std::fs::set_permissions(here.path("client.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let ended = here.run(["proxy", "--config", "nexus-sidecar.yaml"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("client.key") && ended.err.contains("0644"), "{}", ended.err);
}
