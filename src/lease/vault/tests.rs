use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use serde_json::json;

use super::for_tests::FakeVault;
use super::*;
use crate::config::VaultAuth;
use crate::dial::for_tests::{Does, LONG, Peer, plain_dialer};
use crate::lease::suite::Case;
use crate::lease::{Configured, LendError};
use crate::model::{Binding, Bindings, ConnectionName, Host, HostPattern, Strategy, Url, Workspace};
use crate::telemetry::TestClock;

mod leased;
mod session;

/// A fake, a source over it, and the time of both.
struct Bench {
    vault: FakeVault,
    fetch: Arc<VaultFetch>,
    clock: Arc<TestClock>,
    folder: tempfile::TempDir,
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn source(url: Url, auth: VaultAuth, clock: &Arc<TestClock>) -> VaultFetch {
    let config = VaultSource { url, namespace: Some("team-a".to_owned()), ca_file: None, auth };
    VaultFetch::new("v", &config, plain_dialer(), LONG, clock.clone())
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> std::path::PathBuf {
    let (file, next) = (folder.path().join(name), folder.path().join("next"));
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&next, &file).unwrap();
    file
}

fn approle(folder: &tempfile::TempDir) -> VaultAuth {
    let secret_id_file = write(folder, "secret-id", "canary-id\n");
    VaultAuth::AppRole { mount: "approle".to_owned(), role_id: "role".to_owned(), secret_id_file }
}

async fn bench_with(auth: impl FnOnce(&tempfile::TempDir) -> VaultAuth) -> Bench {
    let clock = Arc::new(TestClock::at(start()));
    let vault = FakeVault::start(&clock).await;
    vault.state().namespace = Some("team-a");
    vault.state().put("jira", 3, json!({"token": "canary-token", "n": 7}), json!({}));
    let folder = tempfile::tempdir().unwrap();
    let fetch = Arc::new(source(vault.url(), auth(&folder), &clock));
    Bench { vault, fetch, clock, folder }
}

async fn bench() -> Bench {
    bench_with(approle).await
}

fn at(path: &str) -> VaultConnection {
    let fields = Some([("access_token".to_owned(), "token".to_owned())].into());
    VaultConnection { path: path.to_owned(), version: None, fields }
}

fn ask() -> Ask {
    let connection = ConnectionName::parse("jira").unwrap();
    let host = Host::parse("api.test").unwrap();
    Ask { workspace: Workspace::local(), agent: "bot".into(), connection, host, scope: None, held: None }
}

fn field(fetched: &Fetched, name: &str) -> String {
    fetched.fields.get(name).map(|value| value.expose_str().unwrap().to_owned()).unwrap_or_default()
}

/// The word of an error, and its reason, which never holds a canary.
fn told(result: Result<Fetched, LendError>) -> String {
    let error = result.unwrap_err();
    let text = format!("{}: {error}", error.word());
    assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"), "{text}");
    text
}

impl Bench {
    async fn fetch(&self, place: &VaultConnection) -> Result<Fetched, LendError> {
        self.fetch.fetch(place, &ask()).await
    }
}

#[tokio::test]
async fn twenty_that_ask_at_once_log_in_once() {
    let bench = bench().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let fetch = Arc::clone(&bench.fetch);
            tokio::spawn(async move { fetch.fetch(&at("secret/data/jira"), &ask()).await })
        })
        .collect();
    for task in tasks {
        let fetched = task.await.unwrap().unwrap();
        assert_eq!((field(&fetched, "access_token").as_str(), fetched.expires_at), ("canary-token", None));
        assert_eq!(fetched.fields.names().collect::<Vec<_>>(), ["access_token"]);
        assert!(!format!("{fetched:?}").contains("canary-token"));
    }
    let asked = bench.vault.asked();
    let logins = asked.iter().filter(|line| *line == "POST auth/approle/login").count();
    assert_eq!((logins, asked.len()), (1, 21), "{asked:?}");
}

#[tokio::test]
async fn kept_secrets_of_both_engines() {
    let bench = bench().await;
    let all = VaultConnection { fields: None, ..at("secret/data/jira") };
    let names: Vec<_> = bench.fetch(&all).await.unwrap().fields.names().map(str::to_owned).collect();
    assert_eq!(names, ["token"], "texts alone");
    let pinned = |version| VaultConnection { version: Some(version), ..at("secret/data/jira") };
    let fetched = bench.fetch(&pinned(3)).await.unwrap();
    assert_eq!((field(&fetched, "access_token").as_str(), fetched.refreshable), ("canary-token", false));
    assert!(told(bench.fetch(&pinned(2)).await).starts_with("not_found"));

    bench.vault.state().secrets.insert("kv/jira".to_owned(), json!({"token": "canary-1", "data": "x"}));
    assert_eq!(field(&bench.fetch(&at("kv/jira")).await.unwrap(), "access_token"), "canary-1");
    let error = told(bench.fetch(&VaultConnection { version: Some(1), ..at("kv/jira") }).await);
    assert!(error.starts_with("unusable") && error.contains("has no versions"), "{error}");
    assert!(told(bench.fetch(&at("secret/data/none")).await).starts_with("not_found"));
    let error = told(bench.fetch(&at("secret/jira")).await);
    assert!(error.starts_with("unusable") && error.contains("data/ behind its mount"), "{error}");
}

