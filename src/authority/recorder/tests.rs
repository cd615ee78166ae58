use std::time::{Duration, SystemTime};

use super::*;
use crate::authority::chain::Head;
use crate::authority::store::for_tests::{on_file, open_in};
use crate::model::Secret;
use crate::telemetry::TestClock;

struct Fixture {
    _folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    recorder: Recorder,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = open_in(folder.path());
    let clock = Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    let chain = Chain::new("i1".into(), "host:1".into(), Arc::new(key()));
    let recorder = Recorder::new(Arc::clone(&store), chain, clock, || {});
    Fixture { _folder: folder, store, recorder }
}

type Job = fn(&mut Work<'_>) -> Result<i64, StoreError>;

fn key() -> Secret {
    Secret::new([9; 32])
}

impl Fixture {
    /// Hands in several changes at once, so that they may share a group; answers their results.
    fn write_all(&self, changes: Vec<Job>) -> Vec<Result<i64, StoreError>> {
        let (sender, results) = mpsc::channel();
        let count = changes.len();
        for (place, change) in changes.into_iter().enumerate() {
            let sender = sender.clone();
            let reply = move |result| sender.send((place, result)).unwrap();
            self.recorder.write((Workspace::local(), Actor::CommandLine), change, reply);
        }
        let mut told: Vec<_> = results.iter().take(count).collect();
        told.sort_by_key(|(place, _)| *place);
        told.into_iter().map(|(_, result)| result).collect()
    }

    fn rows(&self, sql: &'static str) -> Vec<Row> {
        self.store.begin(Intent::Read).unwrap().query(sql, &[]).unwrap()
    }
}

fn put(work: &mut Work<'_>, name: &str) -> Result<(), StoreError> {
    crate::authority::rows::set_meta(work.tx(), name, b"x")?;
    work.record(Record::new("test.put").with("name", name));
    work.announce(News::new("test.put").agent(name));
    Ok(())
}

#[test]
fn what_fails_is_undone_alone_with_what_it_said() {
    let fixture = fixture();
    let results = fixture.write_all(vec![
        |work| put(work, "one").map(|()| 1),
        |work| put(work, "refused").and(Err(StoreError::damaged("test", "refused", "on purpose"))),
        |work| {
            put(work, "panicked")?;
            panic!("a defect");
        },
        |work| {
            put(work, "broken")?;
            work.execute("INSERT INTO nowhere VALUES (1)", &[]).map(|_| 1)
        },
        |work| put(work, "two").map(|()| 2),
    ]);
    assert!(matches!(results[0], Ok(1)) && matches!(results[4], Ok(2)));
    assert!(matches!(results[1], Err(StoreError::Damaged { .. })), "{:?}", results[1]);
    assert!(matches!(results[2], Err(StoreError::Panicked)), "{:?}", results[2]);
    assert!(matches!(results[3], Err(StoreError::Database { .. })), "{:?}", results[3]);
    let texts = |sql| fixture.rows(sql).iter().map(|row| row.text(0).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(texts("SELECT name FROM meta WHERE name <> 'lock' ORDER BY name"), ["one", "two"]);
    assert_eq!(texts("SELECT agent FROM events ORDER BY number"), ["one", "two"]);
    assert_eq!(fixture.rows("SELECT count(*) FROM audit")[0].int(0).unwrap(), 2);
}

#[test]
fn the_chain_covers_every_line_and_the_head() {
    let fixture = fixture();
    for _ in 0..3 {
        fixture.write_all(vec![|work| put(work, "a").map(|()| 0), |work| put(work, "b").map(|()| 0)]);
    }
    let mut head = Head::first();
    for row in fixture.rows("SELECT sequence, workspace, at, body, mac FROM audit ORDER BY sequence") {
        head = head.next(&key(), "i1", row.text(1).unwrap(), row.int(2).unwrap(), row.text(3).unwrap());
        assert_eq!((head.sequence, head.mac.as_slice()), (row.int(0).unwrap(), row.bytes(4).unwrap()));
    }
    let instance = &fixture.rows("SELECT sequence, mac, head FROM instances")[0];
    assert_eq!((head.sequence, head.mac.as_slice()), (instance.int(0).unwrap(), instance.bytes(1).unwrap()));
    assert_eq!(head.sequence, 6);
    assert!(head.is_sealed_by(&key(), "i1", instance.bytes(2).unwrap()));
    assert!(!head.is_sealed_by(&key(), "i2", instance.bytes(2).unwrap()));
    let body = fixture.rows("SELECT body FROM audit WHERE sequence = 1")[0].text(0).unwrap().to_owned();
    assert_eq!(body, r#"{"actor":"command-line","event":"test.put","name":"a"}"#);
}

#[test]
fn a_store_that_goes_away_fails_what_waits_and_the_chain_goes_on_when_it_is_back() {
    if !on_file() {
        return;
    }
    let fixture = fixture();
    fixture.write_all(vec![|work| put(work, "before").map(|()| 0)]);
    let (path, away) = (fixture.store.name(), fixture.store.name() + ".away");
    std::fs::rename(&path, &away).unwrap();
    let failed = fixture.write_all(vec![|work| put(work, "during").map(|()| 0)]);
    assert!(failed[0].as_ref().unwrap_err().to_string().contains("removed or replaced"), "{failed:?}");
    std::fs::rename(&away, &path).unwrap();
    assert!(fixture.write_all(vec![|work| put(work, "after").map(|()| 0)])[0].is_ok());
    let sequences: Vec<i64> =
        fixture.rows("SELECT sequence FROM audit ORDER BY sequence").iter().map(|row| row.int(0).unwrap()).collect();
    assert_eq!(sequences, [1, 2]);
}
