//! What a sidecar is lent, and what it is not.

use super::*;
use crate::authority::StoreError;
use crate::authority::rows::{ConnectionRow, State};
use crate::model::Fields;

/// A connection to put into the store.
pub(super) struct Made<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) bindings: Value,
    pub(super) fields: &'a [(&'a str, &'a str)],
}

pub(super) const GITHUB: &str = "22222222-2222-4222-8222-222222222222";

impl Served {
    /// Puts a connection into the store and then changes its row.
    pub(super) fn put(&self, made: &Made<'_>, change: impl Fn(&mut ConnectionRow)) {
        let mut fields = Fields::new();
        for (name, value) in made.fields {
            fields.insert(*name, Secret::new(*value));
        }
        let names: Vec<_> = fields.names().collect();
        let mut row = ConnectionRow {
            id: made.id.to_owned(),
            workspace: "local".to_owned(),
            name: made.name.to_owned(),
            state: State::Active,
            version: 3,
            bindings: made.bindings.to_string(),
            field_names: json!(names).to_string(),
            ..ConnectionRow::default()
        };
        change(&mut row);
        self.authority.desk.vault.seal(&mut row, &fields).unwrap();
        self.change(move |work| row.put(work.tx()));
    }

    pub(super) fn change(
        &self,
        job: impl FnOnce(&mut crate::authority::Work<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        self.authority.write(job).unwrap();
    }

    fn sql(&self, sql: &'static str) {
        self.change(move |work| work.execute(sql, &[]).map(drop));
    }

    /// The agent `bot`, which may borrow this connection.
    fn grant(&self, connection: &str) {
        self.sql("INSERT INTO agents (workspace, name, created_at) VALUES ('local', 'bot', 1) ON CONFLICT DO NOTHING");
        let connection = connection.to_owned();
        let sql = "INSERT INTO grants (workspace, agent, connection, created_at) VALUES ('local', 'bot', $1, 1)";
        self.change(move |work| work.execute(sql, &[connection.as_str().into()]).map(drop));
    }

    async fn borrow(&self, body: &Value) -> Reply {
        let headers = [("x-api-key", &*key(SIDECAR)), ("content-type", "application/json")];
        self.send("POST", "/api/v2/leases", &headers, &body.to_string()).await
    }
}

/// What a connection to GitHub is: two lines, so that one host's strategy is another's secret.
pub(super) fn github() -> Made<'static> {
    Made {
        id: GITHUB,
        name: "github",
        bindings: json!([
            { "hosts": ["api.github.com"], "strategy": { "type": "oauth2" } },
            { "hosts": ["github.com"], "strategy": { "type": "basic_auth",
                "config": { "username": "x-access-token", "password_field": "access_token" } } },
        ]),
        fields: &[("access_token", "canary-at"), ("refresh_token", "canary-rt"), ("client_secret", "canary-cs")],
    }
}

fn wanted(host: &str) -> Value {
    json!({ "agent": "bot", "connection": "github", "host": host })
}

