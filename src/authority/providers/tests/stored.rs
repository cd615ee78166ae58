//! Providers over the store: what is kept, what is refused, and what becomes of connections.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{oauth, read, with};
use crate::authority::for_tests::{clock, opened};
use crate::authority::providers::registered::Client;
use crate::authority::rows::ConnectionRow;
use crate::authority::{
    Authority, ConnectionError, NewConnection, Plan, Profile, ProviderError, Registered, State, Step,
};
use crate::model::{ConnectionName, Fields, Secret};

const NOW: i64 = 1_800_000_000;

fn open(folder: &Path) -> Authority {
    opened(folder, 7, &[], &clock()).unwrap()
}

fn profile(value: Value) -> Profile {
    Profile::read(value).unwrap()
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn connect(authority: &Authority, name: &str, of: &Registered) -> Result<String, ConnectionError> {
    let mut fields = Fields::new();
    for (field, value) in [("access_token", "at-canary"), ("refresh_token", "rt-canary"), ("expires_in", "3600")] {
        fields.insert(field, Secret::new(value));
    }
    let new = NewConnection {
        name: ConnectionName::parse(name).unwrap(),
        provider: Some(of.definition.name().clone()),
        bindings: of.definition.bindings().unwrap().iter().cloned().collect(),
        owned: of.definition.is_owned(),
        fields,
        expires_at: None,
    };
    Ok(authority.add_of(new, Some(of.clone()))?.id)
}

fn row(authority: &Authority, id: &str) -> ConnectionRow {
    authority.read(|tx| ConnectionRow::by_id(tx, "local", id)).unwrap().unwrap()
}

fn secret(authority: &Authority, id: &str) -> Option<String> {
    let client = authority.read(|tx| Client::find(tx, &authority.desk.vault, "local", id)).unwrap().unwrap();
    client.secret.map(|secret| secret.expose_str().unwrap().to_owned())
}

fn audit(authority: &Authority) -> String {
    let rows = authority.read(|tx| tx.query("SELECT event, body FROM audit ORDER BY sequence", &[])).unwrap();
    rows.iter().map(|row| format!("{} {}\n", row.text(0).unwrap(), row.text(1).unwrap())).collect()
}

fn events(authority: &Authority) -> Vec<String> {
    let rows = authority.read(|tx| tx.query("SELECT kind, name FROM events ORDER BY number", &[])).unwrap();
    rows.iter().map(|row| format!("{} {}", row.text(0).unwrap(), row.text(1).unwrap())).collect()
}

#[test]
fn a_provider_is_made_found_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    assert_eq!((made.version, made.has_secret, made.created_at), (1, true, NOW));
    assert_eq!(authority.provider(&made.id).unwrap(), made);
    assert_eq!(authority.provider_named("acme").unwrap().unwrap(), made);
    assert!(authority.provider_named("Acme").unwrap().is_none());
    assert_eq!(secret(&authority, &made.id).as_deref(), Some("hunter2"));
    assert!(matches!(authority.create_provider(profile(oauth())), Err(ProviderError::Exists(_))));
    for name in ["b", "c", "d"] {
        authority.create_provider(profile(with(oauth(), "name", json!(name)))).unwrap();
    }
    let names = |after: &str, limit| -> Vec<String> {
        let page = authority.providers(after, limit).unwrap();
        page.iter().map(|provider| provider.definition.name().to_string()).collect()
    };
    assert_eq!(names("", 2), ["acme", "b"]);
    assert_eq!(names("b", 9), ["c", "d"]);
    // What the store keeps opens to nobody who reads the file.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|seven| seven == b"hunter2"));
    }
}

#[test]
fn consent_needs_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let without = |header: Value| {
        let mut value = with(oauth(), "auth_header", header);
        value.as_object_mut().unwrap().remove("client_secret");
        profile(value)
    };
    let refused = authority.create_provider(without(json!(null))).unwrap_err();
    assert!(matches!(&refused, ProviderError::Profile(error) if error.code("x") == "missing_client_secret"));
    // A public client has none, and one that is given is not kept.
    let public = authority.create_provider(without(json!("none"))).unwrap();
    assert!(!public.has_secret);
    let given = json!({"name": "key", "auth_type": "api_key", "client_secret": "hunter2"});
    assert!(!authority.create_provider(profile(given)).unwrap().has_secret);
}

