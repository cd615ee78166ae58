use std::time::{Duration, SystemTime};

use super::*;
use crate::telemetry::TestClock;

fn clock() -> TestClock {
    TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
}

fn known() -> KnownKey {
    let (id, workspace) = ("k1".to_owned(), Workspace::local());
    KnownKey { id, workspace, scope: Scope::Admin, expires_at: None, revoked: false }
}

#[test]
fn a_key_is_admitted_while_it_lives() {
    let access = Access::new(&AccessConfig::default(), &|_| unreachable!()).unwrap();
    let key = ApiKey::new(&[1; 32]);
    let hash = key.hash();
    let presented = Presented::Key(key);
    let admit = |found: Option<KnownKey>| {
        let look_up = |asked: &KeyHash| {
            assert_eq!(asked, &hash);
            Ok(found)
        };
        match access.admit(&presented, look_up, &clock()) {
            Ok(principal) => principal.id().to_owned(),
            Err(denied) => denied.to_string(),
        }
    };
    let until = |at: i64| Some(KnownKey { expires_at: Some(1_800_000_000 + at), ..known() });
    for (found, want) in [
        (Some(known()), "key:k1"),
        (until(1), "key:k1"),
        (until(0), "the API key has expired"),
        (until(-1), "the API key has expired"),
        (Some(KnownKey { revoked: true, ..known() }), "the API key was revoked"),
        (Some(KnownKey { revoked: true, expires_at: Some(1), ..known() }), "the API key was revoked"),
        (None, "the credential is not accepted"),
    ] {
        assert_eq!(admit(found), want);
    }
}

#[test]
fn without_issuers_and_clients_nobody_else_is_admitted() {
    let access = Access::new(&AccessConfig::default(), &|_| unreachable!()).unwrap();
    let none = |_: &KeyHash| -> Result<Option<KnownKey>, StoreError> { panic!("only keys are looked up") };
    let token = Presented::Token(crate::model::Secret::new("e30.e30.e30"));
    assert!(matches!(access.admit(&token, none, &clock()), Err(Denied::Token(_))));
    assert!(matches!(access.admit(&Presented::Certificate(vec![0x30]), none, &clock()), Err(Denied::Certificate)));
}