#[tokio::test]
async fn a_version_that_was_taken_away_is_refused_with_the_reason() {
    let bench = bench().await;
    for (more, how) in [
        (json!({"deletion_time": "2027-01-01T00:00:00.123456Z"}), "version 4 of secret/data/x was deleted in Vault"),
        (json!({"destroyed": true}), "version 4 of secret/data/x was destroyed in Vault: write a new version"),
    ] {
        bench.vault.state().put("x", 4, json!(null), more);
        let error = told(bench.fetch(&at("secret/data/x")).await);
        assert!(error.starts_with("unusable") && error.contains(how), "{error}");
    }
    let data = json!({"token": "canary-x"});
    bench.vault.state().put("x", 5, data, json!({"deletion_time": "2027-01-15T09:00:00Z"}));
    let fetched = bench.fetch(&at("secret/data/x")).await.unwrap();
    assert_eq!(fetched.expires_at, Some(start() + Duration::from_secs(3600)), "it is to be deleted then");
    bench.clock.advance(Duration::from_secs(3599));
    bench.fetch(&at("secret/data/x")).await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    assert!(told(bench.fetch(&at("secret/data/x")).await).contains("was deleted"));
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let bench = bench().await;
    bench.fetch(&at("secret/data/jira")).await.unwrap();
    for (status, want) in [
        (
            503,
            "unavailable: the source of the connection jira could not be asked: cannot read secret/data/jira: Vault is sealed",
        ),
        (472, "unavailable"),
        (473, "unavailable"),
        (429, "unavailable"),
        (412, "unavailable"),
        (500, "unavailable"),
        (502, "unavailable"),
        (307, "unavailable"),
        (400, "unusable"),
        (405, "unusable"),
        (404, "not_found"),
    ] {
        bench.vault.state().down = Some(status);
        let error = told(bench.fetch(&at("secret/data/jira")).await);
        assert!(error.starts_with(want), "{status}: {error}");
    }
    bench.vault.state().down = None;
    bench.fetch(&at("secret/data/jira")).await.unwrap();
}

#[tokio::test]
async fn what_is_no_answer_is_told_without_a_word_of_it() {
    let clock = Arc::new(TestClock::at(start()));
    let folder = tempfile::tempdir().unwrap();
    let login = r#"{"auth":{"client_token":"canary-token","lease_duration":60,"renewable":true}}"#;
    let answer = |body: &str| Does::answer(200, "", body);
    let huge = format!(r#"{{"data":{{"token":"{}"}}}}"#, "canary".repeat(60_000));
    for (script, want) in [
        (vec![answer("canary")], "unavailable"),
        (vec![answer("{}")], "unusable"),
        (vec![answer(r#"{"auth":{"client_token":"canary-token"}}"#)], "unavailable"),
        (vec![answer(&login.replace("canary-token", "canary\\n"))], "unusable"),
        (vec![answer(login), answer("canary")], "unavailable"),
        (vec![answer(login), answer(r#"{"data":"canary","data":"canary"}"#)], "unavailable"),
        (vec![answer(login), answer(&huge)], "unavailable"),
        (
            vec![answer(login), Does::Say("HTTP/1.1 200 x\r\ncontent-length: 99\r\n\r\ncanary".to_owned())],
            "unavailable",
        ),
        (vec![answer(login), Does::Say("canary\r\n\r\n".to_owned())], "unavailable"),
        (vec![answer(login), Does::answer(307, "location: http://api.test:1/canary\r\n", "")], "unavailable"),
        (vec![Does::HangUp], "unavailable"),
    ] {
        let peer = Peer::start(vec![script]).await;
        let fetch = source(peer.url(""), approle(&folder), &clock);
        let error = told(fetch.fetch(&at("secret/data/jira"), &ask()).await);
        assert!(error.starts_with(want), "{want}: {error}");
    }
    // Whole, and without what is needed: the strategy misses its field later.
    let peer = Peer::start(vec![vec![answer(login), answer("{}")]]).await;
    let fetch = source(peer.url("/base/"), approle(&folder), &clock);
    assert!(fetch.fetch(&at("kv/jira"), &ask()).await.unwrap().fields.is_empty());
}

#[tokio::test]
async fn it_does_what_every_source_does() {
    let basic = Strategy::from_json(&json!({"type": "basic_auth"})).unwrap();
    let database = VaultConnection { fields: None, ..at("database/creds/app") };
    for (place, strategy) in [(at("secret/data/jira"), Strategy::OAuth2), (database, basic)] {
        let bench = bench().await;
        let hosts = vec![HostPattern::parse("api.test").unwrap()];
        let contract = Bindings::new(vec![Binding { hosts, strategy }], false).unwrap();
        let name = ConnectionName::parse("jira").unwrap();
        let Ok(fetch) = Arc::try_unwrap(bench.fetch) else { panic!("it is held elsewhere") };
        let source = Configured::new("v", fetch, [(name, contract, place)]);
        Case { source: &source, connection: "jira", host: "api.test", canaries: &["canary"] }.passes().await;
    }
}
