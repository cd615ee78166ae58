use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::authority::for_tests::{clock, opened};
use crate::authority::{Changed, Granted, NewConnection, event::Event};
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Strategy};
use crate::telemetry::{Clock as _, TestClock};

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn open(folder: &Path) -> (Authority, Arc<TestClock>) {
    let clock = clock();
    (opened(folder, 7, &[], &clock).unwrap(), clock)
}

fn connection(authority: &Authority, name: &str) -> String {
    let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
    let strategy = Strategy::from_json(&json!({"type": "oauth2"})).unwrap();
    let mut fields = Fields::new();
    fields.insert("access_token", Secret::new("t"));
    let (name, bindings) = (ConnectionName::parse(name).unwrap(), vec![Binding { hosts, strategy }]);
    authority.add(NewConnection { name, provider: None, bindings, owned: false, fields, expires_at: None }).unwrap().id
}

fn key(name: &str, scope: Scope) -> NewKey {
    NewKey { name: name.into(), scope, expires_at: None }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Event and body of each line of the audit.
fn lines(authority: &Authority) -> Vec<String> {
    let sql = "SELECT body FROM audit ORDER BY sequence";
    let rows = authority.read::<_, StoreError>(|tx| tx.query(sql, &[])).unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

fn news(authority: &Authority) -> Vec<String> {
    let events = authority.read::<_, StoreError>(|tx| Event::after(tx, "local", 0, 100)).unwrap();
    let told = |event: Event| {
        let name = event.news.connection.map(|(_, name)| name).unwrap_or_default();
        format!("{} {} {name}", event.news.kind, event.news.agent.unwrap_or_default()).trim().to_owned()
    };
    events.into_iter().map(told).filter(|told| !told.starts_with("connection.")).collect()
}

#[test]
fn a_key_is_made_found_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clock) = open(folder.path());
    let hour = clock.wall() + Duration::from_secs(3600);
    let (text, made) = authority.add_key(NewKey { expires_at: Some(hour), ..key("ci", Scope::Admin) }).unwrap();
    assert_eq!((made.state(clock.wall()), made.state(hour)), ("active", "expired"));
    let known = authority.known_key(&text.hash()).unwrap().unwrap();
    assert_eq!((known.id.as_str(), &known.scope, known.revoked), (made.id.as_str(), &Scope::Admin, false));
    assert_eq!(known.expires_at, Some(seconds(hour)));
    assert_eq!(known.workspace, Workspace::local());
    let revoked = authority.revoke_key(&made.id).unwrap();
    assert_eq!(authority.revoke_key(&made.id).unwrap(), revoked, "once more changes nothing");
    assert_eq!(authority.keys().unwrap(), [revoked]);
    assert!(authority.known_key(&text.hash()).unwrap().unwrap().revoked);
    assert!(authority.known_key(&ApiKey::new(&[0; 32]).hash()).unwrap().is_none());
    let told: Vec<bool> = lines(&authority).iter().map(|line| line.contains(&made.id)).collect();
    assert_eq!(told, [true, true]);
}

