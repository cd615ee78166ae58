use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::*;
use crate::authority::chain::{Chain, Head};
use crate::authority::record::{Actor, Record};
use crate::authority::recorder::{Recorder, Work};
use crate::authority::store::for_tests::server::{Server, Stop};
use crate::authority::store::for_tests::{Ground, database};
use crate::authority::store::steps;
use crate::config::{PasswordSource, PostgresPlace};
use crate::model::{Host, Secret, Workspace};
use crate::telemetry::{Clock as _, SystemClock, TestClock};
use crate::tls::for_tests::Zone;

const LONG: Duration = Duration::from_secs(30);

const PUT: &str = "INSERT INTO meta (name, value) VALUES ($1, $2)";

fn put(store: &Postgres, name: &str) -> Result<(), StoreError> {
    let mut tx = store.begin(Intent::Write)?;
    tx.execute(PUT, &[name.into(), vec![1_u8].into()])?;
    tx.commit()
}

fn names(store: &Postgres) -> Vec<String> {
    let sql = "SELECT name FROM meta WHERE name <> 'lock' ORDER BY name";
    let rows = store.begin(Intent::Read).unwrap().query(sql, &[]).unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

/// Says all of an error, as a person is told it.
fn told(error: &StoreError) -> String {
    let source = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
    format!("{error}{source}")
}

#[test]
fn a_server_that_restarts_costs_what_was_in_flight_and_nothing_that_was_acknowledged() {
    let Some(server) = Server::start() else { return };
    let store = Arc::new(Postgres::open(&database(&server, server.database())).unwrap().0);
    let over = AtomicBool::new(false);
    let kept = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, over, kept) = (&store, &over, &kept);
            scope.spawn(move || {
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    count += 1;
                    let name = format!("{thread}.{count:06}");
                    match put(store, &name) {
                        Ok(()) => kept.lock().unwrap().push(name),
                        Err(error) => assert!(matches!(error, StoreError::Database { .. }), "{error:?}"),
                    }
                }
            });
        }
        for stop in [Stop::Fast, Stop::Immediate, Stop::Kill] {
            let before = kept.lock().unwrap().len();
            grown(&kept, before);
            server.stop(stop);
            server.run();
            let before = kept.lock().unwrap().len();
            grown(&kept, before);
        }
        over.store(true, Ordering::Relaxed);
    });
    let there = names(&store);
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() > 100, "{}", kept.len());
    let lost: Vec<_> = kept.iter().filter(|name| there.binary_search(name).is_err()).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Waits until a few more were acknowledged.
