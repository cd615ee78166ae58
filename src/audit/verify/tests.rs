use std::fs;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::audit::tests::{clock, config, facts, intent, request, wait};
use crate::audit::{Audit, chain, file, head};
use crate::config::AuditMode;

/// Two processes' audit: one that was closed after two rotations, one that was killed while a
/// request was on its way.
static FIXTURE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let first = Audit::open(&config(dir.path(), AuditMode::Required), clock()).unwrap();
    let second = Audit::open(&config(dir.path(), AuditMode::Required), clock()).unwrap();
    for number in 0..12 {
        request(&first, number);
        request(&second, 100 + number);
        if number % 4 == 3 {
            first.0.log.turn(&mut first.0.log.lock()).unwrap();
        }
    }
    first.close().unwrap();
    die(second, 200);
    dir
});

/// Ends an audit as a kill does, in the middle of a request, its head just replaced.
fn die(audit: Audit, number: u64) {
    let mut entry = audit.entry(facts(number)).unwrap();
    wait(entry.intent(intent())).unwrap();
    let head = {
        let state = audit.0.log.lock();
        Head::of(&state.file.name, &state.file.chain)
    };
    audit.0.log.replace_head(&head).unwrap();
    let _killed = ManuallyDrop::new((entry, audit));
}

fn copy() -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for item in fs::read_dir(FIXTURE.path()).unwrap() {
        let item = item.unwrap();
        fs::copy(item.path(), to.path().join(item.file_name())).unwrap();
    }
    to
}

fn check(dir: &Path, heads: &[Head]) -> Report {
    verify(dir, &dir.join("key"), heads).unwrap()
}

/// The log files and, last, the index.
fn chains(dir: &Path) -> Vec<PathBuf> {
    file::list(dir).unwrap().into_iter().chain([index::NAME.to_owned()]).map(|name| dir.join(name)).collect()
}

fn read_lines(path: &Path) -> Vec<Vec<u8>> {
    fs::read(path).unwrap().split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

fn write_lines(path: &Path, lines: &[Vec<u8>]) {
    fs::write(path, lines.concat()).unwrap();
}

fn set_head(path: &Path, lines: &[Vec<u8>]) {
    let (_, mac) = chain::split(lines.last().unwrap().strip_suffix(b"\n").unwrap()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let head = Head { file: Some(name.into()), count: lines.len() as u64, mac: String::from_utf8(mac.into()).unwrap() };
    fs::write(head::path(path.parent().unwrap(), name), serde_json::to_string(&head).unwrap()).unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Tampering {
    EditByte,
    DropLine,
    SwapLines,
    DuplicateLine,
    RepeatAtTheEnd,
    CutBytes,
    CutLines,
    RemoveFile,
    RemoveHead,
    SpliceLine,
    ForeignLine,
    Rename,
    SetBackWithItsHead,
    RemoveWithTheIndexsEnd,
}

const KINDS: [Tampering; 14] = {
    use Tampering::*;
    [
        EditByte,
        DropLine,
        SwapLines,
        DuplicateLine,
        RepeatAtTheEnd,
        CutBytes,
        CutLines,
        RemoveFile,
        RemoveHead,
        SpliceLine,
        ForeignLine,
        Rename,
        SetBackWithItsHead,
        RemoveWithTheIndexsEnd,
    ]
};

/// Does it, somewhere; tells whether anything has changed.
fn tamper(dir: &Path, kind: Tampering, which: usize, at: usize, other: usize) -> bool {
    let chains = chains(dir);
    let path = &chains[which % chains.len()];
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut lines = read_lines(path);
    let (line, second) = (at % lines.len(), other % lines.len());
    match kind {
        Tampering::EditByte => {
            let mut bytes = fs::read(path).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= u8::try_from(other % 255).unwrap() + 1;
            fs::write(path, bytes).unwrap();
            return true;
        }
        Tampering::CutBytes => {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..at % bytes.len()]).unwrap();
            return true;
        }
        Tampering::RemoveFile => fs::remove_file(path).unwrap(),
        Tampering::RemoveHead => fs::remove_file(head::path(dir, name)).unwrap(),
        Tampering::Rename => {
            let other = &chains[other % chains.len()];
            let (mine, its) = (fs::read(path).unwrap(), fs::read(other).unwrap());
            fs::write(path, &its).unwrap();
            fs::write(other, &mine).unwrap();
            return mine != its;
        }
        Tampering::RemoveWithTheIndexsEnd => {
            let index = dir.join(index::NAME);
            let mut lines = read_lines(&index);
            lines.truncate(1 + at % (lines.len() - 1));
            write_lines(&index, &lines);
            set_head(&index, &lines);
            let text = lines.concat();
            let kept = |name: &str| String::from_utf8_lossy(&text).contains(name);
            for name in file::list(dir).unwrap().into_iter().filter(|name| !kept(name)) {
                fs::remove_file(dir.join(&name)).unwrap();
                fs::remove_file(head::path(dir, &name)).unwrap();
            }
            return true;
        }
        Tampering::DropLine => drop(lines.remove(line)),
        Tampering::SwapLines => lines.swap(line, second),
        Tampering::DuplicateLine => lines.insert(line, lines[line].clone()),
        Tampering::RepeatAtTheEnd => lines.push(lines[line].clone()),
        Tampering::CutLines => lines.truncate(line),
        Tampering::SpliceLine => {
            let from = read_lines(&chains[(which + 1 + other % (chains.len() - 1)) % chains.len()]);
            lines.insert(line, from[other % from.len()].clone());
        }
        Tampering::ForeignLine => lines.insert(line, b"{\"v\":1}\n".to_vec()),
        Tampering::SetBackWithItsHead => {
            lines.truncate(line.max(1));
            set_head(path, &lines);
        }
    }
    let before = if path.exists() { fs::read(path).unwrap() } else { return true };
    if matches!(kind, Tampering::RemoveHead) {
        return true;
    }
    write_lines(path, &lines);
    before != lines.concat()
}

#[test]
fn what_nobody_touched_holds() {
    let report = check(FIXTURE.path(), &[]);
    assert_eq!(report.findings, []);
    assert_eq!((report.requests, report.open, report.lost), (25, 1, 0));
    assert_eq!(report.open_traces, ["000000000000000000000000000000c8"]);
    let closed: Vec<_> = report.files.iter().map(|file| file.closed).collect();
    assert_eq!(closed, [true, false, true, true, true]);
    assert_eq!(report.files.iter().map(|file| file.lines).sum::<u64>(), report.lines);
    let names: Vec<_> = report.heads.iter().filter_map(|head| head.file.as_deref()).collect();
    assert_eq!(names, [index::NAME, &report.files[1].file]);
    let bare = report.heads.iter().map(|head| Head { file: None, ..head.clone() });
    for heads in [report.heads.clone(), bare.collect()] {
        assert_eq!(check(FIXTURE.path(), &heads).findings, []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tampering_is_found(which: usize, at: usize, other: usize) {
        let heads = check(FIXTURE.path(), &[]).heads;
        let bare: Vec<_> = heads.iter().map(|head| Head { file: None, ..head.clone() }).collect();
        for kind in KINDS {
            let dir = copy();
            if !tamper(dir.path(), kind, which % 1000, at, other) {
                continue;
            }
            // Without a head from elsewhere where that is promised, and with one in any case.
            if !matches!(kind, Tampering::SetBackWithItsHead | Tampering::RemoveWithTheIndexsEnd) {
                prop_assert!(!check(dir.path(), &[]).findings.is_empty(), "{kind:?} was not found");
            }
            prop_assert!(!check(dir.path(), &heads).findings.is_empty(), "{kind:?} was not found with heads");
            prop_assert!(!check(dir.path(), &bare).findings.is_empty(), "{kind:?} was not found with bare heads");
        }
    }
}

#[test]
fn one_edit_is_one_finding_at_its_line() {
    let dir = copy();
    let path = &chains(dir.path())[0];
    let mut lines = read_lines(path);
    let edited = String::from_utf8(lines[2].clone()).unwrap().replace("\"status\":200", "\"status\":201");
    lines[2] = edited.into_bytes();
    write_lines(path, &lines);
    let findings = check(dir.path(), &[]).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].line, Some(3));
}

#[test]
fn a_torn_last_line_is_a_crash_only_behind_the_head() {
    let dir = copy();
    let path = dir.path().join(&check(dir.path(), &[]).files[1].file);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"v\":1,\"t\":\"2026"].concat()).unwrap();
    let report = check(dir.path(), &[]);
    assert_eq!(report.findings, []);
    assert!(report.files[1].torn);
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(!check(dir.path(), &[]).findings.is_empty());
}