#[test]
fn what_a_scope_names_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = open(folder.path());
    let id = connection(&authority, "github");
    authority.add_agent("bot").unwrap();
    authority.add_agent("old").unwrap();
    authority.revoke_agent("old").unwrap();
    let refused = |scope: Scope| authority.add_key(key("", scope)).unwrap_err().to_string();
    for (scope, want) in [
        (Scope::Sidecar { agents: set(&[]) }, "names the agents"),
        (Scope::Sidecar { agents: set(&["bot", "ghost"]) }, "there is no agent \"ghost\""),
        (Scope::Sidecar { agents: set(&["old"]) }, "the agent \"old\" was revoked"),
        (Scope::Agent { agent: "ghost".into() }, "there is no agent \"ghost\""),
        (Scope::Lease { connections: set(&[]) }, "names the connections"),
        (Scope::Lease { connections: set(&["gitlab"]) }, "there is no connection \"gitlab\""),
    ] {
        assert!(refused(scope).contains(want), "{want}");
    }
    assert!(authority.keys().unwrap().is_empty());
    for scope in [
        Scope::App,
        Scope::Sidecar { agents: set(&["bot"]) },
        Scope::Agent { agent: "bot".into() },
        Scope::Lease { connections: set(&[&id]) },
    ] {
        let (text, made) = authority.add_key(key("", scope.clone())).unwrap();
        assert_eq!(made.scope, scope);
        assert_eq!(authority.known_key(&text.hash()).unwrap().unwrap().scope, scope);
    }
    let (_, by_name) = authority.add_key(key("", Scope::Lease { connections: set(&["github"]) })).unwrap();
    assert_eq!(by_name.scope, Scope::Lease { connections: set(&[&id]) }, "a name stands for its id");
    let past = NewKey { expires_at: Some(SystemTime::UNIX_EPOCH + NOW), ..key("", Scope::Admin) };
    assert!(matches!(authority.add_key(past), Err(AccessError::Past)));
    assert!(matches!(authority.add_key(key("a\nb", Scope::Admin)), Err(AccessError::KeyName)));
    assert!(matches!(authority.revoke_key("k_0"), Err(AccessError::NoKey(_))));
}

#[test]
fn one_workspace_knows_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (local, _) = open(folder.path());
    let other = local.within(Workspace::parse("other").unwrap());
    let (text, made) = other.add_key(key("", Scope::Admin)).unwrap();
    assert!(local.keys().unwrap().is_empty());
    assert!(matches!(local.revoke_key(&made.id), Err(AccessError::NoKey(_))));
    assert_eq!(local.known_key(&text.hash()).unwrap().unwrap().workspace.as_str(), "other");
    other.add_agent("bot").unwrap();
    assert!(local.agents().unwrap().is_empty());
    assert!(matches!(local.revoke_agent("bot"), Err(AccessError::NoAgent(_))));
    connection(&local, "github");
    assert!(matches!(other.allow("bot", "github"), Err(AccessError::NoConnection(_))));
}

#[test]
fn the_first_key_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = open(folder.path());
    let path = authority.first_key(folder.path()).unwrap().unwrap();
    assert_eq!(path, folder.path().join("admin-key"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = left(&path).unwrap();
    assert_eq!(authority.known_key(&key.hash()).unwrap().unwrap().scope, Scope::Admin);
    assert_eq!(authority.first_key(folder.path()).unwrap(), None);
    assert!(path.exists());
    // Not even after it was revoked: whoever did that wanted no such key.
    authority.revoke_key(&authority.keys().unwrap()[0].id).unwrap();
    assert_eq!(authority.first_key(folder.path()).unwrap(), None);
}

#[test]
fn a_first_start_that_ended_half_way_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = open(folder.path());
    let path = folder.path().join("admin-key");
    fs::write(&path, "something else\n").unwrap();
    assert!(matches!(authority.first_key(folder.path()), Err(AccessError::InTheWay { .. })));
    fs::remove_file(&path).unwrap();
    let key = ApiKey::new(&[9; 32]);
    key.write_to(&path).unwrap();
    assert!(matches!(key.write_to(&path), Err(AccessError::File { .. })), "no file is written over");
    assert_eq!(authority.first_key(folder.path()).unwrap(), Some(path));
    assert!(authority.known_key(&key.hash()).unwrap().is_some());
}

