//! The course of a question against a peer that plays a script: a FAKE of what is documented, one
//! answer per connection.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{GatewaySource, GatewayWire};
use crate::config::{Dialect, GatewayConfig, GatewayConnection, GatewayContract, SourceAuth};
use crate::dial::for_tests::{Does, LONG, Peer, plain_dialer};
use crate::lease::source::Held;
use crate::lease::suite::Case;
use crate::lease::{Ask, LeaseSource, LendError, Loan};
use crate::model::{ConnectionName, Host, HostPattern, Scope, Workspace};
use crate::telemetry::TestClock;

const ID: &str = "2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f";
const SECOND: u64 = 1_800_000_000;

struct Scene {
    source: GatewaySource,
    peer: Peer,
    clock: Arc<TestClock>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(dialect: Dialect, answers: Vec<Does>) -> Self {
        let hosts = vec![HostPattern::parse("api.test").unwrap()];
        Self::of(dialect, GatewayContract::OfSource { hosts, owned: false }, answers).await
    }

    async fn of(dialect: Dialect, contract: GatewayContract, answers: Vec<Does>) -> Self {
        let peer = Peer::start(answers.into_iter().map(|answer| vec![answer]).collect()).await;
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        key(&key_file, "canary-key\n");
        let auth = SourceAuth { key_file: Some(key_file), client: None };
        let config = GatewayConfig { name: "g".into(), url: peer.url("/base/"), dialect, auth, ca_file: None };
        let clock = Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(SECOND)));
        let wire = GatewayWire::new(&config, plain_dialer(), LONG);
        let connection = GatewayConnection { id: ID.into(), contract };
        let source = GatewaySource::new("g", wire, [(name(), connection)], Arc::<TestClock>::clone(&clock));
        Self { source, peer, clock, _folder: folder }
    }

    async fn lend(&self, held: Option<Held>) -> Result<Loan, LendError> {
        self.source.lend(&ask(held)).await.map(|borrowed| borrowed.loan().unwrap())
    }

    /// The request lines that were heard, in order.
    async fn heard(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            let request = self.peer.hears().await;
            let line = request.lines().next().unwrap();
            lines.push(line.trim_end_matches(" HTTP/1.1").replace(ID, "ID"));
        }
        lines
    }
}

fn key(file: &PathBuf, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn name() -> ConnectionName {
    ConnectionName::parse("jira").unwrap()
}

fn ask(held: Option<Held>) -> Ask {
    let host = Host::parse("api.test").unwrap();
    Ask { workspace: Workspace::local(), agent: "bot".into(), connection: name(), host, scope: None, held }
}

fn held(version: u64, refused: bool) -> Option<Held> {
    Some(Held { id: ID.into(), version, refused })
}

/// A token that ends so many seconds from the start; none where it says nothing of it.
fn token(text: &str, left: Option<i64>) -> Does {
    let mut credentials = json!({"access_token": text, "refresh_token": "canary-r", "id_token": "canary-i"});
    if let Some(left) = left {
        credentials["expires_at"] = json!(i64::try_from(SECOND).unwrap() + left);
    }
    serves(json!({"strategy": {"type": "oauth2"}, "credentials": credentials}))
}

fn serves(body: Value) -> Does {
    Does::answer(200, "", &body.to_string())
}

fn refreshed() -> Does {
    serves(json!({"access_token": "canary-2", "token_type": "Bearer", "refresh_token": "canary-r2"}))
}

fn status(status: u16) -> Does {
    Does::answer(status, "", "")
}

fn text(loan: &Loan) -> &str {
    loan.credentials.get("access_token").unwrap().expose_str().unwrap()
}

#[tokio::test]
async fn a_token_is_asked_for_and_lent_with_its_used_field_alone() {
    let mut scene = Scene::new(Dialect::Gateway, vec![token("canary-1", Some(3600))]).await;
    let loan = scene.lend(None).await.unwrap();
    assert_eq!((text(&loan), &*loan.id, loan.version, loan.refreshable), ("canary-1", ID, 1, true));
    assert_eq!(loan.credentials.names().count(), 1);
    assert_eq!(loan.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(SECOND + 3600)));
    let request = scene.peer.hears().await;
    assert!(request.starts_with(&format!("GET /base/v1/token/{ID} HTTP/1.1\r\n")), "{request}");
    assert!(request.contains("authorization: Bearer canary-key\r\n"), "{request}");
}