#[test]
fn a_change_makes_a_version_and_no_change_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    let same = authority.replace_provider(&made.id, profile(oauth())).unwrap();
    assert!(!same.changed && same.provider == made);
    let mut without = oauth();
    without.as_object_mut().unwrap().remove("client_secret");
    assert!(!authority.replace_provider(&made.id, profile(without)).unwrap().changed, "what GET shows, sent back");
    let other = authority.replace_provider(&made.id, profile(with(oauth(), "scopes", json!(["x"])))).unwrap();
    assert_eq!((other.changed, other.provider.version), (true, 2));
    let patched = authority.patch_provider(&made.id, members(json!({"category": "t", "unknown": 7}))).unwrap();
    assert_eq!(patched.provider.version, 3);
    let removed = authority.patch_provider(&made.id, members(json!({"category": null}))).unwrap();
    assert_eq!(removed.provider.definition, other.provider.definition);
    let rotated = authority.patch_provider(&made.id, members(json!({"client_secret": "hunter3"}))).unwrap();
    assert_eq!((rotated.changed, rotated.provider.version), (true, 5));
    assert_eq!(secret(&authority, &made.id).as_deref(), Some("hunter3"));
    let said = audit(&authority);
    assert!(said.contains("provider.created") && said.contains(r#""keys":["scopes"]"#), "{said}");
    assert!(said.contains(r#""keys":["client_secret"]"#), "{said}");
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    authority.create_provider(profile(with(oauth(), "name", json!("other")))).unwrap();
    let patch = |value: Value| authority.patch_provider(&made.id, members(value));
    assert!(matches!(patch(json!({"auth_type": "saml"})), Err(ProviderError::Profile(_))));
    assert!(matches!(patch(json!({"name": "other"})), Err(ProviderError::Exists(_))));
    assert!(matches!(patch(json!({"name": "A"})), Err(ProviderError::Profile(_))));
    assert!(matches!(patch(json!({"client_secret": null})), Err(ProviderError::Profile(_))));
    // Whoever may change an endpoint does not learn the secret by it.
    let elsewhere = json!({"token_url": "https://evil.example/token"});
    assert!(matches!(patch(elsewhere), Err(ProviderError::SecretMoves)));
    assert!(matches!(patch(json!({"revocation": "https://evil.example/r"})), Err(ProviderError::SecretMoves)));
    assert_eq!(authority.provider(&made.id).unwrap(), made);
    let unknown = authority.patch_provider("none", Map::new());
    assert!(matches!(unknown, Err(ProviderError::NotFound(_))));
    // With the secret, it is somebody who knows it anyway.
    let moved = patch(json!({"token_url": "https://new.example/token", "client_secret": "hunter4"})).unwrap();
    assert_eq!((moved.changed, secret(&authority, &made.id).as_deref()), (true, Some("hunter4")));
}

#[test]
fn a_secret_opens_for_the_endpoints_that_it_was_given_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    let edited = read(with(oauth(), "token_url", json!("https://evil.example/token"))).text();
    let id = made.id.clone();
    authority
        .write(move |work| {
            work.execute("UPDATE providers SET document = $1 WHERE id = $2", &[edited.into(), id.into()])
        })
        .unwrap();
    let found = authority.read(|tx| Client::find(tx, &authority.desk.vault, "local", &made.id));
    assert!(matches!(found, Err(ProviderError::Sealed { .. })));
}

#[test]
fn a_connection_pins_its_provider() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    let id = connect(&authority, "work", &made).unwrap();
    let before = row(&authority, &id);
    let (end, renewed) = (before.expires_at.unwrap(), before.refresh_at.unwrap());
    assert_eq!(end, NOW + 3600);
    assert!((end - 1080..=end - 720).contains(&renewed), "{renewed}");
    assert!(before.endpoints.as_ref().unwrap().contains("https://acme.example/token"));
    // What does not touch it leaves it alone.
    let changed = authority.patch_provider(&made.id, members(json!({"scopes": [], "params": {"x": 1}}))).unwrap();
    assert!(changed.changed && changed.attention.is_empty());
    assert_eq!(row(&authority, &id), before);
    assert!(matches!(connect(&authority, "late", &made), Err(ConnectionError::Provider(ProviderError::Changed(_)))));
}

#[test]
fn what_moves_endpoints_or_hosts_moves_connections_to_attention() {
    for change in [
        json!({"token_url": "https://acme.example/v2/token"}),
        json!({"api_base_url": "https://other.acme.example"}),
        json!({"client_id": "another"}),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let authority = open(folder.path());
        let made = authority.create_provider(profile(oauth())).unwrap();
        let id = connect(&authority, "work", &made).unwrap();
        let after = read(with(
            oauth(),
            change.as_object().unwrap().keys().next().unwrap(),
            change.as_object().unwrap().values().next().unwrap().clone(),
        ));
        assert_eq!(authority.connections_moved_by(&made.id, Some(&after)).unwrap(), ["work"], "{change}");
        let changed = authority.patch_provider(&made.id, members(change.clone())).unwrap();
        assert_eq!(changed.attention, ["work"], "{change}");
        let moved = row(&authority, &id);
        assert_eq!(
            (moved.state, moved.why.as_deref(), moved.refresh_at),
            (State::Attention, Some("provider_changed"), None)
        );
        assert!(events(&authority).contains(&"connection.changed work".to_owned()));
        // Its credentials are as they were, and a new one is what the provider says now.
        let fresh = connect(&authority, "new", &changed.provider).unwrap();
        assert_eq!(row(&authority, &fresh).state, State::Active);
        assert!(authority.connections_moved_by(&made.id, Some(&changed.provider.definition)).unwrap().is_empty());
    }
}

#[test]
fn a_provider_that_was_deleted_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    let id = connect(&authority, "work", &made).unwrap();
    assert_eq!(authority.connections_moved_by(&made.id, None).unwrap(), ["work"]);
    assert_eq!(authority.delete_provider(&made.id).unwrap(), ["work"]);
    let moved = row(&authority, &id);
    assert_eq!(
        (moved.state, moved.why.as_deref(), moved.refresh_at),
        (State::Attention, Some("provider_deleted"), None)
    );
    assert!(matches!(authority.provider(&made.id), Err(ProviderError::NotFound(_))));
    assert!(matches!(authority.delete_provider(&made.id), Err(ProviderError::NotFound(_))));
    assert!(matches!(connect(&authority, "late", &made), Err(ConnectionError::Provider(ProviderError::NotFound(_)))));
    let client = authority.read(|tx| Client::find(tx, &authority.desk.vault, "local", &made.id)).unwrap().unwrap();
    assert!(client.deleted && client.secret.is_some(), "its tokens can still be taken back");
    // The name is free again, for another provider with another id, which has no connections.
    let again = authority.create_provider(profile(oauth())).unwrap();
    assert_ne!(again.id, made.id);
    assert!(authority.connections_moved_by(&again.id, None).unwrap().is_empty());
}