#[test]
fn agents_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = open(folder.path());
    let id = connection(&authority, "github");
    for bad in ["", "a:b", "*", " a", "a\u{e9}"] {
        assert!(matches!(authority.add_agent(bad), Err(AccessError::AgentName)), "{bad}");
    }
    authority.add_agent("bot").unwrap();
    assert!(matches!(authority.add_agent("bot"), Err(AccessError::AgentExists(_))));
    assert_eq!(authority.allow("bot", "github").unwrap().1, Changed::Yes);
    assert_eq!(authority.allow("bot", &id).unwrap().1, Changed::No, "by its id it is the same");
    assert_eq!(authority.grants().unwrap().len(), 1);
    let revoked = authority.revoke_agent("bot").unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(authority.revoke_agent("bot").unwrap(), revoked);
    assert!(authority.grants().unwrap().is_empty(), "grants end with their agent");
    assert!(matches!(authority.allow("bot", "github"), Err(AccessError::AgentRevoked(_))));
    assert!(matches!(authority.allow("ghost", "github"), Err(AccessError::NoAgent(_))));
    assert_eq!(authority.add_agent("bot").unwrap().revoked_at, None);
    assert!(authority.grants().unwrap().is_empty(), "and are not back when it is");
    assert_eq!(authority.agents().unwrap().len(), 1);
    assert!(matches!(authority.revoke_agent("ghost"), Err(AccessError::NoAgent(_))));
    assert_eq!(news(&authority), ["grant.changed bot github", "agent.revoked bot"]);
}

#[test]
fn grants_are_given_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = open(folder.path());
    let (github, jira) = (connection(&authority, "github"), connection(&authority, "jira"));
    for agent in ["a", "b"] {
        authority.add_agent(agent).unwrap();
        authority.allow(agent, "github").unwrap();
    }
    authority.allow("a", "jira").unwrap();
    let pairs = |grants: Vec<Granted>| -> BTreeSet<_> { grants.into_iter().map(|one| (one.agent, one.name)).collect() };
    let pair = |agent: &str, name: &str| (agent.to_owned(), name.to_owned());
    let all = [pair("a", "github"), pair("a", "jira"), pair("b", "github")];
    assert_eq!(pairs(authority.grants().unwrap()), BTreeSet::from(all.clone()));
    let first = authority.grants_after(("", ""), 1).unwrap().remove(0);
    assert_eq!(first.connection, github.clone().min(jira));
    let rest = authority.grants_after((&first.agent, &first.connection), 9).unwrap();
    assert_eq!(rest.len(), 2);
    assert_eq!(authority.disallow("a", &github).unwrap().1, Changed::Yes);
    assert_eq!(authority.disallow("a", "github").unwrap().1, Changed::No);
    assert_eq!(authority.disallow("ghost", "github").unwrap().1, Changed::No);
    assert!(matches!(authority.disallow("a", "gitlab"), Err(AccessError::NoConnection(_))));
    assert_eq!(pairs(authority.grants().unwrap()), BTreeSet::from([all[1].clone(), all[2].clone()]));
    authority.delete(&ConnectionName::parse("github").unwrap()).unwrap();
    assert_eq!(pairs(authority.grants().unwrap()), BTreeSet::from([all[1].clone()]));
    assert_eq!(news(&authority).len(), 4);
}

/// The text of a key is in the answer to whoever made it, and nowhere else.
#[test]
fn a_keys_text_is_nowhere_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = open(folder.path());
    let (text, made) = authority.add_key(key("ci", Scope::Admin)).unwrap();
    authority.revoke_key(&made.id).unwrap();
    let known = authority.known_key(&text.hash()).unwrap().unwrap();
    let shown = format!("{text:?} {made:?} {known:?} {:?} {:?}", authority.keys().unwrap(), lines(&authority));
    let secret = text.secret().expose_str().unwrap();
    let hash = text.hash();
    let traces = [secret[8..].to_owned(), hex::encode(hash.as_bytes()), format!("{:?}", hash.as_bytes())];
    for trace in &traces {
        assert!(!shown.contains(trace.as_str()), "{shown}");
    }
    drop(authority);
    for entry in fs::read_dir(folder.path()).unwrap() {
        // SQLite takes its log away as the last thread of ours lets go of it.
        let Ok(bytes) = fs::read(entry.unwrap().path()) else { continue };
        assert!(memchr::memmem::find(&bytes, &secret.as_bytes()[8..]).is_none(), "the store holds the key");
    }
}
