use std::path::Path;

use super::*;
use crate::authority::NewConnection;
use crate::authority::for_tests::{clock, opened};
use crate::authority::store::for_tests::edit;
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Secret, Strategy};

fn open(folder: &Path, key: u8, others: &[u8]) -> Result<Authority, AuthorityError> {
    opened(folder, key, others, &clock())
}

fn name(number: usize) -> ConnectionName {
    ConnectionName::parse(&format!("c{number}")).unwrap()
}

fn add(authority: &Authority, number: usize) {
    let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
    let mut fields = Fields::new();
    fields.insert("access_token", Secret::new(format!("token-{number}")));
    let bindings = vec![Binding { hosts, strategy: Strategy::OAuth2 }];
    let new = NewConnection { name: name(number), provider: None, bindings, owned: false, fields, expires_at: None };
    authority.add(new).unwrap();
}

/// The token of a connection, if these keys open it.
fn token(authority: &Authority, number: usize) -> Option<String> {
    let row = super::super::rows::ConnectionRow::find;
    let row = authority.read(|tx| row(tx, "local", name(number).as_str())).unwrap().unwrap();
    let fields = authority.desk.vault.open(&row).ok()?;
    Some(fields.get("access_token").unwrap().expose_str().unwrap().to_owned())
}

#[test]
fn every_row_is_wrapped_anew_while_others_use_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let old = open(folder.path(), 1, &[2]).unwrap();
    (0..250).for_each(|number| add(&old, number));
    let new = open(folder.path(), 2, &[1]).unwrap();
    let mut batches = 0;
    let done = new.rotate_key(|_| {
        batches += 1;
        // Both kinds of process read and write meanwhile.
        assert_eq!(token(&old, 200).as_deref(), Some("token-200"));
        if batches == 1 {
            add(&new, 900);
            add(&old, 901);
        }
    });
    let done = done.unwrap();
    assert!(done.rows >= 250 && done.unusable == 0 && batches >= 3, "{done:?}");
    // What the old one wrote behind the rotation's back is left, and the next run finds it.
    assert!(new.rotate_key(|_| {}).unwrap().rows <= 1);
    assert_eq!(new.rotate_key(|_| {}).unwrap(), Rotated::default());
    drop((old, new));
    let alone = open(folder.path(), 2, &[]).unwrap();
    for number in [0, 120, 249, 900, 901] {
        assert_eq!(token(&alone, number), Some(format!("token-{number}")));
    }
    add(&alone, 950);
    assert!(matches!(open(folder.path(), 1, &[]), Err(AuthorityError::OtherKey { .. })));
    assert!(open(folder.path(), 1, &[2]).is_ok());
}

#[test]
fn what_opens_under_no_key_is_counted_and_keeps_the_old_key_known() {
    let folder = tempfile::tempdir().unwrap();
    let old = open(folder.path(), 1, &[]).unwrap();
    add(&old, 1);
    add(&old, 2);
    edit(&*old.desk.store, "UPDATE connections SET wrapped_key = substr(wrapped_key, 1, 1) WHERE name = 'c1'");
    let new = open(folder.path(), 2, &[1]).unwrap();
    assert_eq!(new.rotate_key(|_| {}).unwrap(), Rotated { rows: 1, unusable: 1 });
    assert!(matches!(open(folder.path(), 2, &[]), Err(AuthorityError::OtherKey { .. })));
    assert_eq!(token(&new, 2).as_deref(), Some("token-2"));
}
