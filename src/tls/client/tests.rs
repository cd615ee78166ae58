use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let next = self.path("next");
        fs::write(&next, text).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(next, self.path(name)).unwrap();
    }

    fn identity(&self) -> ClientIdentity {
        ClientIdentity::new(ClientFiles { cert_file: self.path("cert"), key_file: self.path("key") })
    }
}

fn pair() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(vec!["sidecar.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem(), key)
}

#[test]
fn a_pair_is_read_again_once_it_was_exchanged() {
    let (files, (cert, key)) = (Files::new(), pair());
    let identity = files.identity();
    assert!(identity.check().unwrap_err().to_string().contains("cert"));
    files.write("cert", &cert, 0o644);
    files.write("key", &key.serialize_pem(), 0o600);
    let first = identity.pair().unwrap();
    assert!(Arc::ptr_eq(&first, &identity.pair().unwrap()), "it is read once");
    let (cert, key) = pair();
    files.write("cert", &cert, 0o644);
    let error = identity.pair().unwrap_err().to_string();
    assert!(error.contains("is another one's"), "{error}");
    files.write("key", &format!("a word before\r\n{}", key.serialize_pem().replace('\n', "\r\n")), 0o600);
    assert!(!Arc::ptr_eq(&first, &identity.pair().unwrap()));
}

#[test]
fn what_cannot_be_shown_is_said_without_a_byte_of_it() {
    let (files, (cert, key)) = (Files::new(), pair());
    let key = key.serialize_pem();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    files.write("cert", &cert, 0o644);
    for (text, mode, want) in [
        (key.clone(), 0o644, "lets others at it"),
        (String::new(), 0o600, "no private key"),
        (cert.clone(), 0o600, "no private key"),
        (key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), 0o600, "encrypted"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(), 0o600, "not known"),
        (key.replace("-----END", "-----NO"), 0o600, "not valid PEM"),
        (key.replace(&body[..4], "(//)"), 0o600, "not valid PEM"),
        ("x".repeat(70 << 10), 0o600, "longer than"),
    ] {
        files.write("key", &text, mode);
        let error = files.identity().check().unwrap_err().to_string();
        assert!(error.contains(want), "{want}: {error}");
        assert!(!error.contains(&body[..12]), "{error}");
    }
    files.write("key", &key, 0o640);
    assert!(files.identity().check().is_ok(), "a group may read it");
    files.write("cert", "nothing", 0o644);
    assert!(files.identity().check().unwrap_err().to_string().contains("no certificate"));
}
