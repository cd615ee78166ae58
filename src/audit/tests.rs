use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use serde_json::Value;

use super::sink::Sink;
use super::*;
use crate::model::{Code, Destination, Host, IntentFacts, OutcomeFacts, Scheme, TraceId};
use crate::telemetry::TestClock;

pub(super) fn config(dir: &Path, mode: AuditMode) -> AuditConfig {
    AuditConfig { mode, dir: dir.to_owned(), key_file: dir.join("key"), max_file: 64 << 20 }
}

pub(super) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_263_006)))
}

pub(super) fn facts(number: u64) -> Facts {
    let mut trace = [0; 16];
    trace[8..].copy_from_slice(&number.to_be_bytes());
    Facts {
        trace: TraceId::from_random(trace),
        via: "connect",
        peer: Some(([127, 0, 0, 1], 40000).into()),
        agent: Some("triage-bot".into()),
        proof: "password",
    }
}

pub(super) fn intent() -> IntentFacts {
    IntentFacts {
        rule: "read-tickets".into(),
        policy: "0123456789abcdef".into(),
        connection: Some(("jira".into(), 3)),
        strategy: Some("oauth2"),
        destination: Destination::new(Scheme::Https, Host::parse("acme.atlassian.net").unwrap(), 443),
        method: Method::GET,
        path: crate::model::Path::parse("/rest/api/3/issue/X-1").unwrap(),
        query: Some("fields=***".into()),
    }
}

pub(super) fn answered() -> OutcomeFacts {
    OutcomeFacts { status: Some(200), bytes_down: 1234, ..OutcomeFacts::default() }
}

/// Runs a future that needs no runtime.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) fn request(audit: &Audit, number: u64) {
    let mut entry = audit.entry(facts(number)).unwrap();
    wait(entry.intent(intent())).unwrap();
    entry.outcome(answered());
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    file::list(dir).unwrap().into_iter().map(|name| dir.join(name)).collect()
}

fn lines(dir: &Path) -> Vec<Value> {
    let texts = logs(dir).into_iter().map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()).collect()
}

fn kinds(dir: &Path) -> Vec<String> {
    lines(dir).iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
}

/// Waits for what another thread does within its 20 ms or second.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn one_request_is_four_lines() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    let audit = Audit::open(&config(&dir, AuditMode::Required), clock()).unwrap();
    let mut entry = audit.entry(facts(7)).unwrap();
    wait(entry.intent(intent())).unwrap();
    assert_eq!(kinds(&dir), ["open", "intent"], "the intent is written before anything leaves");
    let mut outcome = answered();
    outcome.stages.total = Duration::from_micros(1500);
    entry.outcome(outcome);
    until("the outcome is written without more traffic", || lines(&dir).len() == 3);
    until("the head follows", || {
        head::read(&head::path(&dir, &file::list(&dir).unwrap()[0])).unwrap().unwrap().unwrap().count == 3
    });
    audit.close().unwrap();
    let lines = lines(&dir);
    let intent = "{\"v\":1,\"t\":\"2026-11-21T12:10:06.000000Z\",\"kind\":\"intent\",\
        \"trace\":\"00000000000000000000000000000007\",\"attempt\":1,\"ws\":\"local\",\"agent\":\"triage-bot\",\
        \"proof\":\"password\",\"peer\":\"127.0.0.1:40000\",\"via\":\"connect\",\"rule\":\"read-tickets\",\
        \"policy\":\"0123456789abcdef\",\"conn\":\"jira\",\"conn_version\":3,\"strategy\":\"oauth2\",\
        \"dest\":\"https://acme.atlassian.net\",\"method\":\"GET\",\"path\":\"/rest/api/3/issue/X-1\",\
        \"query\":\"fields=***\",\"mac\":\"";
    let text = fs::read_to_string(&logs(&dir)[0]).unwrap();
    assert!(text.lines().nth(1).unwrap().starts_with(intent), "{text}");
    let outcome = "\"kind\":\"outcome\",\"trace\":\"00000000000000000000000000000007\",\"attempts\":1,\"end\":\"done\",\
        \"status\":200,\"up\":0,\"down\":1234,\"us\":{\"total\":1500},\"mac\":\"";
    assert!(text.lines().nth(2).unwrap().contains(outcome), "{text}");
    assert_eq!(lines[3]["kind"], "close");
    assert!(audit.entry(facts(8)).is_err(), "what comes later is refused");
    assert!(audit.close().is_ok());
}

