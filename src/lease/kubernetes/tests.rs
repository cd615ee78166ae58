use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use super::for_tests::FakeCluster;
use super::*;
use crate::config::KubernetesApi;
use crate::dial::for_tests::{Does, LONG, Peer, plain_dialer};
use crate::lease::suite::Case;
use crate::lease::{Ask, Configured, LendError};
use crate::model::{Binding, Bindings, ConnectionName, Host, HostPattern, Strategy, Url, Workspace};
use crate::sign::jwt::claimed_end;
use crate::telemetry::{SystemClock, TestClock};

/// A fake and a source over it.
struct Bench {
    cluster: FakeCluster,
    fetch: Arc<KubernetesFetch>,
    _folder: tempfile::TempDir,
}

fn secret(name: &str) -> KubernetesConnection {
    let fields = Some([("access_token".to_owned(), "token".to_owned())].into());
    KubernetesConnection::Secret { namespace: None, name: name.to_owned(), fields }
}

fn server(url: Url, token_file: &Path) -> KubernetesServer {
    let config = KubernetesApi { url, ca_file: None, token_file: token_file.to_owned() };
    KubernetesServer::new(&config, plain_dialer(), LONG)
}

fn source(server: Option<KubernetesServer>, connections: &[KubernetesConnection]) -> KubernetesFetch {
    KubernetesFetch::new("k", server, Some("apps"), connections.iter(), Arc::new(SystemClock))
}

async fn bench(connections: &[KubernetesConnection]) -> Bench {
    let cluster = FakeCluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    fs::write(&token_file, "canary-pod\n").unwrap();
    let fetch = Arc::new(source(Some(server(cluster.url(), &token_file)), connections));
    Bench { cluster, fetch, _folder: folder }
}

async fn fetched(fetch: &KubernetesFetch, place: &KubernetesConnection) -> Result<Fetched, LendError> {
    let (connection, host) = (ConnectionName::parse("jira").unwrap(), Host::parse("api.test").unwrap());
    let ask = Ask { workspace: Workspace::local(), agent: "bot".into(), connection, host, scope: None, held: None };
    fetch.fetch(place, &ask).await
}

fn token_of(fetched: &Fetched) -> &str {
    fetched.fields.get("access_token").map(|value| value.expose_str().unwrap()).unwrap_or_default()
}

/// The word of an error, and its reason, which never holds a canary.
fn told(result: Result<Fetched, LendError>) -> String {
    let error = result.unwrap_err();
    let text = format!("{}: {error}", error.word());
    assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"), "{text}");
    text
}

#[tokio::test]
async fn a_secret_is_read_by_its_keys() {
    let bench = bench(&[]).await;
    // canary-1 with a line end, and a key of two lines.
    bench.cluster.state().put("jira", json!({"token": "Y2FuYXJ5LTEK", "tls.key": "YQpiCg=="}));
    let one = fetched(&bench.fetch, &secret("jira")).await.unwrap();
    assert_eq!((token_of(&one), one.expires_at, one.refreshable), ("canary-1", None, false));
    let all = KubernetesConnection::Secret { namespace: Some("apps".into()), name: "jira".into(), fields: None };
    let all = fetched(&bench.fetch, &all).await.unwrap();
    assert_eq!(all.fields.names().collect::<Vec<_>>(), ["tls.key", "token"]);
    assert!(told(fetched(&bench.fetch, &secret("none")).await).starts_with("not_found"));
    bench.cluster.state().put("jira", json!({"token": "canary%"}));
    assert!(told(fetched(&bench.fetch, &secret("jira")).await).starts_with("unavailable"));
}

