use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::authority::for_tests::{clock, opened};
use crate::authority::store::for_tests::edit;
use crate::lease::{Ask, FieldError, LendError, Loan, suite};
use crate::model::{Binding, ConnectionName, Fields, Host, HostPattern, Secret, Strategy, Workspace};
use crate::telemetry::TestClock;

const NOW: Duration = Duration::from_secs(1_800_000_000);

pub(super) fn open_with(folder: &Path, key: u8) -> Result<(Authority, Arc<TestClock>), AuthorityError> {
    let clock = clock();
    opened(folder, key, &[], &clock).map(|opened| (opened, clock))
}

pub(super) fn open(folder: &Path) -> Authority {
    open_with(folder, 7).unwrap().0
}

pub(super) fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).unwrap()
}

pub(super) fn fields(given: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in given {
        fields.insert(*name, Secret::new(*value));
    }
    fields
}

fn new(named: &str, strategy: serde_json::Value, given: &[(&str, &str)]) -> NewConnection {
    let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
    let bindings = vec![Binding { hosts, strategy: Strategy::from_json(&strategy).unwrap() }];
    NewConnection { name: name(named), provider: None, bindings, owned: false, fields: fields(given), expires_at: None }
}

pub(super) fn bearer(named: &str, token: &str) -> NewConnection {
    new(named, json!({"type": "oauth2"}), &[("access_token", token), ("refresh_token", "r")])
}

pub(super) async fn lend(source: &dyn LeaseSource, named: &str) -> Result<Loan, LendError> {
    let host = Host::parse("api.example.com").unwrap();
    let (workspace, agent, connection) = (Workspace::local(), "bot".into(), name(named));
    let ask = Ask { workspace, agent, connection, host, scope: None, held: None };
    source.lend(&ask).await.map(|borrowed| borrowed.loan().unwrap())
}

fn token(loan: &Loan) -> String {
    loan.credentials.get("access_token").unwrap().expose_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_added_is_lent_without_what_renews_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    assert!(authority.made());
    let made = authority.add(bearer("github", "canary-1")).unwrap();
    assert_eq!((made.version, made.field_names.join(",").as_str()), (1, "access_token,refresh_token"));
    let loan = lend(&*authority.source(), "github").await.unwrap();
    assert_eq!((token(&loan).as_str(), &*loan.id, loan.version), ("canary-1", made.id.as_str(), 1));
    assert_eq!(loan.credentials.names().collect::<Vec<_>>(), ["access_token"]);
    assert_eq!(lend(&*authority.source(), "gitlab").await.unwrap_err(), LendError::NotFound(name("gitlab")));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|eight| eight == b"canary-1"), "a value lies in the open");
    }
}

#[tokio::test]
async fn the_store_is_a_source_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    authority.add(bearer("github", "canary-1")).unwrap();
    let source = authority.source();
    let (connection, host) = ("github", "api.example.com");
    suite::Case { source: &*source, connection, host, canaries: &["canary-1"] }.passes().await;
}

#[test]
fn a_new_version_keeps_the_id_and_the_other_fields() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let aws = json!({"type": "aws_sigv4"});
    let made = authority.add(new("aws", aws, &[("access_key", "AK"), ("secret_key", "SK")])).unwrap();
    let changed = authority.set(&name("aws"), fields(&[("session_token", "ST")]), None).unwrap();
    assert_eq!((changed.id.as_str(), changed.version), (made.id.as_str(), 2));
    assert_eq!(changed.field_names, ["access_key", "secret_key", "session_token"]);
    assert_eq!(authority.list().unwrap(), [authority.show(&name("aws")).unwrap()]);
    assert!(matches!(authority.set(&name("gcp"), Fields::new(), None), Err(ConnectionError::NotFound(_))));
    authority.delete(&name("aws")).unwrap();
    assert!(matches!(authority.delete(&name("aws")), Err(ConnectionError::NotFound(_))));
    let again =
        authority.add(new("aws", json!({"type": "aws_sigv4"}), &[("access_key", "AK"), ("secret_key", "SK")])).unwrap();
    assert_ne!(again.id, made.id);
}

#[test]
fn what_could_not_be_used_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let header = || json!({"type": "header", "config": {"credential_field": "key"}});
    let hmac = json!({"type": "hmac_payload", "config": {"header_name": "x-signature"}});
    for (new, want) in [
        (new("a", header(), &[]), "needs the field key"),
        (new("a", header(), &[("key", "")]), "the field key is empty"),
        (new("a", header(), &[("key", "x\ny")]), "the field key holds a line break"),
        (new("a", header(), &[("key", " \t ")]), "the field key holds blanks alone"),
        (
            new("a", json!({"type": "basic_auth"}), &[("username", "u:v"), ("password", "p:q")]),
            "the field username is a user name with a colon",
        ),
        (new("a", header(), &[("key", "x"), ("api_key", "y")]), "uses the field api_key: it needs key"),
        (new("a", json!({"type": "basic_auth"}), &[("username", "u")]), "needs the field password"),
        (
            new("a", json!({"type": "aws_sigv4"}), &[("access_key", "a"), ("secret_key", "s"), ("session_token", "")]),
            "the field session_token is empty",
        ),
    ] {
        let error = authority.add(new).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    assert!(authority.add(new("b", hmac, &[("api_secret", "x\ny")])).is_ok());
    assert!(matches!(authority.add(new("b", header(), &[("key", "x")])), Err(ConnectionError::Exists(_))));
    assert!(matches!(
        authority.set(&name("b"), fields(&[("api_secret", "")]), None),
        Err(ConnectionError::Fields(FieldError::Value { .. }))
    ));
    assert_eq!(authority.show(&name("b")).unwrap().version, 1);
    let wildcard = Binding { hosts: vec![HostPattern::parse("*.example.com").unwrap()], strategy: Strategy::OAuth2 };
    let new = NewConnection { bindings: vec![wildcard], ..bearer("c", "t") };
    assert!(matches!(authority.add(new), Err(ConnectionError::Binding(_))));
}