#[test]
fn a_refused_request_says_what_it_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(&config(dir.path(), AuditMode::Required), clock()).unwrap();
    let mut entry = audit.entry(Facts { agent: None, proof: "none", ..facts(1) }).unwrap();
    entry.asked(&Method::DELETE, "http://user:canary@api.test/p?key=canary\u{1b}[2J");
    entry.refused_by(&"00ff".into(), Some("no-deletes"));
    let reason = Some("x".repeat(600) + "canary");
    entry.outcome(OutcomeFacts { status: Some(403), code: Some(Code::PolicyDenied), reason, ..Default::default() });
    drop(audit.entry(facts(2)).unwrap());
    audit.entry(facts(3)).unwrap().aborted(answered());
    let failed = OutcomeFacts { code: Some(Code::UpstreamFailed), ..Default::default() };
    audit.entry(facts(4)).unwrap().outcome(failed);
    drop(audit);
    let lines = lines(dir.path());
    let line = &lines[1];
    assert_eq!(line["end"], "denied");
    assert_eq!(
        (&line["code"], &line["rule"], &line["policy"]),
        (&"POLICY_DENIED".into(), &"no-deletes".into(), &"00ff".into())
    );
    assert_eq!((&line["method"], &line["target"]), (&"DELETE".into(), &"http://***@api.test/p?key=***".into()));
    assert!(line.get("agent").is_none());
    let ends: Vec<_> = lines.iter().filter_map(|line| line["end"].as_str()).collect();
    assert_eq!(ends, ["denied", "aborted", "aborted", "failed"]);
    assert_eq!((&lines[3]["status"], &lines[3]["down"]), (&200.into(), &1234.into()));
    assert!(!fs::read_to_string(&logs(dir.path())[0]).unwrap().contains("canary"));
    assert_eq!(lines[5]["kind"], "close", "the last owner closes");
}

#[test]
fn unwinding_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(&config(dir.path(), AuditMode::Required), clock()).unwrap();
    let mut entry = audit.entry(facts(1)).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        wait(entry.intent(intent())).unwrap();
        std::panic::resume_unwind(Box::new("a request panics"));
    }));
    assert!(panicked.is_err());
    drop(audit);
    assert_eq!(lines(dir.path())[2]["end"], "aborted");
}

static BROKEN: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];

/// A file that fails while its flag is up: number 2 only in its sync, the others after a part of
/// what they are given.
struct Breakable<const N: usize>(File);

impl<const N: usize> Sink for Breakable<N> {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if N == 2 || !BROKEN[N].load(Ordering::SeqCst) {
            // Few bytes at a time: a short write is no failure.
            return Sink::write(&self.0, &bytes[..bytes.len().min(100)]);
        }
        if bytes.len().is_multiple_of(2) {
            Sink::write(&self.0, &bytes[..17])
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn sync(&self) -> io::Result<()> {
        if BROKEN[N].load(Ordering::SeqCst) { Err(io::Error::other("no disk")) } else { Sink::sync(&self.0) }
    }
}

fn breakable<const N: usize>(dir: &Path, mode: AuditMode) -> Audit {
    Audit::open_with(&config(dir, mode), clock(), |file| Arc::new(Breakable::<N>(file))).unwrap()
}

#[test]
fn a_full_disk_refuses_until_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let audit = breakable::<0>(dir.path(), AuditMode::Required);
    request(&audit, 1);
    let mut entry = audit.entry(facts(2)).unwrap();
    BROKEN[0].store(true, Ordering::SeqCst);
    let refusal = wait(entry.intent(intent())).unwrap_err();
    assert_eq!((refusal.code(), refusal.message()), (Code::Unavailable, "the audit cannot be written"));
    entry.outcome(OutcomeFacts { code: Some(refusal.code()), ..Default::default() });
    assert!(audit.entry(facts(3)).is_err(), "no slot, no request");
    assert!(audit.failures() >= 2);
    BROKEN[0].store(false, Ordering::SeqCst);
    request(&audit, 4);
    audit.close().unwrap();
    let kinds = kinds(dir.path());
    assert_eq!(kinds, ["open", "intent", "outcome", "intent", "outcome", "intent", "outcome", "close"]);
}

