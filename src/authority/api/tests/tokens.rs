//! The token calls of the reference, status by status. Where ours differ on purpose, it says so.

use super::leases::{Made, github};
use super::*;
use crate::authority::rows::{ConnectionRow, State};

fn made(bindings: Value, fields: &'static [(&'static str, &'static str)]) -> Made<'static> {
    Made { id: TAKEN, name: "taken", bindings, fields }
}

fn oauth() -> Made<'static> {
    Made { id: TAKEN, name: "taken", ..github() }
}

async fn take(served: &Served, broker: bool) -> Reply {
    let path = if broker { format!("/connections/{TAKEN}/token") } else { format!("/v1/token/{TAKEN}") };
    served.get(&path, LEASE).await
}

#[tokio::test]
async fn an_oauth_token_has_the_references_shape_without_what_renews_it() {
    let served = serve().await;
    served.put(&oauth(), |row| row.expires_at = Some(1_800_003_600));
    // The reference adds refresh_token and id_token, here and below (its fault 1), and says in
    // expires_in the lifetime at issue; ours is what is left.
    let credentials = json!({ "access_token": "canary-at", "token_type": "Bearer", "expires_in": 3600,
        "expires_at": "2027-01-15T09:00:00Z", "expired": false });
    assert_eq!(
        take(&served, false).await.json(),
        json!({ "strategy": { "type": "oauth2" }, "credentials": credentials,
            "access_token": "canary-at", "token_type": "Bearer", "expiry": "2027-01-15T09:00:00Z" })
    );
    assert_eq!(
        take(&served, true).await.json(),
        json!({ "strategy": { "type": "oauth2" }, "credentials": credentials, "access_token": "canary-at",
            "token_type": "Bearer", "expires_in": 3600, "expires_at": "2027-01-15T09:00:00Z", "expired": false })
    );
    // The reference serves a token past its end, with "expired": true.
    served.clock.advance(Duration::from_secs(3600));
    assert_eq!(take(&served, false).await.code(), "connection_not_active");
}

#[tokio::test]
async fn static_credentials_have_strategy_and_credentials_alone() {
    let served = serve().await;
    let header = json!({ "type": "header", "config": { "header_name": "x-api-key", "credential_field": "api_key" } });
    served.put(&made(json!([{ "hosts": ["api.test"], "strategy": header }]), &[("api_key", "k-123")]), |_| {});
    let answer = take(&served, false).await.json();
    assert_eq!(answer["credentials"], json!({ "api_key": "k-123" }));
    assert_eq!(answer["strategy"]["config"]["credential_field"], "api_key");
    assert_eq!(answer.as_object().unwrap().len(), 2);

    // A user name that the contract has is a field to the reference's Bridge.
    let basic = json!({ "type": "basic_auth", "config": { "username": "x-token", "password_field": "pat" } });
    let served = serve().await;
    served.put(&made(json!([{ "hosts": ["api.test"], "strategy": basic }]), &[("pat", "p-1")]), |_| {});
    let answer = take(&served, true).await.json();
    assert_eq!(answer["credentials"], json!({ "pat": "p-1", "username": "x-token" }));
    let config = json!({ "username_field": "username", "password_field": "pat" });
    assert_eq!(answer["strategy"], json!({ "type": "basic_auth", "config": config }));
}

#[tokio::test]
async fn each_refusal_has_the_references_status_and_a_body() {
    type Change = fn(&mut ConnectionRow);
    let cases: [(Change, u16, &str, &str); 7] = [
        (|row| row.state = State::Pending, 403, "connection_not_active", "failed"),
        (|row| row.state = State::Failed, 403, "connection_not_active", "failed"),
        (|row| row.state = State::Revoked, 403, "connection_not_active", "failed"),
        (|row| row.state = State::Expired, 403, "connection_not_active", "failed"),
        (|row| row.state = State::Attention, 409, "attention_required", "failed"),
        (|row| row.workspace = "other".into(), 404, "connection_not_found", "failed"),
        (|row| (row.expires_at, row.refresh_at) = (Some(1), Some(1)), 503, "unavailable", "pending"),
    ];
    for (change, status, code, checked) in cases {
        let served = serve().await;
        served.put(&oauth(), change);
        for broker in [false, true] {
            let reply = take(&served, broker).await;
            // The Gateway's refusals are empty in the reference (its fault 8).
            assert_eq!((reply.status, reply.code().as_str()), (status, code));
        }
        let reply = served.get(&format!("/v1/check-connection/{TAKEN}"), LEASE).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "status": checked })), "{code}");
    }
    let served = serve().await;
    served.put(&oauth(), |_| {});
    served.change(|work| work.execute("UPDATE connections SET sealed = wrapped_key", &[]).map(drop));
    let reply = take(&served, true).await;
    assert_eq!((reply.status, reply.code().as_str()), (500, "decrypt_failed"));
}

#[tokio::test]
async fn ids_in_any_spelling_and_what_is_none() {
    let served = serve().await;
    served.put(&oauth(), |_| {});
    for id in [TAKEN.to_uppercase(), TAKEN.replace('-', ""), format!("urn:uuid:{TAKEN}"), format!("%7B{TAKEN}%7D")] {
        assert_eq!(served.get(&format!("/v1/token/{id}"), LEASE).await.status, 200, "{id}");
        assert_eq!(served.get(&format!("/v1/check-connection/{id}"), LEASE).await.json()["status"], "active", "{id}");
    }
    for id in ["none", "1", "%00", "11111111-1111-4111-8111-11111111111g"] {
        let reply = served.get(&format!("/v1/token/{id}"), LEASE).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_connection_id"), "{id}");
        let reply = served.get(&format!("/v1/check-connection/{id}"), LEASE).await;
        assert_eq!(reply.json()["status"], "failed", "{id}");
    }
    // Another's connection does not exist: in the reference, an id alone gives its credentials (fault 16).
    served.put(&github(), |_| {});
    let reply = served.get(&format!("/v1/token/{}", super::leases::GITHUB), LEASE).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "connection_not_found"));
    for number in [ADMIN, SIDECAR, APP, AGENT] {
        let reply = served.get(&format!("/v1/token/{TAKEN}"), number).await;
        assert_eq!((reply.status, reply.body.contains("canary")), (403, false), "{number}");
    }
}

#[tokio::test]
async fn a_state_is_told_to_whom_it_concerns() {
    let served = serve().await;
    served.put(&oauth(), |_| {});
    let path = format!("/v1/check-connection/{TAKEN}");
    for (number, status) in [(ADMIN, "active"), (LEASE, "active"), (SIDECAR, "failed"), (AGENT, "failed")] {
        assert_eq!(served.get(&path, number).await.json()["status"], status, "{number}");
    }
    let sql = "INSERT INTO grants (workspace, agent, connection, created_at) VALUES ('local', 'bot', $1, 1)";
    served.change(move |work| work.execute(sql, &[TAKEN.into()]).map(drop));
    for number in [SIDECAR, AGENT] {
        assert_eq!(served.get(&path, number).await.json()["status"], "active", "{number}");
    }
}