fn grown(kept: &Mutex<Vec<String>>, before: usize) {
    let until = std::time::Instant::now() + LONG;
    while kept.lock().unwrap().len() < before + 20 {
        assert!(std::time::Instant::now() < until, "nothing is written any more");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_that_is_not_there_is_named_soon_and_used_once_it_is() {
    let Some(server) = Server::start() else { return };
    let config = database(&server, server.database());
    let store = Postgres::open(&config).unwrap().0;
    server.stop(Stop::Fast);
    let from = std::time::Instant::now();
    let first = put(&store, "first").unwrap_err();
    assert!(told(&first).starts_with("cannot reach the store ") && told(&first).contains("no connection"), "{first:?}");
    for _ in 0..50 {
        put(&store, "again").unwrap_err();
    }
    assert!(from.elapsed() < LONG, "each waits for itself");
    assert!(Postgres::is_there(&config), "whoever opens it learns why it cannot be asked");
    server.run();
    let until = std::time::Instant::now() + LONG;
    while put(&store, "back").is_err() {
        assert!(std::time::Instant::now() < until, "it is not used again");
    }
    assert_eq!(names(&store), ["back"]);
}

#[test]
fn replicas_that_start_at_once_make_the_tables_once() {
    let Some(server) = Server::shared() else { return };
    let config = database(server, server.database());
    assert!(!Postgres::is_there(&config));
    let made: Vec<bool> = thread::scope(|scope| {
        let threads: Vec<_> = (0..5).map(|_| scope.spawn(|| Postgres::open(&config).unwrap().1)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert!(Postgres::is_there(&config));
}

#[test]
fn an_older_database_keeps_its_rows_and_a_newer_one_is_refused() {
    let Some(server) = Server::shared() else { return };
    let config = database(server, server.database());
    let store = Postgres::new(&config).unwrap();
    let link = store.take(false).unwrap();
    let bring = |count| store.wait(schema::bring_to(&link.client, "name", &steps::STEPS[..count]));
    assert!(bring(1).unwrap());
    let old =
        "INSERT INTO connections VALUES ('i', 'local', 'n', NULL, 'active', 1, '[]', 0, '[]', '', '', 1, 2, NULL)";
    store.wait(link.client.batch_execute(old)).unwrap();
    assert!(!bring(steps::STEPS.len()).unwrap());
    assert!(!bring(steps::STEPS.len()).unwrap());
    let error = bring(1).unwrap_err().to_string();
    assert!(error.contains(&format!("version {}", steps::STEPS.len())) && error.contains("version 1 "), "{error}");
    let mut tx = store.begin(Intent::Read).unwrap();
    let row = tx.row("SELECT user_id, refresh_tries, name FROM connections", &[]).unwrap().unwrap();
    assert_eq!((row.text(0).unwrap(), row.int(1).unwrap(), row.text(2).unwrap()), ("", 0, "n"));
    let other = old.replace("('i', 'local', 'n'", "('j', 'local', 'n'").replace("NULL)", "NULL, 'user')");
    store.wait(link.client.batch_execute(&other)).expect("a name is a user's own");
}

#[test]
fn a_database_of_others_is_left_alone() {
    let Some(server) = Server::shared() else { return };
    for sql in ["CREATE TABLE connections (x INT)", "CREATE TABLE nexus_schema (application TEXT, version BIGINT)"] {
        let config = database(server, server.database());
        let store = Postgres::new(&config).unwrap();
        store.wait(store.take(false).unwrap().client.batch_execute(sql)).unwrap();
        assert!(matches!(Postgres::open(&config), Err(StoreError::Foreign { .. })), "{sql}");
    }
    let config = database(server, server.database());
    let store = Postgres::new(&config).unwrap();
    store.wait(store.take(false).unwrap().client.batch_execute("CREATE TABLE theirs (x INT)")).unwrap();
    assert!(Postgres::open(&config).unwrap().1, "a table that is in nobody's way");
}

#[test]
fn what_keeps_it_from_being_opened_is_said_without_a_secret() {
    let Some(server) = Server::start() else { return };
    let good = database(&server, server.database());
    let folder = tempfile::tempdir().unwrap();
    let password = |text: &str| {
        let file = folder.path().join(hex::encode(text));
        std::fs::write(&file, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        Some(PasswordSource::File(file))
    };
    server.sql("CREATE ROLE poor LOGIN PASSWORD 'open-sesame'");
    server.configure("password_encryption = 'scram-sha-256'");
    let hba = server.place().0.join("data/pg_hba.conf");
    let rules = format!("local all poor scram-sha-256\n{}", std::fs::read_to_string(&hba).unwrap());
    std::fs::write(&hba, rules).unwrap();
    server.sql("SELECT pg_reload_conf()");
    let poor = |text| PostgresConfig { user: "poor".into(), password: password(text), ..good.clone() };
    let nowhere = PostgresPlace::Socket("/nowhere".into(), 5432);
    for (config, want) in [
        (PostgresConfig { place: nowhere, ..good.clone() }, "No such file"),
        (PostgresConfig { database: "none".into(), ..good.clone() }, "database \"none\" does not exist"),
        (PostgresConfig { user: "who".into(), ..good.clone() }, "role \"who\" does not exist"),
        (PostgresConfig { password: None, ..poor("x") }, "password missing"),
        (poor("shibboleth\n"), "password authentication failed"),
        (poor("shibboleth\nx\n"), "more than one line"),
        (poor("open-sesame"), "permission denied for schema public"),
    ] {
        // A reload is not at once everywhere: the rule holds from some connection on.
        let until = std::time::Instant::now() + LONG;
        let said = loop {
            match Postgres::open(&config) {
                Err(error) if told(&error).contains(want) => break format!("{} {error:?}", told(&error)),
                other => assert!(std::time::Instant::now() < until, "{want}: {:?}", other.map(drop)),
            }
        };
        assert!(!said.contains("shibboleth") && !said.contains("open-sesame"), "{said}");
    }
    let store = Postgres::open(&good).unwrap().0;
    assert_eq!(store.name(), format!("{}:5432/{}", server.place().0.display(), good.database));
}

#[test]
fn a_transaction_waits_for_a_connection_and_not_for_ever() {
    let Some(server) = Server::shared() else { return };
    let config = PostgresConfig { connections: 1, ..database(server, server.database()) };
    let store = Postgres::open(&config).unwrap().0;
    let held = store.begin(Intent::Read).unwrap();
    let error = store.begin(Intent::Read).err().unwrap();
    assert!(told(&error).contains("each of its 1 connections has been in use"), "{error:?}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&store, "in the end"));
        drop(held);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(names(&store), ["in the end"]);
}

#[test]
fn another_thread_of_any_runtime_may_wait_for_it() {
    let Some(ground) = Ground::postgres() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = ground.open();
        assert_eq!(store.begin(Intent::Read).unwrap().query("SELECT 1", &[]).unwrap().len(), 1);
        drop(store);
    });
}

/// Stands between a store and its server, and cuts the connection where a commit passes.
struct Between {
    folder: tempfile::TempDir,
    armed: Arc<Mutex<Option<Cut>>>,
}

enum Cut {
    /// The server commits; the client never hears of it.
    Answer,
    /// The client is cut off, and the commit goes to the server when it is let go.
    Commit(Receiver<()>),
}

impl Between {
    fn start(server: &Server) -> Self {
        let (folder, armed) = (tempfile::tempdir().unwrap(), Arc::new(Mutex::new(None)));
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let (to, cuts) = (server.place().0.join(".s.PGSQL.5432"), Arc::clone(&armed));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), UnixStream::connect(&to).unwrap());
                let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || drop(std::io::copy(&mut from, &mut back)));
                let cuts = Arc::clone(&cuts);
                thread::spawn(move || pass(client, server, &cuts));
            }
        });
        Self { folder, armed }
    }

    fn arm(&self, cut: Cut) {
        *self.armed.lock().unwrap() = Some(cut);
    }
}