#[test]
fn a_process_that_died_before_it_listed_its_file_is_no_tampering() {
    let dir = tempfile::tempdir().unwrap();
    drop(Audit::open(&config(dir.path(), AuditMode::Required), clock()).unwrap());
    let index = fs::read(dir.path().join(index::NAME)).unwrap();
    let head = fs::read(head::path(dir.path(), index::NAME)).unwrap();
    let late = Audit::open(&config(dir.path(), AuditMode::Required), clock()).unwrap();
    fs::write(dir.path().join(index::NAME), index).unwrap();
    fs::write(head::path(dir.path(), index::NAME), head).unwrap();
    let report = check(dir.path(), &[]);
    assert_eq!(report.findings, []);
    assert!(report.files[1].unlisted);
    request(&late, 1);
    assert!(!check(dir.path(), &[]).findings.is_empty(), "a file with requests must be listed");
    let _killed = ManuallyDrop::new(late);
}

#[test]
fn a_file_that_grows_is_verified_as_far_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(
        &crate::config::AuditConfig { max_file: 20_000, ..config(dir.path(), AuditMode::Required) },
        clock(),
    )
    .unwrap();
    let requests = AtomicU64::new(0);
    let write = || {
        while file::list(dir.path()).unwrap().len() < 4 {
            request(&audit, requests.fetch_add(1, Ordering::Relaxed));
        }
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(check(dir.path(), &[]).findings, []);
        }
    });
    audit.close().unwrap();
    let report = check(dir.path(), &[]);
    assert_eq!(report.findings, []);
    assert_eq!((report.requests, report.open), (requests.into_inner(), 0));
    assert_eq!(report.files.iter().filter(|file| !file.closed).count(), 0);
}

#[test]
fn the_wrong_key_finds_everything_foreign() {
    let dir = copy();
    fs::remove_file(dir.path().join("key")).unwrap();
    key::read_or_make(&dir.path().join("key")).unwrap();
    assert!(!check(dir.path(), &[]).findings.is_empty());
}
