//! What every store has to do, asked of each kind alike.

use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::for_tests::{Ground, on_each_store};
use super::{Hints, Intent, Store, StoreError, Transaction, Value};

on_each_store!(
    values_come_back_as_they_went,
    what_is_not_committed_is_undone,
    a_savepoint_is_gone_back_to,
    a_statement_that_fails_is_undone_by_a_savepoint,
    a_spoiled_transaction_is_not_committed,
    each_answers_in_order,
    a_row_of_the_same_name_is_taken,
    a_locked_row_waits_for_its_writer,
    numbers_follow_commits_whatever_is_held_open,
    others_are_hinted_at,
    many_threads_share_a_store,
    a_store_is_found_as_it_was_left,
);

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

const PUT: &str = "INSERT INTO meta (name, value) VALUES ($1, $2)";
const NAMES: &str = "SELECT name FROM meta WHERE name <> 'lock' ORDER BY name";

fn put(tx: &mut dyn Transaction, name: &str) -> Result<u64, StoreError> {
    tx.execute(PUT, &[name.into(), vec![1_u8].into()])
}

fn names(store: &dyn Store) -> Vec<String> {
    let rows = store.begin(Intent::Read).unwrap().query(NAMES, &[]).unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

fn values_come_back_as_they_went(ground: &Ground) {
    let store = ground.open();
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let text = "ä \u{1F511} '; DROP TABLE meta; --\n$1 \\".repeat(10_000);
    let sql = "INSERT INTO providers (id, workspace, name, version, document, sealed, wrapped_key, key_id, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    let mut tx = store.begin(Intent::Write).unwrap();
    let values: [Value; 9] = [
        "id".into(),
        "".into(),
        "name".into(),
        i64::MAX.into(),
        text.as_str().into(),
        big.clone().into(),
        Vec::new().into(),
        Value::Null,
        i64::MIN.into(),
    ];
    assert_eq!(tx.execute(sql, &values).unwrap(), 1);
    tx.commit().unwrap();
    let sql = "SELECT id, workspace, version, document, sealed, wrapped_key, key_id, created_at, updated_at, deleted_at FROM providers";
    let row = ground.open().begin(Intent::Read).unwrap().row(sql, &[]).unwrap().unwrap();
    assert_eq!((row.text(0).unwrap(), row.text(1).unwrap(), row.int(2).unwrap()), ("id", "", i64::MAX));
    assert!(row.text(3).unwrap() == text && row.bytes(4).unwrap() == big && row.bytes(5).unwrap().is_empty());
    assert_eq!((row.text_or_null(6).unwrap(), row.int(7).unwrap()), (None, i64::MIN));
    assert_eq!((row.int(8).unwrap(), row.int_or_null(9).unwrap()), (i64::MIN, None));
    let mut tx = store.begin(Intent::Write).unwrap();
    let count = "SELECT count(*), count(*) > 0, 7, 'word' FROM providers";
    let row = tx.row(count, &[]).unwrap().unwrap();
    assert_eq!((row.int(0).unwrap(), row.flag(1).unwrap(), row.int(2).unwrap()), (1, true, 7));
    assert!(put(&mut *tx, "a\0b").unwrap_err().to_string().contains("cannot write the store"));
}

fn what_is_not_committed_is_undone(ground: &Ground) {
    let store = ground.open();
    let mut tx = store.begin(Intent::Write).unwrap();
    put(&mut *tx, "dropped").unwrap();
    drop(tx);
    assert_eq!(names(&*store), [""; 0]);
    let mut tx = store.begin(Intent::Write).unwrap();
    put(&mut *tx, "kept").unwrap();
    assert_eq!(names(&*ground.open()), [""; 0], "another handle sees what is not committed");
    tx.commit().unwrap();
    assert_eq!(names(&*ground.open()), ["kept"]);
    store.begin(Intent::Write).unwrap().commit().unwrap();
    let mut tx = store.begin(Intent::Read).unwrap();
    assert_eq!(tx.query(NAMES, &[]).unwrap().len(), 1);
    tx.commit().unwrap();
}

fn a_savepoint_is_gone_back_to(ground: &Ground) {
    let store = ground.open();
    let mut tx = store.begin(Intent::Write).unwrap();
    for (name, kept) in [("one", true), ("two", false), ("three", true)] {
        tx.execute("SAVEPOINT change", &[]).unwrap();
        put(&mut *tx, name).unwrap();
        if !kept {
            tx.execute("ROLLBACK TO SAVEPOINT change", &[]).unwrap();
        }
        tx.execute("RELEASE SAVEPOINT change", &[]).unwrap();
    }
    // One that nothing happened in.
    tx.execute("SAVEPOINT change", &[]).unwrap();
    tx.execute("ROLLBACK TO SAVEPOINT change", &[]).unwrap();
    tx.execute("RELEASE SAVEPOINT change", &[]).unwrap();
    tx.commit().unwrap();
    assert_eq!(names(&*store), ["one", "three"]);
}

fn a_statement_that_fails_is_undone_by_a_savepoint(ground: &Ground) {
    let store = ground.open();
    let mut tx = store.begin(Intent::Write).unwrap();
    put(&mut *tx, "before").unwrap();
    for broken in ["INSERT INTO nowhere VALUES (1)", "INSERT INTO meta (name, value) VALUES ('x', NULL)", "no SQL"] {
        tx.execute("SAVEPOINT change", &[]).unwrap();
        put(&mut *tx, "within").unwrap();
        let error = tx.execute(broken, &[]).unwrap_err();
        assert!(matches!(&error, StoreError::Database { .. }), "{error:?}");
        tx.execute("ROLLBACK TO SAVEPOINT change", &[]).unwrap();
        tx.execute("RELEASE SAVEPOINT change", &[]).unwrap();
    }
    put(&mut *tx, "after").unwrap();
    tx.commit().unwrap();
    assert_eq!(names(&*store), ["after", "before"]);
}

fn a_spoiled_transaction_is_not_committed(ground: &Ground) {
    let store = ground.open();
    let mut tx = store.begin(Intent::Write).unwrap();
    put(&mut *tx, "one").unwrap();
    assert!(tx.execute("INSERT INTO nowhere VALUES (1)", &[]).is_err());
    let (committed, found) = (tx.commit().is_ok(), names(&*store));
    // SQLite keeps what did not fail, PostgreSQL nothing; neither says one thing and does the other.
    assert_eq!(found.len(), usize::from(committed));
    // The handle is as good as before.
    let mut tx = store.begin(Intent::Write).unwrap();
    put(&mut *tx, "two").unwrap();
    tx.commit().unwrap();
}

fn each_answers_in_order(ground: &Ground) {
    let store = ground.open();
    let mut tx = store.begin(Intent::Write).unwrap();
    assert!(tx.each("SELECT name FROM meta WHERE name = $1", &[]).unwrap().is_empty());
    let lists: Vec<Vec<Value>> = (0..500).map(|n| vec![format!("n{n:03}").into(), vec![0; 1000].into()]).collect();
    tx.each(PUT, &lists).unwrap();
    let wanted: Vec<Vec<Value>> = [7, 999, 499].iter().map(|n| vec![format!("n{n:03}").into()]).collect();
    let found = tx.each("SELECT name FROM meta WHERE name = $1", &wanted).unwrap();
    let texts = |rows: &Vec<super::Row>| rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(found.iter().map(texts).collect::<Vec<_>>(), [vec!["n007"], vec![], vec!["n499"]]);
    tx.execute("SAVEPOINT change", &[]).unwrap();
    let twice = [vec!["x".into(), vec![1].into()], vec!["n001".into(), vec![1].into()]];
    assert!(matches!(tx.each(PUT, &twice), Err(StoreError::Taken { .. })));
    tx.execute("ROLLBACK TO SAVEPOINT change", &[]).unwrap();
    tx.commit().unwrap();
    assert_eq!(names(&*store).len(), 500);
}

fn a_row_of_the_same_name_is_taken(ground: &Ground) {
    let (one, other) = (ground.open(), ground.open());
    let barrier = Barrier::new(2);
    let results = thread::scope(|scope| {
        let race = |store: &Arc<dyn Store>| {
            let store = Arc::clone(store);
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let mut tx = store.begin(Intent::Write)?;
                put(&mut *tx, "name")?;
                tx.commit()
            })
        };
        [race(&one), race(&other)].map(|thread| thread.join().unwrap())
    });
    let taken = results.iter().filter(|result| matches!(result, Err(StoreError::Taken { .. }))).count();
    assert_eq!((taken, results.iter().filter(|result| result.is_ok()).count()), (1, 1), "{results:?}");
}