fn pass(mut client: UnixStream, mut server: UnixStream, cuts: &Mutex<Option<Cut>>) {
    let mut bytes = [0; 65536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let commits = bytes[..count].windows(7).any(|window| window == b"COMMIT\0");
        let cut = if commits { cuts.lock().unwrap().take() } else { None };
        if let Some(cut) = &cut {
            // Nothing passes back any more.
            client.shutdown(Shutdown::Both).unwrap();
            if let Cut::Commit(go) = cut {
                go.recv().unwrap();
            }
        }
        if server.write_all(&bytes[..count]).is_err() {
            return;
        }
        if cut.is_some() {
            // Long enough for the server to do it; it ends when it finds nobody there.
            let _ = server.shutdown(Shutdown::Write);
            return;
        }
    }
}

fn write(recorder: &Recorder, name: &'static str) -> Result<(), StoreError> {
    let (reply, answer): (Sender<_>, _) = mpsc::channel();
    let job = move |work: &mut Work<'_>| {
        work.record(Record::new("test.put").with("name", name));
        Ok(())
    };
    let who = (Workspace::local(), Actor::CommandLine);
    recorder.write(who, job, move |result| reply.send(result).unwrap());
    answer.recv().unwrap()
}

/// After a commit whose outcome is not known, the chain goes on from what the database says, also
/// where that commit has yet to happen.
#[test]
fn a_commit_of_unknown_outcome_neither_forks_the_chain_nor_breaks_it() {
    let Some(server) = Server::shared() else { return };
    let between = Between::start(server);
    let direct = database(server, server.database());
    let place = PostgresPlace::Socket(between.folder.path().to_owned(), 5432);
    let store: Arc<dyn Store> = Arc::new(Postgres::open(&PostgresConfig { place, ..direct.clone() }).unwrap().0);
    let clock = Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    let chain = Chain::new("i1".into(), "host:1".into(), Arc::new(Secret::new([9; 32])));
    let recorder = Recorder::new(store, chain, clock, || {});
    write(&recorder, "before").unwrap();
    between.arm(Cut::Answer);
    let error = write(&recorder, "lost").unwrap_err();
    assert!(told(&error).contains("it is not known whether"), "{}", told(&error));
    write(&recorder, "between").unwrap();
    let (go, cut) = mpsc::channel();
    between.arm(Cut::Commit(cut));
    write(&recorder, "late").unwrap_err();
    thread::scope(|scope| {
        let after = scope.spawn(|| write(&recorder, "after"));
        // Until somebody waits for a row of this database.
        server.sql(&format!(
            "DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = \
             'Lock') LOOP PERFORM pg_sleep(0.02); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$",
            direct.database
        ));
        go.send(()).unwrap();
        after.join().unwrap().unwrap();
    });
    write(&recorder, "last").unwrap();
    let store = Postgres::open(&direct).unwrap().0;
    let mut tx = store.begin(Intent::Read).unwrap();
    let mut head = Head::first();
    let mut seen = Vec::new();
    for row in tx.query("SELECT sequence, workspace, at, body, mac FROM audit ORDER BY sequence", &[]).unwrap() {
        let body = row.text(3).unwrap();
        head = head.next(&Secret::new([9; 32]), "i1", row.text(1).unwrap(), row.int(2).unwrap(), body);
        assert_eq!((head.sequence, head.mac.as_slice()), (row.int(0).unwrap(), row.bytes(4).unwrap()));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        seen.push(body["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, ["before", "lost", "between", "late", "after", "last"]);
}

#[test]
fn tls_is_verified_for_the_host_of_the_configuration() {
    let Some(server) = Server::on_network() else { return };
    let (zone, stranger) = (Zone::new("database"), Zone::new("stranger"));
    let folder = tempfile::tempdir().unwrap();
    let trusted = |zone: &Zone, name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, zone.pem()).unwrap();
        Some(path)
    };
    let (right, wrong) = (trusted(&zone, "right.pem"), trusted(&stranger, "wrong.pem"));
    let at = |host: &str, ca_file: &Option<std::path::PathBuf>| PostgresConfig {
        place: PostgresPlace::Host(Host::parse(host).unwrap(), server.place().1),
        tls: true,
        ca_file: ca_file.clone(),
        ..database(&server, "postgres".into())
    };
    let refused = |config: &PostgresConfig| told(&Postgres::open(config).err().unwrap());
    let said = refused(&at("localhost", &right));
    assert!(said.contains("server does not support TLS"), "{said}");
    let (certificate, key) = zone.pair("localhost", SystemClock.wall());
    server.file("server.crt", &certificate);
    server.file("server.key", &key);
    server.configure("ssl = on");
    server.stop(Stop::Fast);
    server.run();
    let said = refused(&at("localhost", &wrong));
    assert!(said.contains("UnknownIssuer") && said.contains("authority.store.postgres.ca_file"), "{said}");
    let said = refused(&at("127.0.0.1", &right));
    assert!(said.contains("NotValidForName") || said.contains("not valid for name"), "{said}");
    let store = Postgres::open(&at("localhost", &right)).unwrap().0;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(store.begin(Intent::Read).unwrap().row(sql, &[]).unwrap().unwrap().flag(0).unwrap());
    let plain = PostgresConfig { tls: false, ..at("127.0.0.1", &None) };
    let store = Postgres::open(&plain).unwrap().0;
    assert!(!store.begin(Intent::Read).unwrap().row(sql, &[]).unwrap().unwrap().flag(0).unwrap());
}