#[tokio::test]
async fn a_broker_has_paths_and_a_header_of_its_own() {
    let answers = vec![token("canary-1", Some(-1)), refreshed(), token("canary-2", Some(3600))];
    let mut scene = Scene::new(Dialect::Broker, answers).await;
    assert_eq!(text(&scene.lend(None).await.unwrap()), "canary-2");
    let first = scene.peer.hears().await;
    assert!(first.starts_with(&format!("GET /base/connections/{ID}/token ")), "{first}");
    assert!(first.contains("x-api-key: canary-key\r\n") && !first.contains("authorization"), "{first}");
    let second = scene.peer.hears().await;
    assert!(second.starts_with(&format!("POST /base/connections/{ID}/refresh ")), "{second}");
    assert!(second.contains("content-length: 0\r\n"), "{second}");
}

/// What is served, who asks, the calls, and the token or the error's word.
type Course = (&'static str, Vec<Does>, Option<Held>, &'static [&'static str], &'static str);

const READ: &str = "GET /base/v1/token/ID";
const REFRESH: &str = "POST /base/v1/refresh/ID";

async fn follow(courses: Vec<Course>) {
    for (what, answers, held, calls, want) in courses {
        let mut scene = Scene::new(Dialect::Gateway, answers).await;
        let lent = scene.lend(held).await;
        let said = match &lent {
            Ok(loan) => loan.credentials.get("access_token").map_or("-", |token| token.expose_str().unwrap()),
            Err(error) => {
                assert!(!error.to_string().contains("canary"), "{what}: {error}");
                error.word()
            }
        };
        assert_eq!(said, want, "{what}: {lent:?}");
        assert_eq!(scene.heard(calls.len()).await, calls, "{what}");
        assert!(!format!("{lent:?}").contains("canary"), "{what}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_where_that_is_wanted_and_can_be() {
    let (ok, ahead) = (|| token("canary-1", Some(3600)), || token("canary-1", Some(30)));
    let (past, next) = (|| token("canary-1", Some(-1)), || token("canary-2", Some(3600)));
    let expired = |text: &str| {
        serves(json!({"strategy": {"type": "oauth2"}, "credentials":
            {"access_token": text, "expired": true, "refresh_token": "r"}}))
    };
    let again: &[&str] = &[READ, REFRESH, READ];
    let tried: &[&str] = &[READ, REFRESH];
    follow(vec![
        ("fresh", vec![ok()], None, &[READ], "canary-1"),
        ("no end", vec![token("canary-1", None)], None, &[READ], "canary-1"),
        ("near its end, for a new asker", vec![ahead()], None, &[READ], "canary-1"),
        ("near its end, for a holder", vec![ahead(), refreshed(), next()], held(1, false), again, "canary-2"),
        ("seconds away", vec![token("canary-1", Some(3)), refreshed(), next()], None, again, "canary-2"),
        ("past its end", vec![past(), refreshed(), next()], None, again, "canary-2"),
        ("said to be expired", vec![expired("canary-1"), refreshed(), next()], None, again, "canary-2"),
        ("expired after all", vec![expired("canary-1"), refreshed(), expired("canary-2")], None, again, "expired"),
        ("refused", vec![ok(), refreshed(), next()], held(1, true), again, "canary-2"),
        ("another was refused", vec![ok()], held(9, true), &[READ], "canary-1"),
        ("ahead, and nobody answers", vec![ahead(), status(502)], held(1, false), tried, "canary-1"),
        ("past, and nobody answers", vec![past(), status(502)], None, tried, "later"),
        ("past, and cut off", vec![past(), Does::HangUp], None, tried, "later"),
        ("refused, and nobody answers", vec![ok(), status(502)], held(1, true), tried, "later"),
        ("ahead, and nothing to renew it with", vec![ahead(), status(400)], held(1, false), tried, "canary-1"),
        ("past, and nothing to renew it with", vec![past(), status(400)], None, tried, "expired"),
        ("refused, and nothing to renew it with", vec![ok(), status(400)], held(1, true), tried, "canary-1"),
        ("ahead, and attention", vec![ahead(), status(409)], held(1, false), tried, "attention"),
        ("past, and attention", vec![past(), status(409)], None, tried, "attention"),
        ("past, attention already", vec![past(), status(404), status(409)], None, again, "attention"),
        ("past, and not active", vec![past(), status(404), status(403)], None, again, "not_ready"),
        ("past, and gone", vec![past(), status(404), status(404)], None, again, "not_found"),
        ("past, and of two minds", vec![past(), status(404), past()], None, again, "later"),
        (
            "ahead, and an error with 200",
            vec![ahead(), serves(json!({"error": "x"}))],
            held(1, false),
            tried,
            "canary-1",
        ),
        ("past, and an error with 200", vec![past(), serves(json!({"error": "x"}))], None, tried, "unusable"),
        ("past, and an empty 200", vec![past(), status(200)], None, tried, "unusable"),
        ("past, and {} for a token", vec![past(), refreshed(), serves(json!({}))], None, again, "unusable"),
    ])
    .await;
}

#[tokio::test]
async fn what_cannot_be_renewed_is_asked_for_once() {
    let key = |at: u64| {
        serves(json!({"strategy": {"type": "api_key"}, "credentials": {"api_key": "canary-k", "expires_at": at}}))
    };
    follow(vec![
        ("a key past its end", vec![key(1)], None, &[READ], "expired"),
        ("a key near its end", vec![key(SECOND + 3)], held(1, false), &[READ], "-"),
        ("a key that was refused", vec![key(SECOND + 600)], held(1, true), &[READ], "-"),
        ("pending", vec![status(403)], None, &[READ], "not_ready"),
        ("unknown", vec![status(404)], None, &[READ], "not_found"),
        ("attention", vec![status(409)], None, &[READ], "attention"),
        ("no id", vec![status(400)], None, &[READ], "unusable"),
        ("a key of ours that is not taken", vec![status(401)], None, &[READ], "unavailable"),
        ("broken there", vec![status(500)], None, &[READ], "unavailable"),
        ("elsewhere", vec![Does::answer(307, "location: http://api.test:1/\r\n", "")], None, &[READ], "unavailable"),
        ("nothing with 200", vec![status(200)], None, &[READ], "unusable"),
        ("too long", vec![Does::answer(200, "", &" ".repeat(300 << 10))], None, &[READ], "unusable"),
    ])
    .await;
}

#[tokio::test]
async fn strategies_come_with_the_answer_and_fields_are_looked_for() {
    let with = |strategy: Value, credentials: Value| serves(json!({"strategy": strategy, "credentials": credentials}));
    for (strategy, credentials, want) in [
        (json!({"type": "api_key"}), json!({"api_key": " canary "}), ""),
        (json!({"type": "header", "config": null, "later": 1}), json!({"api_key": "canary"}), ""),
        (json!({"type": "hmac_payload", "config": {"header_name": "x-s"}}), json!({"api_secret": "canary"}), ""),
        (json!({"type": "magic"}), json!({"api_key": "canary"}), "unknown strategy type \"magic\""),
        (json!({"type": "x".repeat(1000)}), json!({"api_key": "canary"}), "its strategy is unknown"),
        (json!({}), json!({"api_key": "canary"}), "has no type"),
        (json!(null), json!({"api_key": "canary"}), "without a strategy"),
        (json!({"type": "query_param"}), json!({"api_key": "canary"}), "param_name"),
        (
            json!({"type": "header", "config": {"value_prefix": "canary\n"}}),
            json!({"api_key": "canary"}),
            "value_prefix",
        ),
        (json!({"type": "oauth2"}), json!({"scope": "canary"}), "access_token, which is missing"),
        (json!({"type": "oauth2"}), json!({"access_token": 7}), "access_token, which is missing, or no text"),
        (json!({"type": "oauth2"}), json!({"access_token": ""}), "which is empty"),
        (
            json!({"type": "header", "config": {"credential_field": "refresh_token"}}),
            json!({"refresh_token": "canary"}),
            "which is missing",
        ),
    ] {
        let scene = Scene::new(Dialect::Gateway, vec![with(strategy.clone(), credentials)]).await;
        let said = match scene.lend(None).await {
            Ok(_) => String::new(),
            Err(LendError::Unusable { why, .. }) => why,
            Err(other) => panic!("{other:?}"),
        };
        assert!(said.contains(want) && said.is_empty() == want.is_empty(), "{strategy}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    let zone = GatewayContract::OfSource { hosts: vec![HostPattern::parse("*.api.test").unwrap()], owned: false };
    let scene = Scene::of(Dialect::Gateway, zone, vec![token("canary-1", None)]).await;
    assert!(scene.lend(None).await.unwrap_err().to_string().contains("`owned: true`"));
}

#[tokio::test]
async fn the_version_moves_with_the_content_and_a_lifetime_bounds_what_says_no_end() {
    let lived = |text: &str| {
        serves(json!({"strategy": {"type": "oauth2"}, "credentials":
            {"access_token": text, "refresh_token": "r", "expires_in": "600"}}))
    };
    let answers = vec![lived("canary-1"), lived("canary-1"), lived("canary-1"), refreshed(), lived("canary-2")];
    let scene = Scene::new(Dialect::Gateway, answers).await;
    let end = |loan: &Loan| loan.expires_at.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - SECOND;
    let first = scene.lend(None).await.unwrap();
    assert_eq!((first.version, end(&first)), (1, 600));
    scene.clock.advance(Duration::from_secs(300));
    let second = scene.lend(held(1, false)).await.unwrap();
    assert_eq!((second.version, end(&second)), (1, 600), "it lives no longer for being read again");
    scene.clock.advance(Duration::from_secs(300));
    let third = scene.lend(held(1, false)).await.unwrap();
    assert_eq!((text(&third), third.version, end(&third)), ("canary-2", 2, 1200));
}

#[tokio::test]
async fn what_a_refresh_says_of_its_token_counts_from_its_answer() {
    let silent = token("canary-2", None);
    let told = serves(json!({"access_token": "canary-2", "expires_in": 100}));
    let scene = Scene::new(Dialect::Broker, vec![token("canary-1", Some(0)), told, silent]).await;
    let loan = scene.lend(None).await.unwrap();
    assert_eq!(loan.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(SECOND + 100)));
}

#[tokio::test]
async fn an_entry_that_says_the_contract_itself_is_given_the_token() {
    let github = crate::config::Catalogue::built_in().provider("github").unwrap().bindings.clone();
    let answers = vec![token("canary-1", None), serves(json!({"strategy": {}, "credentials": {"token": "canary-2"}}))];
    let scene = Scene::of(Dialect::Gateway, GatewayContract::OfEntry(github), answers).await;
    for value in ["canary-1", "canary-2"] {
        let loan = scene.lend(None).await.unwrap();
        assert_eq!(loan.credentials.names().collect::<Vec<_>>(), ["token"]);
        assert_eq!(loan.credentials.get("token").unwrap().expose_str(), Some(value));
        assert!(loan.bindings.strategy_for(&Host::parse("api.github.com").unwrap()).is_some());
    }
}

#[tokio::test]
async fn both_do_what_every_source_does() {
    for dialect in [Dialect::Gateway, Dialect::Broker] {
        let kept = || token("canary-1", Some(3600));
        let renewed = [refreshed(), token("canary-2", Some(3600))];
        let answers = (0..5).map(|_| kept()).chain(renewed).collect();
        let scene = Scene::new(dialect, answers).await;
        Case { source: &scene.source, connection: "jira", host: "api.test", canaries: &["canary"] }.passes().await;
        let key = || serves(json!({"strategy": {"type": "api_key"}, "credentials": {"api_key": "canary-k"}}));
        let scene = Scene::new(dialect, (0..5).map(|_| key()).collect()).await;
        Case { source: &scene.source, connection: "jira", host: "api.test", canaries: &["canary"] }.passes().await;
    }
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_asked() {
    let scene = Scene::new(Dialect::Gateway, vec![]).await;
    let unknown = Ask { connection: ConnectionName::parse("other").unwrap(), ..ask(None) };
    assert!(matches!(scene.source.lend(&unknown).await, Err(LendError::NotFound(_))));
    let narrowed = Ask { scope: Some(Scope::of(json!({"a": 1}).as_object().unwrap())), ..ask(None) };
    assert!(matches!(scene.source.lend(&narrowed).await, Err(LendError::Unusable { .. })));
    assert_eq!(scene.source.still_there(&name(), ID).await, Ok(true));
    assert_eq!(scene.source.still_there(&name(), "x").await, Ok(false));
    assert_eq!(scene.source.still_there(&unknown.connection, ID).await, Ok(false));
    assert_eq!(scene.peer.connections(), 0);
}
