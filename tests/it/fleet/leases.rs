//! Asking: what is sent, what an answer means, and what is thrown away.

use std::sync::Arc;

use nexus_sidecar::config::{ConnectionAt, ConnectionConfig};
use serde_json::json;
use tokio::sync::Notify;

use super::{ID, about, borrowing, borrowing_as, granted, heard, lends, url};
use crate::support::authority::{Given, loan};
use crate::support::{FakeAuthority, Origin, Pki, Sidecar};

const LEASES: &str = "POST /api/v2/leases";

#[tokio::test]
async fn a_lease_comes_over_verified_tls_and_is_put_on() {
    let (pki, others) = (Pki::new(), Pki::new());
    let authority = FakeAuthority::tls(&pki).await;
    let origin = Origin::plain().await;
    authority.lends("jira", Given::of(200, &loan(ID, "jira", &["127.0.0.1"], "canary-1", 10)));
    for trusted in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, if trusted { &pki.pem } else { &others.pem }).unwrap();
        let sidecar = Sidecar::builder()
            .policy(format!(
                "rules:\n  - {{ host: 127.0.0.1, port: {}, connection: jira, plaintext: true, networks: [127.0.0.0/8] }}\n",
                origin.port()
            ))
            .borrows_from(&authority)
            .configure(move |config| {
                config.remote.as_mut().unwrap().ca_file = Some(file);
                let name = nexus_sidecar::model::Host::parse("nexus.test").unwrap();
                config.upstream.hosts.insert(name, "127.0.0.1".parse().unwrap());
            })
            .start()
            .await;
        let before = authority.count(LEASES);
        let answer = sidecar.agent.get_plain(&format!("http://127.0.0.1:{}/", origin.port())).await;
        if trusted {
            assert_eq!(answer.status, 200);
            assert_eq!(origin.only().header("authorization"), "Bearer canary-1");
            let asked = authority.asked().into_iter().find(|asked| asked.what == LEASES).unwrap();
            assert_eq!(asked.body, json!({ "agent": "anonymous", "connection": "jira", "host": "127.0.0.1" }));
            assert_eq!(asked.key.as_deref(), Some("Bearer nx_live_key"));
        } else {
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "AUTHORITY_UNAVAILABLE"));
            assert_eq!(authority.count(LEASES), before, "the key went to somebody else");
        }
    }
}

#[tokio::test]
async fn each_answer_has_its_meaning_to_the_agent() {
    let authority = FakeAuthority::plain().await;
    let (sidecar, origin) = borrowing(&authority).await;
    let mut other = loan(ID, "github", &["127.0.0.1"], "canary-1", 1_000);
    let elsewhere = loan(ID, "jira", &["api.test"], "canary-1", 1_000);
    let mut endless = loan(ID, "jira", &["127.0.0.1"], "canary-1", 1_000);
    endless.as_object_mut().unwrap().remove("expires_in");
    let mut ended = endless.clone();
    ended["expires_at"] = json!("2020-01-01T00:00:00Z");
    other["id"] = json!("x");
    for (given, status, code) in [
        (Given::refusal(404, "CONNECTION_NOT_FOUND"), 404, "CONNECTION_NOT_FOUND"),
        (Given::refusal(409, "CONNECTION_NOT_READY"), 409, "CONNECTION_NOT_READY"),
        (Given::refusal(409, "ATTENTION_REQUIRED"), 409, "ATTENTION_REQUIRED"),
        (Given::refusal(410, "CONNECTION_REVOKED"), 410, "CONNECTION_REVOKED"),
        (Given::refusal(410, "CONNECTION_EXPIRED"), 410, "CONNECTION_EXPIRED"),
        (Given::refusal(403, "POLICY_DENIED"), 403, "POLICY_DENIED"),
        (Given::refusal(501, "NOT_SUPPORTED"), 502, "CREDENTIAL_UNUSABLE"),
        (Given::refusal(503, "AUTHORITY_FROZEN"), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::refusal(429, "RATE_LIMITED"), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::refusal(410, "KEY_REVOKED"), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::refusal(403, "FORBIDDEN"), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::raw(404, "<html>"), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::raw(302, ""), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::raw(200, "{\"access_token\": \"canary-1"), 502, "CREDENTIAL_UNUSABLE"),
        (Given::raw(200, vec![b' '; 2 << 20]), 503, "AUTHORITY_UNAVAILABLE"),
        (Given::of(200, &other), 502, "CREDENTIAL_UNUSABLE"),
        (Given::of(200, &endless), 502, "CREDENTIAL_UNUSABLE"),
        (Given::of(200, &ended), 410, "CONNECTION_EXPIRED"),
        // This one is kept: it is good, and for another host.
        (Given::of(200, &elsewhere), 403, "POLICY_DENIED"),
    ] {
        authority.changes("connection.changed", &about());
        heard(&sidecar, authority.misses() - 1).await;
        // It says something, so that no row of silences opens its circuit.
        authority.answers_next("jira", Given::refusal(404, "CONNECTION_NOT_FOUND"));
        assert_eq!(sidecar.agent.get_plain(&url(&origin)).await.status, 404);
        authority.answers_next("jira", given);
        let answer = sidecar.agent.get_plain(&url(&origin)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!said.contains("canary") && !said.contains("bearer_file"), "{said}");
    }
    assert!(origin.is_left_alone().await);
}

