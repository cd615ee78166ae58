use super::*;
use crate::authority::for_tests::{clock, opened};
use crate::authority::record::Record;
use crate::authority::store::for_tests::edit;

fn fixture() -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = opened(folder.path(), 7, &[], &clock()).unwrap();
    for number in 0..5 {
        say(&authority, number);
    }
    (folder, authority)
}

fn say(authority: &Authority, number: i64) {
    let done: Result<(), StoreError> = authority.write(move |work| {
        work.record(Record::new("test.said").connection("c1", "github").with("number", number));
        Ok(())
    });
    done.unwrap();
}

fn findings(authority: &Authority, heads: &[StoreHead]) -> Vec<String> {
    authority.verify_audit(heads).unwrap().findings
}

#[test]
fn what_nobody_touched_holds_and_goes_on_holding() {
    let (_folder, authority) = fixture();
    let report = authority.verify_audit(&[]).unwrap();
    assert_eq!((report.instances, report.lines, report.findings.len()), (1, 5, 0));
    say(&authority, 5);
    assert_eq!(findings(&authority, &report.heads), [""; 0], "an older head is met on the way");
    let text = report.heads[0].to_string();
    assert_eq!(StoreHead::parse(&text).as_ref(), Some(&report.heads[0]));
    for wrong in ["", "a:b:c", &text[1..], &format!("{text}:1"), &text.replace(":5:", ":0:")] {
        assert_eq!(StoreHead::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn every_tampering_is_found() {
    let tamperings = [
        ("an edit", "UPDATE audit SET body = replace(body, '\"number\":2', '\"number\":7')", "the line 3"),
        ("a searched copy", "UPDATE audit SET event = 'test.other' WHERE sequence = 2", "where one searches"),
        ("another connection", "UPDATE audit SET connection = 'c2' WHERE sequence = 2", "where one searches"),
        ("a time", "UPDATE audit SET at = at + 1 WHERE sequence = 4", "the line 4"),
        ("a workspace", "UPDATE audit SET workspace = 'other' WHERE sequence = 4", "the line 4"),
        ("a removal", "DELETE FROM audit WHERE sequence = 3", "the lines 3 to 3 are missing"),
        ("a removal at the end", "DELETE FROM audit WHERE sequence = 5", "its last line is 4"),
        ("a move", "UPDATE audit SET sequence = 9 WHERE sequence = 5", "missing"),
        (
            "a foreign line",
            "INSERT INTO audit SELECT 'x', 1, workspace, at, event, connection, body, mac FROM audit WHERE sequence = 1",
            "not known",
        ),
        (
            "an added line",
            "INSERT INTO audit SELECT instance, 6, workspace, at, event, connection, body, mac FROM audit WHERE sequence = 1",
            "the line 6",
        ),
        (
            "a set-back head",
            "DELETE FROM audit WHERE sequence = 5; UPDATE instances SET sequence = 4, mac = (SELECT mac FROM audit WHERE sequence = 4)",
            "was not written by us",
        ),
        ("no head", "DELETE FROM instances", "not known"),
    ];
    for (what, sql, said) in tamperings {
        let (_folder, authority) = fixture();
        let heads = authority.verify_audit(&[]).unwrap().heads;
        edit(&*authority.desk.store, sql);
        let found = findings(&authority, &[]);
        assert!(found.iter().any(|finding| finding.contains(said)), "{what}: {found:?}");
        assert!(!findings(&authority, &heads).is_empty(), "{what}");
    }
}

#[test]
fn an_instance_that_is_gone_whole_is_missed_by_a_head_alone() {
    let (_folder, authority) = fixture();
    let heads = authority.verify_audit(&[]).unwrap().heads;
    let sql = "DELETE FROM audit; DELETE FROM instances";
    edit(&*authority.desk.store, sql);
    assert_eq!(findings(&authority, &[]), [""; 0]);
    assert!(findings(&authority, &heads)[0].contains("is gone"));
}