#[tokio::test]
async fn a_lease_is_what_authenticates_at_the_host_and_no_more() {
    let served = serve().await;
    served.put(&github(), |_| {});
    served.grant(GITHUB);
    served.change(|work| {
        work.announce(crate::authority::event::News::new("test"));
        Ok(())
    });
    let reply = served.borrow(&wanted("GitHub.com")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let lease = reply.json();
    assert_eq!(lease["strategy"]["type"], "basic_auth");
    assert_eq!((&lease["hosts"], &lease["bindings"][0]["hosts"]), (&json!(["github.com"]), &json!(["api.github.com"])));
    assert_eq!(lease["credentials"], json!({ "access_token": "canary-at" }));
    assert_eq!((&lease["id"], &lease["version"], &lease["event"]), (&json!(GITHUB), &json!(3), &json!(1)));
    // 600 s from 2027-01-15T08:00:00Z.
    assert_eq!((&lease["expires_in"], &lease["expires_at"]), (&json!(600), &json!("2027-01-15T08:10:00Z")));
    let by_id = served.borrow(&json!({ "agent": "bot", "connection": GITHUB, "host": "api.github.com" })).await;
    assert_eq!(by_id.json()["strategy"]["type"], "oauth2");
    let audit = served.authority.verify_audit(&[]).unwrap();
    assert_eq!((audit.lines, audit.findings.len()), (2, 0));
}

#[tokio::test]
async fn an_end_that_is_near_is_the_leases_end() {
    let served = serve().await;
    served.put(&github(), |row| row.expires_at = Some(1_800_000_090));
    served.grant(GITHUB);
    let lease = served.borrow(&wanted("github.com")).await.json();
    assert_eq!((&lease["expires_in"], &lease["expires_at"]), (&json!(90), &json!("2027-01-15T08:01:30Z")));
}

#[tokio::test]
async fn what_is_not_lent_says_why_and_is_recorded() {
    type Change = fn(&mut ConnectionRow);
    let cases: [(&str, Change, u16, &str); 8] = [
        ("pending", |row| row.state = State::Pending, 409, "CONNECTION_NOT_READY"),
        ("failed", |row| row.state = State::Failed, 409, "CONNECTION_NOT_READY"),
        ("attention", |row| row.state = State::Attention, 409, "ATTENTION_REQUIRED"),
        ("revoked", |row| row.state = State::Revoked, 410, "CONNECTION_REVOKED"),
        ("expired", |row| row.state = State::Expired, 410, "CONNECTION_EXPIRED"),
        ("ended", |row| row.expires_at = Some(1_800_000_000), 410, "CONNECTION_EXPIRED"),
        (
            "ended, and renewed",
            |row| (row.expires_at, row.refresh_at) = (Some(1_800_000_000), Some(1)),
            503,
            "AUTHORITY_UNAVAILABLE",
        ),
        ("another's row", |row| row.workspace = "other".into(), 404, "CONNECTION_NOT_FOUND"),
    ];
    for (what, change, status, code) in cases {
        let served = serve().await;
        served.put(&github(), change);
        served.grant(GITHUB);
        let reply = served.borrow(&wanted("github.com")).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}");
        assert!(!reply.body.contains("canary"), "{what}");
        assert_eq!(served.authority.verify_audit(&[]).unwrap().lines, 1, "{what}");
    }
}

#[tokio::test]
async fn an_agent_borrows_what_was_granted_to_it_while_it_may() {
    let served = serve().await;
    served.put(&github(), |_| {});
    let code = async |host: &str| {
        let reply = served.borrow(&wanted(host)).await;
        if reply.status == 200 { String::new() } else { reply.code() }
    };
    assert_eq!(code("github.com").await, "CONNECTION_NOT_FOUND", "nothing was granted");
    served.grant(GITHUB);
    assert_eq!(code("github.com").await, "");
    for host in ["evil.example", "api.github.com.evil.example", "127.0.0.1"] {
        assert_eq!(code(host).await, "POLICY_DENIED", "{host}");
    }
    let other = json!({ "agent": "other", "connection": "github", "host": "github.com" });
    assert_eq!(served.borrow(&other).await.code(), "CONNECTION_NOT_FOUND", "another's agent does not exist");
    served.sql("INSERT INTO workspaces (workspace, last_event, frozen_at) VALUES ('local', 0, 1)");
    assert_eq!(code("github.com").await, "AUTHORITY_FROZEN");
    served.sql("UPDATE workspaces SET frozen_at = NULL");
    served.sql("UPDATE agents SET revoked_at = 1");
    assert_eq!(code("github.com").await, "CONNECTION_REVOKED");
    served.sql("DELETE FROM agents");
    assert_eq!(code("github.com").await, "CONNECTION_NOT_FOUND", "a grant without its agent is none");
}

#[tokio::test]
async fn a_wrong_question_changes_nothing_and_repeats_nothing() {
    let served = serve().await;
    served.put(&github(), |_| {});
    served.grant(GITHUB);
    let base = wanted("github.com");
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    for body in [
        json!({}),
        json!([]),
        json!("canary"),
        with("host", json!("canary host")),
        with("host", json!("")),
        with("host", json!(["github.com"])),
        with("connection", json!("Canary/..")),
        with("agent", json!(7)),
        with("scope", json!({ "repository": "canary" })),
        with("scope", json!("canary")),
        with("canary", json!(1)),
    ] {
        let reply = served.borrow(&body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_ARGUMENT"), "{body}");
    }
    assert_eq!(served.borrow(&with("scope", json!({}))).await.status, 200);
    assert_eq!(served.authority.verify_audit(&[]).unwrap().lines, 1);
}