/// A read-and-write by two replicas at once loses neither.
fn a_locked_row_waits_for_its_writer(ground: &Ground) {
    let stores = [ground.open(), ground.open()];
    let mut tx = stores[0].begin(Intent::Write).unwrap();
    tx.execute("INSERT INTO workspaces (workspace, last_event) VALUES ('w', 0)", &[]).unwrap();
    tx.commit().unwrap();
    thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut tx = store.begin(Intent::Write).unwrap();
                    let sql = "SELECT last_event FROM workspaces WHERE workspace = $1 FOR UPDATE";
                    let found = tx.row(sql, &["w".into()]).unwrap().unwrap().int(0).unwrap();
                    let sql = "UPDATE workspaces SET last_event = $1 WHERE workspace = $2";
                    assert_eq!(tx.execute(sql, &[(found + 1).into(), "w".into()]).unwrap(), 1);
                    tx.commit().unwrap();
                }
            });
        }
    });
    let mut tx = stores[0].begin(Intent::Read).unwrap();
    let sql = "SELECT last_event FROM workspaces WHERE workspace = 'w'";
    assert_eq!(tx.row(sql, &[]).unwrap().unwrap().int(0).unwrap(), 40);
}

/// A reader that asks for what comes after the last number it saw misses nothing, also where a
/// writer has its number and takes its time to commit.
fn numbers_follow_commits_whatever_is_held_open(ground: &Ground) {
    use crate::authority::event::{Event, News};
    const EACH: usize = 25;
    let stores: Vec<_> = (0..3).map(|_| ground.open()).collect();
    let reader = ground.open();
    let (done, ended) = mpsc::channel::<()>();
    let seen = thread::scope(|scope| {
        for (which, store) in stores.iter().enumerate() {
            let done = done.clone();
            scope.spawn(move || {
                for n in 0..EACH {
                    let mut tx = store.begin(Intent::Write).unwrap();
                    Event::write(&mut *tx, "w", &[&News::new(&format!("{which}.{n}"))], 0).unwrap();
                    // Held open with its number, for longer or shorter.
                    thread::sleep(Duration::from_millis((which as u64 * 7 + n as u64 * 3) % 5));
                    if n % 5 == 4 {
                        drop(tx);
                    } else {
                        tx.commit().unwrap();
                    }
                }
                drop(done);
            });
        }
        drop(done);
        let (mut seen, mut last) = (Vec::new(), 0);
        loop {
            let over = matches!(ended.try_recv(), Err(mpsc::TryRecvError::Disconnected));
            let mut tx = reader.begin(Intent::Read).unwrap();
            for event in Event::after(&mut *tx, "w", last, 1000).unwrap() {
                assert_eq!(event.number, last + 1, "a number was passed over");
                last = event.number;
                seen.push(event.news.kind);
            }
            if over {
                return seen;
            }
        }
    });
    assert_eq!(seen.len(), 3 * EACH * 4 / 5);
}