#[test]
fn a_provider_with_connections_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made = authority.create_provider(profile(oauth())).unwrap();
    let renamed = authority.patch_provider(&made.id, members(json!({"name": "acme2"}))).unwrap();
    assert_eq!(renamed.provider.definition.name().as_str(), "acme2");
    connect(&authority, "work", &renamed.provider).unwrap();
    let refused = authority.patch_provider(&made.id, members(json!({"name": "acme"})));
    assert!(matches!(refused, Err(ProviderError::Named { count: 1, .. })));
}

#[test]
fn nothing_that_was_sent_is_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let canary = json!({"prompt": "canary-param", "nested": {"secret": "canary-param"}});
    let made = authority.create_provider(profile(with(oauth(), "params", canary.clone()))).unwrap();
    let change =
        json!({"client_secret": "canary-secret", "params": {"prompt": "canary-param-2"}, "description": "canary-text"});
    authority.patch_provider(&made.id, members(change)).unwrap();
    authority.delete_provider(&made.id).unwrap();
    let said = audit(&authority);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("params.prompt") && !said.contains("canary"), "{said}");
}

#[test]
fn of_two_writers_one_makes_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| usize::from(authority.create_provider(profile(oauth())).is_ok()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(made, 1);
}

#[test]
fn a_plan_is_done_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let named = |name: &str| with(oauth(), "name", json!(name));
    for name in ["a", "b", "c"] {
        authority.create_provider(profile(named(name))).unwrap();
    }
    let b = authority.provider_named("b").unwrap().unwrap();
    connect(&authority, "work", &b).unwrap();
    let moved = with(named("b"), "token_url", json!("https://acme.example/v2"));
    let wanted = || vec![profile(named("d")), profile(moved.clone()), profile(named("a"))];
    let plan = |prune| authority.plan_providers(wanted(), prune).unwrap();
    let told = |plan: &Plan| -> Vec<String> {
        let tell = |step: &Step| match step {
            Step::Add(profile) => format!("+{}", profile.definition.name()),
            Step::Keep(before) => format!("={}", before.definition.name()),
            Step::Change { before, differences, secret, attention, .. } => {
                let keys: Vec<&str> = differences.iter().map(|difference| difference.key.as_str()).collect();
                format!("~{} {keys:?} {secret} {attention:?}", before.definition.name())
            }
            Step::Remove { before, attention } => format!("-{} {attention:?}", before.definition.name()),
        };
        plan.steps().iter().map(tell).collect()
    };
    let change = "~b [\"token_url\"] false [\"work\"]";
    assert_eq!(told(&plan(false)), ["=a", change, "+d"]);
    assert_eq!(told(&plan(true)), ["=a", change, "-c []", "+d"]);
    // Somebody else was quicker: nothing of the plan is done.
    let late = plan(true);
    let c = authority.provider_named("c").unwrap().unwrap();
    authority.patch_provider(&c.id, members(json!({"category": "x"}))).unwrap();
    assert!(matches!(authority.apply_providers(late), Err(ProviderError::Changed(_))));
    assert!(authority.provider_named("d").unwrap().is_none());
    let done = authority.apply_providers(plan(true)).unwrap();
    assert_eq!(done.iter().flat_map(|changed| &changed.attention).collect::<Vec<_>>(), ["work"]);
    // A second time there is nothing to do, and nothing is written.
    let lines = audit(&authority).lines().count();
    let again = plan(true);
    assert!(again.is_empty() && again.steps().len() == 3);
    assert!(authority.apply_providers(again).unwrap().is_empty());
    assert_eq!(audit(&authority).lines().count(), lines);
    let rotated = profile(with(named("a"), "client_secret", json!("other")));
    assert_eq!(told(&authority.plan_providers(vec![rotated], false).unwrap()), ["~a [] true []"]);
    assert!(Plan::of_nothing(wanted()).steps().iter().all(|step| matches!(step, Step::Add(_))));
}