#[test]
fn best_effort_goes_on_and_says_what_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let audit = breakable::<1>(dir.path(), AuditMode::BestEffort);
    BROKEN[1].store(true, Ordering::SeqCst);
    for number in 0..4000 {
        request(&audit, number);
    }
    assert!(audit.failures() > 0);
    BROKEN[1].store(false, Ordering::SeqCst);
    request(&audit, 5000);
    request(&audit, 5001);
    audit.close().unwrap();
    let lines = lines(dir.path());
    let lost: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
    let kept = lines.iter().filter(|line| matches!(line["kind"].as_str(), Some("intent" | "outcome"))).count() as u64;
    assert!(lost > 0);
    assert_eq!(lost + kept, 2 * 4002);
}

#[test]
fn durable_waits_for_the_disk_and_leaves_a_file_it_cannot_trust() {
    let dir = tempfile::tempdir().unwrap();
    let audit = breakable::<2>(dir.path(), AuditMode::Durable);
    request(&audit, 1);
    let name = file::list(dir.path()).unwrap()[0].clone();
    let head = head::read(&head::path(dir.path(), &name)).unwrap().unwrap().unwrap();
    assert!(head.count >= 2, "the head covers the intent before it is acknowledged");
    let mut entry = audit.entry(facts(2)).unwrap();
    BROKEN[2].store(true, Ordering::SeqCst);
    assert!(wait(entry.intent(intent())).is_err());
    drop(entry);
    BROKEN[2].store(false, Ordering::SeqCst);
    request(&audit, 3);
    audit.close().unwrap();
    assert_eq!(logs(dir.path()).len(), 2);
}

#[test]
fn a_folder_that_is_taken_away_refuses_until_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, away) = (parent.path().join("audit"), parent.path().join("away"));
    let audit = Audit::open(&config(&dir, AuditMode::Required), clock()).unwrap();
    request(&audit, 1);
    fs::rename(&dir, &away).unwrap();
    let (mut number, mut refused_intent) = (2, false);
    until("a head that cannot be written refuses", || {
        let mut entry = match audit.entry(facts(number)) {
            Ok(entry) => entry,
            Err(_) => return true,
        };
        number += 1;
        refused_intent = wait(entry.intent(intent())).is_err();
        refused_intent
    });
    fs::rename(&away, &dir).unwrap();
    request(&audit, number);
    audit.close().unwrap();
    let report = verify(&dir, &dir.join("key"), &[]).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.files.len(), 2);
    // The head fails between two steps of one entry: its outcome is lost at most, or its intent was
    // refused, and then both are.
    let most = if refused_intent { 2 } else { 1 };
    assert!(report.open <= report.lost && report.lost <= most, "what could not be written is counted: {report:?}");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Audit::open(&config(&path, AuditMode::Required), clock()).err().unwrap();
    assert!(matches!(error, AuditError::Folder { .. }), "{error}");
    let error = Audit::open(&config(Path::new("/dev/full"), AuditMode::Required), clock()).err().unwrap();
    assert!(matches!(error, AuditError::Folder { .. }), "{error}");
}

/// Prints what an intent and an outcome cost together. Measured, not asserted: run it with
/// `cargo test --release -- --ignored --nocapture what_a_request_costs`.
#[test]
#[ignore = "a measurement"]
fn what_a_request_costs() {
    const REQUESTS: u64 = 100_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = Arc::new(crate::telemetry::SystemClock);
    for mode in [AuditMode::Required, AuditMode::BestEffort, AuditMode::Durable] {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(&config(dir.path(), mode), clock.clone()).unwrap();
        let requests = if mode == AuditMode::Durable { 500 } else { REQUESTS };
        let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let (start, before) = (Instant::now(), cpu());
        for number in 0..requests {
            let mut entry = audit.entry(facts(number)).unwrap();
            runtime.block_on(entry.intent(intent())).unwrap();
            let mut outcome = answered();
            outcome.stages.total = Duration::from_micros(number);
            outcome.stages.upstream = Duration::from_micros(number);
            entry.outcome(outcome);
        }
        let (wall, after) = (start.elapsed(), cpu());
        let spent = (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec;
        audit.close().unwrap();
        let start = Instant::now();
        let report = verify(dir.path(), &dir.path().join("key"), &[]).unwrap();
        let speed = report.lines as f64 / start.elapsed().as_secs_f64();
        assert_eq!((report.requests, report.findings.len()), (requests, 0));
        println!(
            "{mode:?}: {} ns of CPU and {} ns a request; verify {speed:.0} lines/s",
            spent / requests as i64,
            wall.as_nanos() / u128::from(requests)
        );
    }
}
