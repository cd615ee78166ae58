use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::StoreConfig;

const TEXT: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn no_one(_: &str) -> io::Result<Secret> {
    Err(io::Error::other("nobody is there"))
}

fn reader() -> KeyReader<'static> {
    KeyReader { environment: &|name| (name == "KEY").then(|| TEXT.into()), ask: &no_one }
}

fn read_from(data_dir: &Path, key: KeySource) -> Result<MasterKey, KeyError> {
    read_key(
        &AuthorityConfig { data_dir: data_dir.to_owned(), key, store: StoreConfig::Sqlite, other_keys: vec![] },
        &reader(),
    )
}

#[test]
fn a_file_is_made_once_with_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/key");
    let first = read_from(folder.path(), KeySource::File(path.clone())).unwrap();
    assert_eq!(first.made(), Some(path.as_path()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.len() == 45 && text.ends_with('\n'), "{} bytes", text.len());
    let second = read_from(folder.path(), KeySource::File(path)).unwrap();
    assert_eq!(second.made(), None);
    assert_eq!(first.secret.expose(), second.secret.expose());
    assert_ne!(first.secret.expose(), [0; 32]);
}

#[test]
fn a_file_that_others_may_read_and_what_is_no_key_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, TEXT).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = read_from(folder.path(), KeySource::File(path.clone())).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { .. }) && error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(read_from(folder.path(), KeySource::File(path.clone())).is_ok());
    let error = read_from(folder.path(), KeySource::File(folder.path().to_owned())).unwrap_err();
    assert!(matches!(error, KeyError::NotAFile { .. }), "{error}");
    for bad in ["", "hunter2", &TEXT[4..], &format!("{TEXT}AA"), &format!("{TEXT}\n{TEXT}"), &"A".repeat(5000)] {
        let path = folder.path().join("bad");
        fs::write(&path, bad).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = read_from(folder.path(), KeySource::File(path)).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }) && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn no_new_key_is_made_for_an_old_store() {
    let folder = tempfile::tempdir().unwrap();
    Sqlite::open(folder.path()).unwrap();
    let path = folder.path().join("key");
    assert!(matches!(read_from(folder.path(), KeySource::File(path.clone())), Err(KeyError::Gone { .. })));
    assert!(!path.exists());
    assert!(matches!(read_from(folder.path(), KeySource::Passphrase), Err(KeyError::Gone { .. })));
}

#[test]
fn a_variable() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read_from(folder.path(), KeySource::Env("KEY".into())).unwrap().secret.expose(), [1; 32]);
    let error = read_from(folder.path(), KeySource::Env("OTHER".into())).unwrap_err().to_string();
    assert!(error.contains("OTHER"), "{error}");
}

#[test]
fn a_descriptor_is_read_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, TEXT).unwrap();
    let number = fs::File::open(&path).unwrap().into_raw_fd();
    assert_eq!(read_from(folder.path(), KeySource::Fd(number)).unwrap().secret.expose(), [1; 32]);
    let still = fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|target| target == path);
    assert!(!still, "it was left open");
    fs::write(&path, "no key").unwrap();
    let file = fs::File::open(&path).unwrap();
    assert!(matches!(read_from(folder.path(), KeySource::Fd(file.as_raw_fd())), Err(KeyError::Malformed { .. })));
    assert!(file.metadata().is_ok(), "what is no key is not ours to close");
    for number in [-1, 0, 2, 999_999] {
        assert!(matches!(read_from(folder.path(), KeySource::Fd(number)), Err(KeyError::Descriptor { .. })));
    }
}

#[test]
fn a_descriptor_need_not_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.write_all(TEXT.as_bytes()).unwrap();
    drop(ours);
    assert_eq!(read_from(folder.path(), KeySource::Fd(theirs.into_raw_fd())).unwrap().secret.expose(), [1; 32]);
}

#[test]
fn a_passphrase_is_asked_for_twice_at_first_and_once_later() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuthorityConfig {
        data_dir: folder.path().to_owned(),
        key: KeySource::Passphrase,
        store: StoreConfig::Sqlite,
        other_keys: vec![],
    };
    let with = |answers: &[&str]| {
        let answers = RefCell::new(answers.iter().rev().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let ask = |_: &str| answers.borrow_mut().pop().map(Secret::new).ok_or_else(|| io::Error::other("asked again"));
        read_key(&config, &KeyReader { environment: &|_| None, ask: &ask }).map(|key| key.secret.expose().to_vec())
    };
    assert!(matches!(with(&["short", "short"]), Err(KeyError::Passphrase(_))));
    assert!(matches!(with(&["correct horse battery", "correct horse batteri"]), Err(KeyError::Passphrase(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a salt was left without a passphrase");
    let key = with(&["correct horse battery", "correct horse battery"]).unwrap();
    Sqlite::open(folder.path()).unwrap();
    assert_eq!(with(&["correct horse battery"]).unwrap(), key);
    assert_ne!(with(&["correct horse staple"]).unwrap(), key);
}

#[test]
fn purposes_share_no_key() {
    let key = MasterKey::new(Secret::new([1; 32]));
    let sealed = key.derive(Purpose::Vault).unwrap().seal([0; 12], b"", b"x").unwrap();
    assert!(key.derive(Purpose::Vault).unwrap().open(b"", &sealed).is_ok());
    assert!(key.derive(Purpose::Check).unwrap().open(b"", &sealed).is_err());
    assert!(key.derive(Purpose::Ca).unwrap().open(b"", &sealed).is_err());
}
