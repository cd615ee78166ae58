//! Listening: what an event ends, and what happens to a stream that ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::sync::Notify;

use super::{ID, about, borrowing, borrowing_as, heard, lends, url, waits};
use crate::support::authority::{Given, loan};
use crate::support::{ByHand, FakeAuthority, Sidecar};

const LEASES: &str = "POST /api/v2/leases";
const EVENTS: &str = "GET /api/v2/events";

/// Asks once more and tells which credential was used.
async fn borrowed(sidecar: &Sidecar, origin: &ByHand) -> String {
    let head = origin.asked(&sidecar.agent, "/").await.head;
    head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_revocation_closes_what_is_under_way_and_is_refused_from_memory() {
    let gone = [
        ("connection.revoked", about(), 410, "CONNECTION_REVOKED"),
        ("connection.deleted", about(), 404, "CONNECTION_NOT_FOUND"),
        ("agent.revoked", json!({ "agent": "anonymous" }), 410, "CONNECTION_REVOKED"),
        ("all.revoked", json!({}), 410, "CONNECTION_REVOKED"),
    ];
    for (kind, about, status, code) in gone {
        let authority = FakeAuthority::plain().await;
        lends(&authority, "canary-1", 10);
        let (sidecar, origin) = borrowing(&authority).await;
        let (streaming, waiting) =
            (origin.answering(&sidecar.agent, "/a").await, origin.asked(&sidecar.agent, "/b").await);
        authority.changes(kind, &about);
        streaming.gets_cut().await;
        assert_eq!(waiting.gets_refused().await.code(), "CONNECTION_REVOKED", "{kind}");
        let answer = sidecar.agent.get_plain(&url(&origin)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{kind}");
        assert_eq!(authority.count(LEASES), 1, "{kind}: nobody had to be asked");
        assert_eq!(authority.count(&format!("GET /api/v2/connections/{ID}")), 0, "{kind}");
    }
}

/// What has to be asked about one connection takes its time, and the others do not wait for it.
#[tokio::test]
async fn a_slow_answer_about_one_connection_keeps_no_other_open() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    authority.lends("slow", Given::of(200, &loan("slow-id", "slow", &["127.0.0.1"], "canary-2", 10)));
    let origin = ByHand::new().await;
    let at = format!("host: 127.0.0.1, port: {}, plaintext: true, networks: [127.0.0.0/8]", origin.port());
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ {at}, path: /slow, connection: slow }}\n  - {{ {at}, connection: jira }}\n"))
        .borrows_from(&authority)
        .configure(|config| config.timeouts.lease = Duration::from_secs(600))
        .start()
        .await;
    heard(&sidecar, 10).await;
    let slow = origin.answering(&sidecar.agent, "/slow").await;
    let streaming = origin.answering(&sidecar.agent, "/").await;
    let gate = Arc::new(Notify::new());
    authority.says_of("slow-id", Given::of(200, &json!({ "id": "slow-id", "state": "active" })).after(&gate));
    authority.changes("connection.changed", &json!({ "connection": { "id": "slow-id", "name": "slow" } }));
    authority.is_asked("GET /api/v2/connections/slow-id", 1).await;
    authority.changes("connection.revoked", &about());
    streaming.gets_cut().await;
    gate.notify_one();
    slow.ends_well().await;
}

#[tokio::test]
async fn what_one_agent_loses_the_others_keep() {
    for (kind, asked) in [("agent.revoked", false), ("grant.changed", true)] {
        let authority = FakeAuthority::plain().await;
        lends(&authority, "canary-1", 10);
        let agents = |builder: crate::support::sidecar::Builder| builder.agent("one", "pw-1").agent("two", "pw-2");
        let (sidecar, origin) = borrowing_as(&authority, agents).await;
        let one = origin.answering(&sidecar.agent.named("one", "pw-1"), "/").await;
        let two = origin.answering(&sidecar.agent.named("two", "pw-2"), "/").await;
        authority.answers_next("jira", Given::refusal(404, "CONNECTION_NOT_FOUND"));
        authority.changes(kind, &json!({ "agent": "one", "connection": { "id": ID, "name": "jira" } }));
        one.gets_cut().await;
        two.ends_well().await;
        assert_eq!(authority.count(LEASES), if asked { 3 } else { 2 }, "{kind}");
    }
}

#[tokio::test]
async fn a_providers_revocation_is_looked_after_connection_by_connection() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    let (sidecar, origin) = borrowing(&authority).await;
    let kept = origin.answering(&sidecar.agent, "/").await;
    lends(&authority, "canary-2", 11);
    let number = authority.changes("provider.revoked", &json!({ "provider": "other" }));
    heard(&sidecar, number).await;
    authority.is_asked(LEASES, 2).await;
    kept.ends_well().await;
    let streaming = origin.answering(&sidecar.agent, "/").await;
    authority.lends("jira", Given::refusal(410, "CONNECTION_REVOKED"));
    authority.changes("provider.revoked", &json!({ "provider": "atlassian" }));
    streaming.gets_cut().await;
}

#[tokio::test]
async fn a_new_version_is_used_from_the_next_request_on() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    let (sidecar, origin) = borrowing(&authority).await;
    let before = origin.answering(&sidecar.agent, "/").await;
    assert_eq!((borrowed(&sidecar, &origin).await.as_str(), authority.count(LEASES)), ("canary-1", 1));
    lends(&authority, "canary-2", 11);
    let number = authority.changes("connection.changed", &about());
    heard(&sidecar, number).await;
    assert_eq!(borrowed(&sidecar, &origin).await, "canary-2");
    before.ends_well().await;
}