#[tokio::test]
async fn a_token_is_made_with_its_end() {
    let bench = bench(&[]).await;
    let token = |account: &str| KubernetesConnection::Token {
        namespace: None,
        service_account: account.to_owned(),
        audiences: vec!["api".to_owned()],
        expires_in: Duration::from_secs(1200),
    };
    let made = fetched(&bench.fetch, &token("bot")).await.unwrap();
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 1200);
    assert_eq!((token_of(&made), made.expires_at, made.refreshable), ("canary-token-1", Some(end), true));
    assert_eq!(token_of(&fetched(&bench.fetch, &token("bot")).await.unwrap()), "canary-token-2");
    assert!(told(fetched(&bench.fetch, &token("nobody")).await).starts_with("not_found"));
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let bench = bench(&[]).await;
    for (status, want, hint) in [
        (401, "unusable", "does not accept the token in"),
        (403, "unusable", "a Role has to allow our service account `get` on secrets"),
        (404, "not_found", ""),
        (422, "unusable", ""),
        (429, "unavailable", ""),
        (500, "unavailable", ""),
        (503, "unavailable", ""),
        (307, "unavailable", ""),
    ] {
        bench.cluster.state().down = Some(status);
        let error = told(fetched(&bench.fetch, &secret("jira")).await);
        assert!(error.starts_with(want) && error.contains(hint), "{status}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "canary-pod").unwrap();
    let huge = format!(r#"{{"data":{{"token":"{}"}}}}"#, "canary".repeat(800_000));
    for script in [
        Does::answer(200, "", "canary"),
        Does::answer(200, "", &huge),
        Does::answer(404, "", "<html>canary"),
        Does::answer(200, "", r#"{"data":{"token":"canary"#),
        Does::Say("HTTP/1.1 200 x\r\ncontent-length: 99\r\n\r\ncanary".to_owned()),
        Does::HangUp,
    ] {
        let peer = Peer::start(vec![vec![script]]).await;
        let fetch = source(Some(server(peer.url(""), &file)), &[]);
        assert!(told(fetched(&fetch, &secret("jira")).await).starts_with("unavailable"));
    }
    fs::write(&file, "canary pod").unwrap();
    let fetch = source(Some(server(bench.cluster.url(), &file)), &[]);
    assert!(told(fetched(&fetch, &secret("jira")).await).starts_with("unusable"));
    let fetch = source(Some(server(bench.cluster.url(), "/nowhere/token".as_ref())), &[]);
    assert!(told(fetched(&fetch, &secret("jira")).await).contains("/nowhere/token"));
}

#[tokio::test]
async fn what_happens_to_a_secret_is_noticed_at_once() {
    let bench = bench(&[secret("jira")]).await;
    bench.cluster.state().put("jira", json!({"token": "Y2FuYXJ5LTE="}));
    let mut changes = bench.fetch.changes().unwrap();
    let fetch = Arc::clone(&bench.fetch);
    let follower = tokio::spawn(async move { fetch.follow().await });
    bench.cluster.is_watched().await;
    changes.changed().await.unwrap();
    bench.cluster.state().put("jira", json!({"token": "Y2FuYXJ5LTI="}));
    changes.changed().await.unwrap();
    assert_eq!(token_of(&fetched(&bench.fetch, &secret("jira")).await.unwrap()), "canary-2");
    bench.cluster.state().delete("jira");
    changes.changed().await.unwrap();
    assert!(told(fetched(&bench.fetch, &secret("jira")).await).starts_with("not_found"));
    follower.abort();
}

#[tokio::test]
async fn a_watch_that_ended_goes_on_and_one_that_is_too_old_lists_again() {
    let bench = bench(&[secret("jira")]).await;
    let mut changes = bench.fetch.changes().unwrap();
    let fetch = Arc::clone(&bench.fetch);
    let follower = tokio::spawn(async move { fetch.follow().await });
    bench.cluster.is_watched().await;
    changes.changed().await.unwrap();
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "150"}}}).to_string();
    let (start, end) = bookmark.split_at(20);
    bench.cluster.state().say(start);
    bench.cluster.state().say(&format!("{end}\n"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.cluster.state().hang_up();
    bench.cluster.is_watched().await;
    let last = bench.cluster.state().asked.last().unwrap().clone();
    assert!(last.contains("resourceVersion=150") && !changes.has_changed().unwrap(), "{last}");
    for late in [false, true] {
        {
            let mut state = bench.cluster.state();
            (state.forgotten, state.late) = (151, late);
            state.asked.clear();
            state.hang_up();
        }
        while !bench.cluster.state().asked.iter().any(|asked| !asked.contains("watch=1")) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.cluster.state().forgotten = 0;
        bench.cluster.is_watched().await;
        changes.changed().await.unwrap();
        let bookmark = bookmark.clone() + "\n";
        bench.cluster.state().say(&bookmark);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for garbage in ["canary\n", "{\"type\":\"ERROR\",\"object\":{}}\n", "{\"type\":\"ADDED\",\"object\":{}}\n", "{}\n"]
    {
        bench.cluster.state().say(garbage);
        changes.changed().await.unwrap();
        bench.cluster.is_watched().await;
    }
    follower.abort();
}

#[tokio::test]
async fn a_mounted_token_that_was_exchanged_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let volume = |name: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("token"), "canary").unwrap();
        let link = folder.path().join("..data_tmp");
        symlink(name, &link).unwrap();
        fs::rename(link, folder.path().join("..data")).unwrap();
    };
    volume("..2026_01");
    let place = KubernetesConnection::TokenFile(folder.path().join("..data/token"));
    let clock = Arc::new(TestClock::at(SystemTime::UNIX_EPOCH));
    let fetch = KubernetesFetch::new("k", None, None, [&place].into_iter(), clock.clone());
    let mut changes = fetch.changes().unwrap();
    volume("..2026_02");
    tokio::select! {
        () = fetch.follow() => {}
        changed = changes.changed() => changed.unwrap(),
        () = async { loop { clock.advance(LOOK); tokio::task::yield_now().await } } => {}
    }
    assert!(told(fetched(&fetch, &secret("jira")).await).contains("no API server"));
}

#[tokio::test]
async fn it_does_what_every_source_does() {
    let bench = bench(&[]).await;
    bench.cluster.state().put("jira", json!({"token": "Y2FuYXJ5LTE="}));
    let hosts = vec![HostPattern::parse("api.test").unwrap()];
    let contract = Bindings::new(vec![Binding { hosts, strategy: Strategy::OAuth2 }], false).unwrap();
    let name = ConnectionName::parse("jira").unwrap();
    let Ok(fetch) = Arc::try_unwrap(bench.fetch) else { panic!("it is held elsewhere") };
    let source = Configured::new("k", fetch, [(name, contract, secret("jira"))]);
    Case { source: &source, connection: "jira", host: "api.test", canaries: &["canary"] }.passes().await;
}

#[tokio::test]
async fn the_end_of_a_projected_token_is_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let place = KubernetesConnection::TokenFile(file.clone());
    let fetch = source(None, &[]);
    // {"alg":"RS256"}.{"exp":1800000000.5}.
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDAuNX0.canary";
    fs::write(&file, format!("{token}\n")).unwrap();
    let made = fetched(&fetch, &place).await.unwrap();
    assert_eq!(made.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    assert_eq!(token_of(&made), token);
    for bad in ["canary", "a.canary.b", "e30.e30.e30", "e30.eyJleHAiOi0xfQ.e30", "e30.eyJleHAiOjE4MDAwMDAwMDAuNX0", ""]
    {
        assert_eq!(claimed_end(bad.as_bytes()), None, "{bad}");
        fs::write(&file, bad).unwrap();
        assert!(told(fetched(&fetch, &place).await).starts_with("unusable"), "{bad}");
    }
}
