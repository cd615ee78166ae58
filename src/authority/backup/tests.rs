use std::path::Path;

use super::*;
use crate::authority::NewConnection;
use crate::authority::for_tests::{clock, opened};
use crate::authority::store::for_tests::on_file;
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Strategy};

fn open(folder: &Path, key: u8) -> Authority {
    opened(folder, key, &[], &clock()).unwrap()
}

fn filled(folder: &Path) -> Authority {
    let authority = open(folder, 7);
    for number in 0..5 {
        let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
        let mut fields = Fields::new();
        fields.insert("access_token", Secret::new(format!("canary-{number}")));
        let bindings = vec![Binding { hosts, strategy: Strategy::OAuth2 }];
        let name = ConnectionName::parse(&format!("c{number}")).unwrap();
        authority
            .add(NewConnection { name, provider: None, bindings, owned: false, fields, expires_at: None })
            .unwrap();
    }
    authority.delete(&ConnectionName::parse("c3").unwrap()).unwrap();
    authority
}

fn backup(authority: &Authority) -> Vec<u8> {
    let mut file = Vec::new();
    authority.back_up(&mut file).unwrap();
    file
}

#[test]
fn what_was_backed_up_is_there_again_with_its_proofs() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = filled(one.path());
    let file = backup(&old);
    assert!(!String::from_utf8_lossy(&file).contains("canary"));
    let counts = open(two.path(), 7).restore(&mut &*file).unwrap().counts;
    assert!(counts.contains(&("connections", 4)) && counts.contains(&("audit", 6)), "{counts:?}");
    let new = open(two.path(), 7);
    assert_eq!(new.list().unwrap(), old.list().unwrap());
    let heads = old.verify_audit(&[]).unwrap().heads;
    let report = new.verify_audit(&heads).unwrap();
    assert_eq!((report.findings.len(), report.lines), (0, 6));
    let row = new.read(|tx| super::super::rows::ConnectionRow::find(tx, "local", "c4")).unwrap().unwrap();
    let fields = new.desk.vault.open(&row).unwrap();
    assert_eq!(fields.get("access_token").unwrap().expose(), b"canary-4");
    // But for the first line, which says when and whence.
    let rest = |file: &[u8]| {
        let lines: Vec<_> = file.split(|byte| *byte == b'\n').skip(1).map(<[u8]>::to_vec).collect();
        lines[..lines.len() - 2].to_vec()
    };
    assert_eq!(rest(&backup(&new)), rest(&file));
}

#[test]
fn what_is_not_whole_restores_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = backup(&filled(one.path()));
    let text = String::from_utf8(file.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |at: usize| {
        lines
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != at)
            .map(|(_, line)| format!("{line}\n"))
            .collect::<String>()
    };
    let target = open(two.path(), 7);
    let mut wrong: Vec<String> = (0..lines.len()).map(without).collect();
    wrong.push(text.replace("c4", "c9"));
    wrong.push(text[..text.len() - 5].to_owned());
    wrong.push(text.clone() + "[]\n");
    wrong.push(text.replace("\"schema\":2", "\"schema\":3"));
    wrong.push(String::new());
    wrong.push("no backup".into());
    for (place, wrong) in wrong.iter().enumerate() {
        assert!(target.restore(&mut wrong.as_bytes()).is_err(), "{place}");
        assert!(target.list().unwrap().is_empty(), "{place}");
    }
    let other = tempfile::tempdir().unwrap();
    let error = open(other.path(), 8).restore(&mut &*file).unwrap_err();
    assert!(matches!(error, BackupError::Authority(AuthorityError::OtherKey { .. })), "{error}");
    target.restore(&mut &*file).unwrap();
    assert!(matches!(target.restore(&mut &*file), Err(BackupError::NotEmpty(_))));
}

/// Who adds a table or a column adds it here, or backups lose it.
#[test]
fn every_column_of_the_store_is_in_the_backup() {
    if !on_file() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(open(folder.path(), 7).store_name()).unwrap();
    let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'";
    let mut statement = database.prepare(sql).unwrap();
    let columns = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let left_out = ["claimed_by", "claimed_until"];
    for (table, column) in columns.map(Result::unwrap).filter(|(_, column)| !left_out.contains(&column.as_str())) {
        let known = TABLES.iter().find(|known| known.name == table).unwrap_or_else(|| panic!("{table}"));
        for sql in [known.select, known.insert] {
            let words = sql.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(words.clone().any(|word| word == column), "{table}.{column}: {sql}");
        }
    }
}
