use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;
use crate::tls::for_tests::Zone;

/// A day in the life of these tests.
fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn base64_of(text: &str) -> &str {
    text.lines().nth(3).unwrap()
}

#[test]
fn the_operators_files_are_trusted_and_our_own_cas_never() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Ca::ephemeral(today()).unwrap().trust_pem();
    let zone = Zone::new("private");
    let both = write(folder.path(), "both.pem", &format!("{ours}# a comment\n{}", zone.pem()));
    let bundle = Roots::load(&[both]).unwrap().bundle_pem();
    assert!(bundle.contains(base64_of(zone.pem())));
    assert!(!bundle.contains(base64_of(&ours)));
}

#[test]
fn a_named_ca_is_one_that_destinations_may_chain_to() {
    let folder = tempfile::tempdir().unwrap();
    let named = Ca::named("a demonstration", today()).unwrap().trust_pem();
    let file = write(folder.path(), "named.pem", &named);
    let bundle = Roots::load(&[file]).unwrap().bundle_pem();
    assert!(bundle.contains(base64_of(&named)));
}

#[test]
fn a_certificate_with_our_key_is_excluded_whatever_it_calls_itself() {
    let folder = tempfile::tempdir().unwrap();
    let now = today();
    let ca = Ca::ephemeral(now).unwrap();
    let key = ca.issuing_at(now).unwrap().issuer().key().serialize_der();
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ECDSA_P256_SHA256).unwrap();
    let (disguised, zone) = (Zone::with_key("disguised", key), Zone::new("private"));
    let file = write(folder.path(), "both.pem", &format!("{}{}", disguised.pem(), zone.pem()));
    let roots = Roots::load(&[file]).unwrap();
    assert!(roots.bundle_pem().contains(base64_of(disguised.pem())));
    let bundle = roots.excluding(&ca).unwrap().bundle_pem();
    assert!(!bundle.contains(base64_of(disguised.pem())));
    assert!(bundle.contains(base64_of(zone.pem())));
}

#[test]
fn a_file_without_a_certificate_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (path, said) in [
        (folder.path().to_owned(), "folder"),
        (folder.path().join("missing.pem"), "No such file"),
        (write(folder.path(), "empty.pem", ""), "no certificate"),
        (
            write(folder.path(), "key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            "no certificate",
        ),
        (write(folder.path(), "rubbish.pem", rubbish), "number 1 is not readable"),
        (write(folder.path(), "cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"), "not valid PEM"),
    ] {
        let error = Roots::load(std::slice::from_ref(&path)).err().unwrap().to_string();
        assert!(error.contains(said) && error.contains(&*path.to_string_lossy()), "{error}");
    }
}

#[test]
fn nothing_to_trust_is_an_error() {
    assert!(matches!(Roots::trusting(vec![]), Err(RootsError::Empty(_))));
}

#[test]
fn a_client_is_built_once_for_each_offer() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "zone.pem", Zone::new("private").pem());
    let roots = Roots::load(&[file]).unwrap();
    let any = roots.client_config(&[b"h2", b"http/1.1"]);
    assert!(Arc::ptr_eq(&any, &roots.client_config(&[b"h2", b"http/1.1"])));
    assert!(!Arc::ptr_eq(&any, &roots.client_config(&[b"http/1.1"])));
    assert_eq!(any.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}
