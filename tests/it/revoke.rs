//! A connection that is deleted or revoked closes what uses it; a new version is followed.

use std::time::{Duration, Instant, SystemTime};

use nexus_sidecar::config::Config;
use nexus_sidecar::lease::MemoryConnection;
use nexus_sidecar::model::{Binding, Bindings, ConnectionName, Fields, HostPattern, Secret, Strategy};
use serde_json::json;

use crate::support::underway::is_closed;
use crate::support::{ByHand, Origin, Sidecar};

/// Two connections to one cleartext origin, by path.
async fn two() -> (Sidecar, ByHand) {
    two_with(|_| {}).await
}

async fn two_with(change: impl FnOnce(&mut Config) + 'static) -> (Sidecar, ByHand) {
    let origin = ByHand::new().await;
    let port = origin.port();
    let rule = |name: &str| {
        format!(
            "  - {{ host: 127.0.0.1, port: {port}, path: /{name}, connection: {name}, plaintext: true, \
             networks: [127.0.0.0/8] }}\n"
        )
    };
    let bearer = || json!({"type": "oauth2"});
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n{}{}", rule("one"), rule("two")))
        .connection("one", bearer(), &["127.0.0.1"], &[("access_token", "canary-one")])
        .connection("two", bearer(), &["127.0.0.1"], &[("access_token", "canary-two")])
        .configure(change)
        .start()
        .await;
    (sidecar, origin)
}

fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).unwrap()
}

#[tokio::test]
async fn deleting_a_connection_closes_what_uses_it_within_a_second() {
    for delete in [true, false] {
        let (sidecar, origin) = two().await;
        let one = origin.answering(&sidecar.agent, "/one").await;
        let waiting = origin.asked(&sidecar.agent, "/one").await;
        let two = origin.answering(&sidecar.agent, "/two").await;
        assert!(one.head.contains("Bearer canary-one") && two.head.contains("Bearer canary-two"));
        let started = Instant::now();
        assert!(if delete { sidecar.source.delete(&name("one")) } else { sidecar.source.revoke(&name("one")) });
        one.gets_cut().await;
        let answer = waiting.gets_refused().await;
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (410, "CONNECTION_REVOKED"));
        let url = format!("http://127.0.0.1:{}/one", origin.port());
        let again = sidecar.agent.get_plain(&url).await;
        let want = if delete { (404, "CONNECTION_NOT_FOUND") } else { (410, "CONNECTION_REVOKED") };
        assert_eq!((again.status.as_u16(), again.code().as_str()), want);
        two.ends_well().await;
        let outcomes = sidecar.outcomes(4).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome["code"] == "CONNECTION_REVOKED").count(),
            3 - usize::from(delete)
        );
    }
}

#[tokio::test]
async fn with_a_grace_what_is_under_way_may_end_and_nothing_begins() {
    let (sidecar, origin) = two_with(|config| config.lease.grace = Duration::from_secs(2)).await;
    let ends = origin.answering(&sidecar.agent, "/one").await;
    let stays = origin.answering(&sidecar.agent, "/one").await;
    let started = Instant::now();
    assert!(sidecar.source.revoke(&name("one")));
    let url = format!("http://127.0.0.1:{}/one", origin.port());
    assert_eq!(sidecar.agent.get_plain(&url).await.code(), "CONNECTION_REVOKED");
    ends.ends_well().await;
    stays.gets_cut().await;
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_agent_that_does_not_read_holds_no_credential_open() {
    let (sidecar, origin) = two().await;
    let mut one = origin.answering(&sidecar.agent, "/one").await;
    let chunk = [b"10000\r\n", &vec![b'x'; 0x10000][..], b"\r\n"].concat();
    while let Ok(written) =
        tokio::time::timeout(Duration::from_millis(300), tokio::io::AsyncWriteExt::write_all(&mut one.origin, &chunk))
            .await
    {
        written.unwrap();
    }
    let started = Instant::now();
    sidecar.source.delete(&name("one"));
    is_closed(&mut one.origin).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(sidecar.outcomes(1).await[0]["code"], "CONNECTION_REVOKED");
}

/// What a destination remembers of a connection (a session, a rate) belongs to one version of the
/// credentials.
#[tokio::test]
async fn an_upstream_connection_of_an_older_version_is_not_used_again() {
    let origin = Origin::plain().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {}, connection: one, plaintext: true, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .connection("one", json!({"type": "oauth2"}), &["127.0.0.1"], &[("access_token", "canary-one")])
        .start()
        .await;
    let url = format!("http://127.0.0.1:{}/", origin.port());
    for (token, connections) in [("canary-one", 1), ("canary-one", 1), ("canary-new", 2), ("canary-new", 2)] {
        if token == "canary-new" && connections != origin.connections() {
            sidecar.source.set(bearer(token, None));
        }
        assert_eq!(sidecar.agent.get_plain(&url).await.status, 200);
        assert_eq!(origin.connections(), connections);
        assert_eq!(origin.received().last().unwrap().header("authorization"), format!("Bearer {token}"));
    }
}

/// Credentials that have ended are not sent, whatever the destination would say.
#[tokio::test]
async fn a_connection_past_its_end_is_refused() {
    let (sidecar, origin) = two().await;
    let now = sidecar.clock.wall();
    sidecar.source.set(bearer("canary-late", Some(now - Duration::from_secs(1))));
    let url = format!("http://127.0.0.1:{}/one", origin.port());
    let refused = sidecar.agent.get_plain(&url).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (410, "CONNECTION_EXPIRED"));
    assert!(origin.is_left_alone().await);
    sidecar.source.set(bearer("canary-early", Some(now + Duration::from_secs(60))));
    assert!(origin.asked(&sidecar.agent, "/one").await.head.contains("Bearer canary-early"));
}

/// The connection `one` with another token.
fn bearer(token: &str, expires_at: Option<SystemTime>) -> MemoryConnection {
    let binding = Binding {
        hosts: vec![HostPattern::parse("127.0.0.1").unwrap()],
        strategy: Strategy::from_json(&json!({"type": "oauth2"})).unwrap(),
    };
    let mut fields = Fields::new();
    fields.insert("access_token", Secret::new(token));
    MemoryConnection { name: name("one"), bindings: Bindings::new(vec![binding], false).unwrap(), fields, expires_at }
}

#[tokio::test]
async fn a_new_version_is_used_from_the_next_request_on() {
    let (sidecar, origin) = two().await;
    let before = origin.answering(&sidecar.agent, "/one").await;
    sidecar.source.set(bearer("canary-new", None));
    let after = soon_with(&sidecar, &origin, "Bearer canary-new").await;
    assert!(after, "the new credential was not used within a second");
    // What was under way with the old one is still the same connection.
    before.ends_well().await;
}

/// Asks until the origin sees this, at most a second.
async fn soon_with(sidecar: &Sidecar, origin: &ByHand, credential: &str) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        if origin.asked(&sidecar.agent, "/one").await.head.contains(credential) {
            return true;
        }
    }
    false
}