#[tokio::test]
async fn a_key_that_was_exchanged_is_used_at_once() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    authority.takes("nx_live_next");
    let origin = Origin::plain().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {}, connection: jira, plaintext: true, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .borrows_from(&authority)
        .start()
        .await;
    let url = format!("http://127.0.0.1:{}/", origin.port());
    let refused = sidecar.agent.get_plain(&url).await;
    assert_eq!(refused.code(), "AUTHORITY_UNAVAILABLE");
    assert!(!String::from_utf8_lossy(&refused.body).contains("key"), "{refused:?}");
    authority.holds("nx_live_next");
    assert_eq!(sidecar.agent.get_plain(&url).await.status, 200);
    heard(&sidecar, 10).await;
}

/// A revocation, or a new version, that commits between what the Authority read and what it says.
#[tokio::test]
async fn an_answer_that_an_event_overtook_is_asked_for_again() {
    for revoked in [false, true] {
        let authority = FakeAuthority::plain().await;
        let (sidecar, origin) = borrowing(&authority).await;
        let gate = Arc::new(Notify::new());
        authority.answers_next("jira", granted("canary-old", 10).after(&gate));
        let (agent, url) = (sidecar.agent.clone(), url(&origin));
        let asking = tokio::spawn(async move { agent.get_plain(&url).await });
        authority.is_asked(LEASES, 1).await;
        let kind = if revoked { "connection.revoked" } else { "connection.changed" };
        let number = authority.changes(kind, &about());
        authority.lends(
            "jira",
            match revoked {
                true => Given::refusal(410, "CONNECTION_REVOKED"),
                false => granted("canary-new", number),
            },
        );
        heard(&sidecar, number).await;
        gate.notify_one();
        if revoked {
            let answer = asking.await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (410, "CONNECTION_REVOKED"));
            assert!(origin.is_left_alone().await);
        } else {
            let mut stream = origin.accept().await;
            let head = crate::support::underway::read_until(&mut stream, b"\r\n\r\n").await;
            assert!(String::from_utf8_lossy(&head).contains("Bearer canary-new"));
            asking.abort();
        }
        assert_eq!(authority.count(LEASES), 2);
    }
}

#[tokio::test]
async fn answers_that_stay_behind_the_events_are_not_lent() {
    let authority = FakeAuthority::plain().await;
    let (sidecar, origin) = borrowing(&authority).await;
    let number = authority.changes("connection.changed", &about());
    heard(&sidecar, number).await;
    lends(&authority, "canary-old", number - 1);
    let answer = sidecar.agent.get_plain(&url(&origin)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "AUTHORITY_UNAVAILABLE"));
    assert_eq!(authority.count(LEASES), 3);
    assert!(origin.is_left_alone().await);
}

#[tokio::test]
async fn a_route_asks_by_the_id() {
    let authority = FakeAuthority::plain().await;
    authority.lends(ID, granted("canary-1", 10));
    let name = |text: &str| nexus_sidecar::model::ConnectionName::parse(text).unwrap();
    let routed = |builder: crate::support::sidecar::Builder| {
        builder.configure(move |config| {
            let at = ConnectionAt::Named(name(ID));
            config.connections.insert(name("jira"), ConnectionConfig { source: "fleet".to_owned(), at });
        })
    };
    let (sidecar, origin) = borrowing_as(&authority, routed).await;
    assert!(origin.asked(&sidecar.agent, "/").await.head.contains("Bearer canary-1"));
}
