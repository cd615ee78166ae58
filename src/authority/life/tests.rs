use std::collections::BTreeSet;

use super::*;
use crate::authority::for_tests::{Fixture, bearer};
use crate::authority::store::StoreError;

#[test]
fn every_edge_is_drawn_and_no_other() {
    let drawn: BTreeSet<(&str, &str)> = [
        ("pending", "active"),
        ("pending", "failed"),
        ("pending", "expired"),
        ("pending", "revoked"),
        ("active", "attention"),
        ("active", "expired"),
        ("active", "revoked"),
        ("attention", "active"),
        ("attention", "expired"),
        ("attention", "revoked"),
        ("expired", "active"),
        ("expired", "revoked"),
        ("failed", "active"),
        ("failed", "revoked"),
    ]
    .into();
    let fixture = Fixture::new();
    fixture.authority.add(bearer("c", "t")).unwrap();
    for from in State::ALL {
        for to in State::ALL {
            let before = (fixture.news().len(), fixture.lines().len());
            let stepped = fixture.authority.write(move |work| {
                let mut row = work.lock("c")?.unwrap();
                row.state = from;
                (row.refresh_at, row.refresh_tries, row.why) = (Some(9), 3, Some("old".to_owned()));
                let stepped = step(work, &mut row, to, Some("because"));
                Ok::<_, StoreError>((row, stepped))
            });
            let (row, stepped) = stepped.unwrap();
            let (news, lines) = (fixture.news().split_off(before.0), fixture.lines().split_off(before.1));
            if !drawn.contains(&(from.as_str(), to.as_str())) {
                assert_eq!(stepped, Err(NoSuchEdge { name: "c".into(), from, to }));
                assert_eq!((row.state, row.why.as_deref(), row.refresh_at), (from, Some("old"), Some(9)));
                assert!(news.is_empty() && lines.is_empty(), "{from:?} {to:?}: {news:?} {lines:?}");
                continue;
            }
            assert_eq!((stepped, row.state, row.why.as_deref()), (Ok(()), to, Some("because")));
            assert_eq!(row.refresh_at.is_some(), to == State::Active);
            let kind = if to == State::Revoked { "connection.revoked" } else { "connection.changed" };
            assert_eq!((news.as_slice(), lines.len()), (&[kind.to_owned()][..], 1), "{from:?} {to:?}");
            let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!(line["event"], format!("connection.{}", to.as_str()));
            assert_eq!((&line["from"], &line["why"]), (&from.as_str().into(), &"because".into()));
        }
    }
}