#[tokio::test]
async fn an_end_is_kept_and_a_new_version_may_lift_it() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clock) = open_with(folder.path(), 7).unwrap();
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(seconds));
    assert!(matches!(
        authority.add(NewConnection { expires_at: at(0), ..bearer("a", "t") }),
        Err(ConnectionError::Past)
    ));
    authority.add(NewConnection { expires_at: at(60), ..bearer("a", "t") }).unwrap();
    let source = authority.source();
    assert_eq!(lend(&*source, "a").await.unwrap().expires_at, at(60));
    clock.advance(Duration::from_secs(60));
    assert_eq!(lend(&*source, "a").await.unwrap_err(), LendError::Expired(name("a")));
    assert_eq!(authority.set(&name("a"), fields(&[("access_token", "t2")]), None).unwrap().expires_at, None);
    assert_eq!(token(&lend(&*source, "a").await.unwrap()), "t2");
}

#[tokio::test]
async fn a_store_is_shared_and_a_change_by_one_is_seen_by_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    assert!(one.made() && !two.made());
    one.add(bearer("github", "t1")).unwrap();
    let source = two.source();
    let id = lend(&*source, "github").await.unwrap().id;
    let mut changes = source.changes();
    changes.mark_unchanged();
    // It takes 100 ms; a busy machine may be late.
    let limit = Duration::from_secs(20);
    for (change, there) in [("set", true), ("delete", false)] {
        match change {
            "set" => drop(one.set(&name("github"), fields(&[("access_token", "t2")]), None).unwrap()),
            _ => one.delete(&name("github")).unwrap(),
        }
        tokio::time::timeout(limit, changes.changed()).await.expect(change).unwrap();
        let still = source.still_there(&name("github"), &id).await;
        assert_eq!(still.unwrap_or(false), there, "{change}");
    }
    assert_eq!(lend(&*source, "github").await.unwrap_err(), LendError::NotFound(name("github")));
}

#[tokio::test]
async fn a_row_that_was_edited_is_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    authority.add(bearer("a", "ta")).unwrap();
    authority.add(bearer("b", "tb")).unwrap();
    let source = authority.source();
    let edit = |sql| assert_eq!(edit(&*authority.desk.store, sql), 1);
    edit("UPDATE connections SET bindings = replace(bindings, 'api.example.com', 'evil.example') WHERE name = 'a'");
    assert!(matches!(lend(&*source, "a").await, Err(LendError::Unusable { .. })));
    assert!(matches!(authority.set(&name("a"), Fields::new(), None), Err(ConnectionError::Sealed { .. })));
    edit("UPDATE connections SET name = 'c' WHERE name = 'b'");
    assert!(matches!(lend(&*source, "c").await, Err(LendError::Unusable { .. })));
    edit("UPDATE connections SET state = 'revoked' WHERE name = 'a'");
    assert_eq!(lend(&*source, "a").await.unwrap_err(), LendError::Revoked(name("a")));
    assert!(matches!(authority.set(&name("a"), Fields::new(), None), Err(ConnectionError::Revoked(_))));
    edit("UPDATE connections SET state = 'nonsense' WHERE name = 'a'");
    assert!(matches!(lend(&*source, "a").await, Err(LendError::Unavailable { .. })));
}

#[test]
fn another_key_is_refused_and_the_cas_key_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(folder.path());
    let Err(error) = open_with(folder.path(), 8) else { panic!("another key opened the store") };
    assert!(matches!(error, AuthorityError::OtherKey { .. }), "{error}");
    assert!(error.to_string().contains("was sealed under another key"), "{error}");
    let sealed = authority.ca_sealer().seal([1; 12], b"ca", b"key").unwrap();
    assert_eq!(open(folder.path()).ca_sealer().open(b"ca", &sealed).unwrap().expose(), b"key");
}

#[test]
fn two_first_users_with_two_keys_do_not_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=6).map(|key| scope.spawn(move || open_with(path, key).map(|_| key))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let owners: Vec<u8> = opened.iter().filter_map(|opened| opened.as_ref().ok().copied()).collect();
    assert_eq!(owners.len(), 1);
    for error in opened.iter().filter_map(|opened| opened.as_ref().err()) {
        assert!(matches!(error, AuthorityError::OtherKey { .. }), "{error:?}");
    }
    assert!(open_with(path, owners[0]).is_ok());
}

#[test]
fn writers_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let folder = folder.path();
            scope.spawn(move || {
                let authority = open(folder);
                for index in 0..5 {
                    authority.add(bearer(&format!("c-{writer}-{index}"), "t")).unwrap();
                    authority.set(&name(&format!("c-{writer}-0")), Fields::new(), None).unwrap();
                }
            });
        }
    });
    let all = open(folder.path()).list().unwrap();
    assert_eq!(all.len(), 15);
    assert_eq!(all.iter().map(|connection| connection.version).max(), Some(6));
}
