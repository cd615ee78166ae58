//! Ten typical mistakes, and what a person and an agent are told: golden files, read by eye.
//!
//! Each file is the transcript of the real binary with real requests. `UPDATE_GOLDEN=1` writes
//! them anew: read the difference before it is committed. A message must name the cause and the
//! next step.

mod scene;

use std::time::Duration;

use http::{Response, StatusCode};
use nexus_sidecar::telemetry::{Clock, SystemClock};
use rcgen::CertificateParams;
use time::OffsetDateTime;

use self::scene::Scene;
use crate::left_out;
use crate::support::{Origin, Pki, Received, Speaks, origin};

type Body = http_body_util::Full<bytes::Bytes>;

/// A provider that knows one token.
fn provider(request: &Received) -> Response<Body> {
    let known = request.headers.get("authorization").is_some_and(|value| value == "Bearer good-token");
    if known {
        return Response::new(Body::from("{\"login\":\"me\"}\n"));
    }
    let mut answer = Response::new(Body::from("{\"message\":\"Bad credentials\"}\n"));
    *answer.status_mut() = StatusCode::UNAUTHORIZED;
    answer
}

/// A provider at `api.test`, and a home whose policy reads from it.
async fn reading(pki: &Pki) -> (Origin, Scene) {
    let origin = Origin::tls_h1(pki, "api.test", provider).await;
    let scene = Scene::of(&origin, Some(pki));
    (origin, scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let pki = Pki::new();
    let (origin, mut scene) = reading(&pki).await;
    scene.connection("revoked-token", &[]);
    scene.run(&format!("curl -sS https://api.test:{}/user", origin.port()));
    scene.tries(&["connection", "test", "api"]);
    scene.matches("wrong-token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let pki = Pki::new();
    let (origin, mut scene) = reading(&pki).await;
    // Long enough for a busy machine to make the connection before it has ended.
    let end = OffsetDateTime::from(SystemClock.wall() + Duration::from_secs(5));
    let end = end.format(&time::format_description::well_known::Rfc3339).unwrap();
    scene.connection("good-token", &["--expires-at", &end]);
    let curl = format!("curl -sS https://api.test:{}/user", origin.port());
    scene.run_until("CONNECTION_EXPIRED", &curl);
    scene.shows(&["doctor"], "connection api");
    scene.matches("expired-token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed() {
    if left_out::lacks(&["bash", "curl"]) {
        return;
    }
    let pki = Pki::new();
    let (_origin, mut scene) = reading(&pki).await;
    scene.connection("good-token", &[]);
    scene.run("curl -sS https://other.test/user");
    scene.agent_sees("other.test:443");
    scene.tries(&["why"]);
    scene.matches("host-not-allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_allowed() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let pki = Pki::new();
    let (origin, mut scene) = reading(&pki).await;
    scene.connection("good-token", &[]);
    scene.run(&format!("curl -sS -X DELETE https://api.test:{}/repos/me/mine", origin.port()));
    scene.tries(&["why"]);
    scene.matches("method-not-allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_a_typo() {
    let pki = Pki::new();
    let (_origin, mut scene) = reading(&pki).await;
    scene.policy("version: 1\nrules:\n  - name: read\n    host: api.test\n    metod: GET\n    path: user/**\n    connection: api\n");
    scene.tries(&["policy", "check"]);
    scene.tries(&["run", "--", "true"]);
    scene.matches("policy-with-a-typo");
}

#[test]
fn no_policy() {
    let mut scene = Scene::empty();
    scene.tries(&["run", "--", "true"]);
    scene.matches("no-policy");
}

#[test]
fn a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scene = Scene::empty();
    scene.policy("version: 1\nrules: [{ name: docs, host: docs.test, action: forward }]\n");
    let address = taken.local_addr().unwrap();
    scene.file(
        "proxy.yaml",
        &format!("version: 1\nlisten: {{ proxy: '{address}' }}\nanonymous: allow\npolicy: [.config/nexus-sidecar/policy.yaml]\n"),
    );
    scene.tries(&["proxy", "--config", "proxy.yaml"]);
    scene.shows(&["doctor", "--config", "proxy.yaml"], "proxy port");
    scene.matches("port-taken");
}

/// A provider whose certificate starts and ends so many days from now.
async fn valid(from: i64, to: i64) -> (Origin, Scene) {
    let pki = Pki::new();
    let now = OffsetDateTime::from(SystemClock.wall());
    let server = pki.server_with(&["api.test"], &[b"http/1.1"], |params: &mut CertificateParams| {
        params.not_before = now + time::Duration::days(from);
        params.not_after = now + time::Duration::days(to);
    });
    let origin = Origin::start(Speaks::Tls(server), origin::ok).await;
    let mut scene = Scene::of(&origin, Some(&pki));
    scene.connection("good-token", &[]);
    (origin, scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_behind() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let (origin, mut scene) = valid(1, 30).await;
    scene.run(&format!("curl -sS https://api.test:{}/user", origin.port()));
    scene.matches("clock-a-day-behind");
    assert!(origin.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_ahead() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let (origin, mut scene) = valid(-30, -1).await;
    scene.run(&format!("curl -sS https://api.test:{}/user", origin.port()));
    scene.matches("clock-a-day-ahead");
    assert!(origin.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_key() {
    let pki = Pki::new();
    let (_origin, mut scene) = reading(&pki).await;
    scene.connection("good-token", &[]);
    scene.another_key();
    scene.tries(&["run", "--", "true"]);
    scene.tries(&["connection", "list"]);
    scene.shows(&["doctor"], "store");
    scene.matches("store-of-another-key");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_with_a_private_ca() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let pki = Pki::new();
    let origin = Origin::tls_h1(&pki, "api.test", provider).await;
    let mut scene = Scene::of(&origin, None);
    scene.connection("good-token", &[]);
    scene.run(&format!("curl -sS https://api.test:{}/user", origin.port()));
    scene.tries(&["why"]);
    scene.matches("upstream-with-a-private-ca");
    assert!(origin.received().is_empty());
}

/// No mistake: what somebody sees who does not know where to begin.
#[test]
fn the_first_page_of_help() {
    let mut scene = Scene::empty();
    scene.tries(&["--help"]);
    scene.matches("help");
}
