//! A destination whose certificate is bad gets nothing, and the agent is told why.

use std::sync::Arc;

use nexus_sidecar::telemetry::{Clock, SystemClock};
use rcgen::CertificateParams;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::support::{Answer, Origin, Pki, Sidecar, Speaks, origin};

const SECRET: &str = "canary-2b6e07d1aa";

/// Sends one request with a credential to an origin behind a certificate of this authority.
async fn through(
    pki: &Pki,
    trusted: &[&Pki],
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (Answer, usize) {
    shown(pki.server_with(names, &[b"h2", b"http/1.1"], change), trusted).await
}

/// What the agent saw, and how many requests arrived.
async fn shown(server: Arc<rustls::ServerConfig>, trusted: &[&Pki]) -> (Answer, usize) {
    let origin = Origin::start(Speaks::Tls(server), origin::ok).await;
    let builder = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, connection: api, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", SECRET)])
        .host("api.test", &origin);
    let sidecar = trusted.iter().fold(builder, |builder, pki| builder.trusts(pki)).start().await;
    let answer = sidecar.agent.get(&format!("https://api.test:{}/x", origin.port())).await;
    let outcome = &sidecar.outcomes(1).await[0];
    if answer.status != 200 {
        assert_eq!((&outcome["end"], &outcome["code"]), (&json!("failed"), &json!("UPSTREAM_FAILED")), "{outcome}");
    }
    (answer, origin.received().len())
}

fn refused((answer, requests): (Answer, usize), reason: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str(), requests), (502, "UPSTREAM_FAILED", 0));
    let message = answer.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(reason) && message.contains("nothing was sent"), "{message}");
    assert!(message.contains("api.test") && !String::from_utf8_lossy(&answer.body).contains(SECRET), "{message}");
}

#[tokio::test]
async fn a_good_certificate_passes() {
    let pki = Pki::new();
    let (answer, requests) = through(&pki, &[&pki], &["api.test"], |_| {}).await;
    assert_eq!((answer.status.as_u16(), requests), (200, 1));
}

fn now() -> OffsetDateTime {
    SystemClock.wall().into()
}

#[tokio::test]
async fn an_expired_one() {
    let pki = Pki::new();
    let expired = |params: &mut CertificateParams| {
        params.not_before = now() - Duration::days(30);
        params.not_after = now() - Duration::days(1);
    };
    refused(through(&pki, &[&pki], &["api.test"], expired).await, "it ended at 20");
}

#[tokio::test]
async fn one_that_is_not_valid_yet() {
    let pki = Pki::new();
    let early = |params: &mut CertificateParams| params.not_before = now() + Duration::days(1);
    refused(through(&pki, &[&pki], &["api.test"], early).await, "it starts at 20");
}

#[tokio::test]
async fn one_for_another_name() {
    let pki = Pki::new();
    refused(through(&pki, &[&pki], &["www.api.test"], |_| {}).await, "it is for another name");
}

#[tokio::test]
async fn one_by_an_issuer_that_is_not_trusted() {
    let (pki, other) = (Pki::new(), Pki::named("another"));
    refused(through(&pki, &[&other], &["api.test"], |_| {}).await, "its issuer is unknown");
}

#[tokio::test]
async fn one_by_an_authority_that_took_the_name_of_a_trusted_one() {
    let (pki, other) = (Pki::new(), Pki::new());
    refused(through(&pki, &[&other], &["api.test"], |_| {}).await, "its signature is wrong");
}

#[tokio::test]
async fn one_that_is_for_clients() {
    let pki = Pki::new();
    let client =
        |params: &mut CertificateParams| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    refused(through(&pki, &[&pki], &["api.test"], client).await, "it is not for servers");
}

#[tokio::test]
async fn one_that_signed_itself() {
    refused(shown(Pki::self_signed("api.test"), &[&Pki::new()]).await, "its issuer is unknown");
}

/// Users put our CA into system stores and bundles: whoever holds its key could then stand in for
/// every destination.
#[tokio::test]
async fn one_by_an_interception_ca_of_ours_that_was_made_a_root() {
    let ours = Pki::named("nexus-sidecar interception CA");
    // Beside a good one, since none at all may be left where the system has none.
    refused(through(&ours, &[&ours, &Pki::new()], &["api.test"], |_| {}).await, "its issuer is unknown");
}

#[tokio::test]
async fn what_speaks_no_tls_is_told_apart() {
    let origin = Origin::plain().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: api.test, port: {}, connection: api, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", SECRET)])
        .host("api.test", &origin)
        .start()
        .await;
    let answer = sidecar.agent.get(&format!("https://api.test:{}/x", origin.port())).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UPSTREAM_FAILED"));
    assert!(answer.error()["message"].as_str().unwrap().contains("does not speak TLS"));
    assert!(origin.received().is_empty());
}
