//! Refreshes that somebody asks for, in the words of each surface.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::leases::{GITHUB, github};
use super::*;
use crate::authority::NewConnection;
use crate::authority::oauth2::{RefreshError, RevokeError, TokenEndpoint, TokenHint, Tokens, Why};
use crate::authority::providers::Profile;
use crate::authority::refresh::{Busy, Issuer};
use crate::authority::rows::{ConnectionRow, State};
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Strategy};

/// Answers what it was told to, in turn.
struct Script(Mutex<VecDeque<Result<Tokens, RefreshError>>>);

impl Issuer for Script {
    fn refresh<'a>(&'a self, _: &'a TokenEndpoint, _: &'a Secret) -> Busy<'a, Tokens, RefreshError> {
        let answer = self.0.lock().unwrap().pop_front().unwrap();
        Box::pin(async { answer })
    }

    fn revoke<'a>(&'a self, _: &'a TokenEndpoint, _: &'a Secret, _: TokenHint) -> Busy<'a, (), RevokeError> {
        Box::pin(async { Ok(()) })
    }
}

fn tokens(access: &str) -> Tokens {
    Tokens {
        access_token: Secret::new(access),
        refresh_token: Some(Secret::new("canary-rt2")),
        token_type: Some("Bearer".to_owned()),
        scope: None,
        expires_in: Some(Duration::from_secs(3600)),
        expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_003_600)),
    }
}

/// An Authority whose connection `TAKEN` can be refreshed, by an issuer that answers this.
async fn issuing(answers: Vec<Result<Tokens, RefreshError>>, change: impl Fn(&mut ConnectionRow)) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let authority = opened(&folder.path().join("data"), 7, &[], &clock).unwrap();
    let script: Arc<dyn Issuer> = Arc::new(Script(Mutex::new(answers.into())));
    let authority = Authority { issuer: Some(script), ..authority };
    let served = serve_over(folder, clock, authority, config(), Waits::default());
    let profile = json!({ "name": "acme", "client_id": "nexus", "client_secret": "canary-cs", "scopes": ["read"],
        "auth_url": "https://acme.example/authorize", "token_url": "https://acme.example/token" });
    let provider = served.authority.create_provider(Profile::read(profile).unwrap()).unwrap();
    let mut fields = Fields::new();
    for (name, value) in [("access_token", "canary-at"), ("refresh_token", "canary-rt")] {
        fields.insert(name, Secret::new(value));
    }
    let hosts = vec![HostPattern::parse("api.acme.example").unwrap()];
    let name = ConnectionName::parse("acme").unwrap();
    let expires_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_600));
    let bindings = vec![Binding { hosts, strategy: Strategy::OAuth2 }];
    let new = NewConnection { name: name.clone(), provider: Some(name), bindings, owned: false, fields, expires_at };
    served.authority.add_of(new, Some(provider)).unwrap();
    let mut row = served.authority.read(|tx| ConnectionRow::find(tx, "local", "acme")).unwrap().unwrap();
    let fields = served.authority.desk.vault.open(&row).unwrap();
    (row.id, row.name) = (TAKEN.to_owned(), "taken".to_owned());
    change(&mut row);
    served.authority.desk.vault.seal(&mut row, &fields).unwrap();
    served.change(move |work| row.put(work.tx()));
    served
}

impl Served {
    async fn ask(&self, path: &str, number: u8) -> Reply {
        self.send("POST", path, &[("x-api-key", &key(number))], "").await
    }
}

#[tokio::test]
async fn new_tokens_are_told_in_the_shape_of_the_surface_and_renewed_once_a_minute() {
    let served = issuing(vec![Ok(tokens("at-2")), Ok(tokens("at-3"))], |_| {}).await;
    let reply = served.ask(&format!("/v1/refresh/{TAKEN}"), LEASE).await;
    // The reference's Gateway passes on refresh_token and id_token (fault 1).
    let narrow = json!({ "access_token": "at-2", "token_type": "Bearer", "expiry": "2027-01-15T09:00:00Z" });
    assert_eq!((reply.status, reply.json()), (200, narrow));
    // Asked again within a minute, by another call: the same tokens.
    let reply = served.ask(&format!("/connections/{TAKEN}/refresh"), LEASE).await;
    assert_eq!(reply.json(), json!({ "access_token": "at-2", "token_type": "Bearer", "expires_in": 3600 }));
    let path = format!("/api/v2/connections/{TAKEN}/refresh");
    let reply = served.ask(&path, ADMIN).await.json();
    assert_eq!((&reply["refreshed"], &reply["version"]), (&json!(false), &json!(2)));
    served.clock.advance(Duration::from_secs(60));
    let reply = served.ask(&path, ADMIN).await;
    assert_eq!((&reply.json()["refreshed"], &reply.json()["version"]), (&json!(true), &json!(3)));
    assert!(!reply.body.contains("canary") && !reply.body.contains("at-3"));
    assert_eq!(served.ask(&path, SIDECAR).await.status, 404, "it was granted to none of its agents");
}

#[tokio::test]
async fn what_gives_no_tokens_says_why_in_the_words_of_the_surface() {
    type Change = fn(&mut ConnectionRow);
    type Answer = fn() -> Option<RefreshError>;
    let refused: Answer = || Some(RefreshError::Refused { status: http::StatusCode::BAD_REQUEST, code: None });
    let later: Answer = || Some(RefreshError::Later { after: None, why: Why::Status(http::StatusCode::BAD_GATEWAY) });
    let nothing: Answer = || None;
    type Said = (u16, &'static str);
    let cases: [(Answer, Change, Said, Said); 6] = [
        (refused, |_| {}, (409, "attention_required"), (409, "ATTENTION_REQUIRED")),
        (later, |_| {}, (502, "upstream_error"), (502, "UPSTREAM_FAILED")),
        (nothing, |row| row.state = State::Attention, (409, "attention_required"), (409, "ATTENTION_REQUIRED")),
        (nothing, |row| row.state = State::Pending, (404, "connection_not_found"), (409, "CONNECTION_NOT_READY")),
        (nothing, |row| row.state = State::Revoked, (404, "connection_not_found"), (410, "CONNECTION_REVOKED")),
        (nothing, |row| row.endpoints = None, (400, "static_token"), (400, "INVALID_ARGUMENT")),
    ];
    for (answer, change, old, new) in cases {
        for (path, number, (status, code)) in [
            (format!("/v1/refresh/{TAKEN}"), LEASE, old),
            (format!("/connections/{TAKEN}/refresh"), LEASE, old),
            (format!("/api/v2/connections/{TAKEN}/refresh"), ADMIN, new),
        ] {
            let served = issuing(answer().map(Err).into_iter().collect(), change).await;
            let reply = served.ask(&path, number).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path}: {reply:?}");
            assert!(!reply.body.contains("canary"), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_refresh_is_for_whom_the_connection_is() {
    let served = serve().await;
    served.put(&github(), |_| {});
    for path in [format!("/v1/refresh/{GITHUB}"), format!("/connections/{GITHUB}/refresh")] {
        let reply = served.ask(&path, LEASE).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "connection_not_found"), "{path}");
    }
    let reply = served.ask("/v1/refresh/none", LEASE).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_connection_id"));
}