fn others_are_hinted_at(ground: &Ground) {
    let (writer, listener) = (ground.open(), ground.open());
    let hints = Arc::new(Hints::default());
    listener.watch(Arc::downgrade(&hints));
    // The first says that somebody listens.
    wait(&hints);
    for number in 1..=3_i64 {
        let mut tx = writer.begin(Intent::Write).unwrap();
        let sql = "INSERT INTO events (workspace, number, kind, at) VALUES ('w', $1, 'k', 0)";
        tx.execute(sql, &[number.into()]).unwrap();
        tx.commit().unwrap();
        wait(&hints);
    }
}

fn wait(hints: &Hints) {
    let from = Instant::now();
    hints.wait(LONG);
    assert!(from.elapsed() < LONG, "no hint came");
}

fn many_threads_share_a_store(ground: &Ground) {
    let store = ground.open();
    thread::scope(|scope| {
        for thread in 0..24 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..5 {
                    let mut tx = store.begin(Intent::Write).unwrap();
                    put(&mut *tx, &format!("{thread}.{n}")).unwrap();
                    if n % 2 == 0 {
                        tx.commit().unwrap();
                    } else {
                        drop(tx);
                    }
                    assert!(names(&**store).contains(&format!("{thread}.{}", n - n % 2)));
                }
            });
        }
    });
    assert_eq!(names(&*store).len(), 24 * 3);
}

fn a_store_is_found_as_it_was_left(ground: &Ground) {
    let store = ground.open();
    let mut tx = store.begin(Intent::Write).unwrap();
    put(&mut *tx, "kept").unwrap();
    tx.commit().unwrap();
    let name = store.name();
    drop(store);
    let store = ground.open();
    assert_eq!((names(&*store), store.name()), (vec!["kept".to_owned()], name));
}