#[tokio::test]
async fn nothing_is_lent_while_it_is_frozen() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    let (sidecar, origin) = borrowing(&authority).await;
    assert_eq!(borrowed(&sidecar, &origin).await, "canary-1");
    let number = authority.changes("frozen", &json!({}));
    heard(&sidecar, number).await;
    assert_eq!(sidecar.agent.get_plain(&url(&origin)).await.code(), "AUTHORITY_UNAVAILABLE");
    assert_eq!(authority.count(LEASES), 1);
    lends(&authority, "canary-2", number + 1);
    let number = authority.changes("unfrozen", &json!({}));
    heard(&sidecar, number).await;
    assert_eq!(borrowed(&sidecar, &origin).await, "canary-2");
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_stopped() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    let (sidecar, origin) = borrowing(&authority).await;
    assert_eq!(borrowed(&sidecar, &origin).await, "canary-1");
    authority.changes("policy.changed", &json!({}));
    heard(&sidecar, 11).await;
    authority.cuts();
    authority.is_asked(EVENTS, 2).await;
    let asked = authority.asked();
    let last = asked.iter().rfind(|asked| asked.what == EVENTS).unwrap();
    assert_eq!(last.last_event.as_deref(), Some("11"));
    authority.has_streams(1).await;
    heard(&sidecar, 11).await;
    assert_eq!((borrowed(&sidecar, &origin).await.as_str(), authority.count(LEASES)), ("canary-1", 1));
}

/// What happened while nobody listened is asked for: the number says that something did.
#[tokio::test]
async fn what_a_stream_may_have_missed_is_asked_for_again() {
    for how in ["missed", "resync", "another store", "an older store"] {
        let authority = FakeAuthority::plain().await;
        lends(&authority, "canary-1", 10);
        let (sidecar, origin) = borrowing(&authority).await;
        let kept = origin.answering(&sidecar.agent, "/").await;
        assert_eq!(borrowed(&sidecar, &origin).await, "canary-1");
        lends(&authority, "canary-2", 15);
        match how {
            "missed" => drop((authority.misses(), authority.misses())),
            "another store" => authority.becomes("store-2", 10),
            "an older store" => authority.becomes("store-1", 9),
            _ => authority.says("event: resync\ndata: {\"number\": 12}\n\n"),
        }
        if how != "resync" {
            authority.cuts();
        }
        // What is under way is asked for at once, with its agent.
        authority.is_asked(LEASES, 2).await;
        kept.ends_well().await;
        assert_eq!(borrowed(&sidecar, &origin).await, "canary-2", "{how}");
    }
}

#[tokio::test]
async fn ten_silent_seconds_are_a_cut() {
    let authority = FakeAuthority::plain().await;
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (sidecar, _origin) = borrowing_as(&authority, |builder| builder.at(wall)).await;
    authority.has_streams(1).await;
    for second in 1..=10 {
        assert_eq!(authority.count(EVENTS), 1, "after {second} seconds");
        sidecar.advance(Duration::from_secs(1));
        if second == 5 {
            authority.changes("policy.changed", &json!({}));
            heard(&sidecar, 11).await;
        }
    }
    for _ in 0..4 {
        sidecar.advance(Duration::from_secs(1));
    }
    assert_eq!(authority.count(EVENTS), 1, "it was heard nine seconds ago");
    sidecar.advance(Duration::from_secs(1));
    authority.is_asked(EVENTS, 2).await;
}

#[tokio::test]
async fn what_cannot_be_read_ends_a_stream_and_drops_what_was_lent() {
    let long = format!("data: {}\n\n", "x".repeat(70_000));
    for garbage in ["event: change\ndata: {\"kind\":\"all.revoked\"}\n\n", "event: hello\ndata: []\n\n", &long] {
        let authority = FakeAuthority::plain().await;
        lends(&authority, "canary-1", 10);
        let (sidecar, origin) = borrowing(&authority).await;
        assert_eq!(borrowed(&sidecar, &origin).await, "canary-1");
        lends(&authority, "canary-2", 10);
        authority.has_streams(1).await;
        authority.says(garbage);
        authority.is_asked(EVENTS, 2).await;
        let last = authority.asked().into_iter().rfind(|asked| asked.what == EVENTS).unwrap();
        assert_eq!(last.last_event, None, "what stands behind it is skipped");
        heard(&sidecar, 10).await;
        assert_eq!(borrowed(&sidecar, &origin).await, "canary-2");
    }
}

#[tokio::test]
async fn a_stream_that_is_none_is_tried_again_and_leases_go_on() {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 10);
    let (sidecar, origin) = borrowing(&authority).await;
    for (status, greets) in [(500, true), (200, false)] {
        authority.streams(status, greets);
        let before = authority.count(EVENTS);
        authority.cuts();
        if !greets {
            // It is open and says nothing that begins a stream.
            authority.is_asked(EVENTS, before + 1).await;
            authority.has_streams(1).await;
            authority.says("event: beat\ndata: {\"number\": 10}\n\n");
        }
        authority.is_asked(EVENTS, before + 2).await;
        waits(&sidecar, |source| source["stream"] == "cut off").await;
        assert_eq!(borrowed(&sidecar, &origin).await, "canary-1");
    }
    authority.streams(200, true);
    authority.cuts();
    heard(&sidecar, 10).await;
}
