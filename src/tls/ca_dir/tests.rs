use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::model::Secret;
use crate::tls::Ca;

/// A day in the life of these tests.
fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&Secret::new([byte; 32])).unwrap()
}

fn load(dir: &Path, now: SystemTime) -> Result<Ca, CaError> {
    Ca::load_or_make(dir, &sealer(7), now)
}

fn trust(dir: &Path, now: SystemTime) -> Vec<String> {
    let text = load(dir, now).unwrap().trust_pem();
    text.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect()
}

fn why(result: Result<Ca, CaError>) -> String {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(error @ CaError::Io { .. }) => {
            format!("{error}: {}", std::error::Error::source(&error).unwrap())
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_restart_keeps_the_ca() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b/ca");
    let now = today();
    let first = trust(&dir, now);
    assert_eq!(first.len(), 1);
    assert_eq!(trust(&dir, now), first);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.path());
        assert!(!fs::read(entry.path()).unwrap().windows(11).any(|text| text == b"PRIVATE KEY"));
    }
    assert_eq!(fs::read_to_string(dir.join("ca.pem")).unwrap(), first[0]);
}

#[test]
fn leaves_of_a_kept_ca_are_those_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let now = today();
    let made = load(folder.path(), now).unwrap();
    let read = load(folder.path(), now).unwrap();
    let (made, read) = (made.issuing_at(now).unwrap(), read.issuing_at(now).unwrap());
    assert_eq!(made.der(), read.der());
    assert_eq!(*made.private(), *read.private());
    assert_eq!(made.end(), read.end());
}

#[test]
fn a_successor_is_published_ten_days_ahead_and_takes_over_on_the_last_day() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let start = today();
    let day = |number: u32| start + DAY * number - DAY / 2;
    let first = trust(dir, start);
    assert_eq!(trust(dir, day(20)), first);
    let both = trust(dir, day(21));
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    assert_eq!(trust(dir, day(29)), both);
    let at = |number| load(dir, day(21)).unwrap().issuing_at(day(number)).map(|one| one.pem().to_owned());
    assert_eq!(at(29).unwrap(), both[0]);
    // A process that was not started again goes over by itself.
    assert_eq!(at(30).unwrap(), both[1]);
    assert_eq!(trust(dir, day(30)), both[1..]);
    assert_eq!(trust(dir, day(31)), both[1..]);
    assert!(!dir.join("next.pem").exists() && !dir.join("next.key.sealed").exists());
}

#[test]
fn after_a_long_sleep_there_is_a_fresh_ca() {
    let folder = tempfile::tempdir().unwrap();
    let start = today();
    trust(folder.path(), start);
    let both = trust(folder.path(), start + DAY * 25);
    let late = trust(folder.path(), start + DAY * 100);
    assert_eq!(late.len(), 1);
    assert!(!both.contains(&late[0]));
    assert_eq!(trust(folder.path(), start + DAY * 100), late);
}

#[test]
fn two_that_start_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    let now = today();
    let barrier = std::sync::Barrier::new(4);
    let found: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            barrier.wait();
            trust(&dir, now)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|trust| *trust == found[0]), "{found:?}");
}

#[test]
fn a_cut_off_move_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let start = today();
    trust(dir, start);
    let both = trust(dir, start + DAY * 21);
    fs::rename(dir.join("next.key.sealed"), dir.join("ca.key.sealed")).unwrap();
    assert_eq!(trust(dir, start + DAY * 12), both[1..]);
}

#[test]
fn what_is_not_ours_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    let now = today();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(why(load(&file, now)).contains("it is not a folder"));
    assert!(why(load(&file.join("below"), now)).contains("below"));

    let kept = trust(&dir, now);
    let refused = why(Ca::load_or_make(&dir, &sealer(8), now));
    assert!(refused.contains("ca.key.sealed") && refused.contains("sealed under another key"), "{refused}");
    assert_eq!(trust(&dir, now), kept);

    let certificate = fs::read(dir.join("ca.pem")).unwrap();
    for (text, said) in [
        ("", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "not valid PEM"),
        (crate::tls::for_tests::Zone::new("another").pem(), "was changed"),
        (&kept[0].repeat(2), "more than one"),
    ] {
        fs::write(dir.join("ca.pem"), text).unwrap();
        let refused = why(load(&dir, now));
        assert!(refused.contains(said), "{refused}");
    }
    fs::write(dir.join("ca.pem"), certificate).unwrap();
    assert_eq!(trust(&dir, now), kept);
    fs::remove_file(dir.join("ca.key.sealed")).unwrap();
    assert!(why(load(&dir, now)).contains("cannot read"));
    fs::create_dir(dir.join("ca.key.sealed")).unwrap();
    assert!(why(load(&dir, now)).contains("cannot read"));
}
