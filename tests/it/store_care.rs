//! The commands that look after a store: another key, a backup, its audit, a look at all of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nexus_sidecar::telemetry::{Clock as _, SystemClock};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::secrecy::canaries::{assert_clean, canary};
use crate::support::ByHand;
use crate::support::process::{Ended, Home};

const STORE: &str = ".local/share/nexus-sidecar/store.db";

fn out(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    &ended.out
}

fn parsed(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"))
}

/// It ends with this code, and says this.
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let said = format!("{}{}", ended.out, ended.err);
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
}

fn key(home: &Home, name: &str, byte: u8) {
    home.secret(name, &format!("{}\n", STANDARD.encode([byte; 32])));
}

fn rules(port: u16) -> String {
    format!(
        "version: 1\nrules:\n  - {{ name: one, host: 127.0.0.1, port: {port}, path: '/**', connection: one, \
         plaintext: true, networks: [127.0.0.0/8] }}\n"
    )
}

/// A home whose store is under the key `old.key`; `a.yaml` to `d.yaml` are the steps of a rotation.
fn rotating() -> Home {
    let home = Home::new();
    key(&home, "old.key", 1);
    key(&home, "new.key", 2);
    let keys = |key: &str, others: &str| format!("version: 1\nauthority: {{ key: {{ file: {key} }}{others} }}\n");
    home.write("a.yaml", &keys("old.key", ""));
    home.write("b.yaml", &keys("old.key", ", other_keys: [ { file: new.key } ]"));
    home.write("c.yaml", &keys("new.key", ", other_keys: [ { file: old.key } ]"));
    home.write("d.yaml", &keys("new.key", ""));
    add(&home, "one", "canary-one");
    home
}

fn add(home: &Home, name: &str, token: &str) {
    let args = ["connection", "add", name, "--strategy", "oauth2", "--host", "127.0.0.1", "--config", "a.yaml"];
    out(&home.run_with(args, &format!("{token}\n")));
}

#[tokio::test]
async fn a_key_is_changed_while_a_sidecar_lends_and_the_old_one_opens_nothing_then() {
    let home = rotating();
    let origin = ByHand::new().await;
    let both = "authority: { key: { file: old.key }, other_keys: [ { file: new.key } ] }\n";
    let proxy = home.proxy(&rules(origin.port()), both);
    let before = origin.answering(&proxy.agent, "/before").await;
    assert!(before.head.contains("Bearer canary-one"), "{}", before.head);
    before.ends_well().await;
    let rotated = home.run(["authority", "rotate-key", "--config", "c.yaml", "--json"]);
    let report = parsed(&rotated);
    assert_eq!((rotated.code, &report["rows"], &report["done"]), (Some(0), &1.into(), &true.into()), "{report}");
    // It knows both keys, and needs no restart to follow.
    let after = origin.answering(&proxy.agent, "/after").await;
    assert!(after.head.contains("Bearer canary-one"), "{}", after.head);
    after.ends_well().await;
    drop(proxy);
    // The CA of its folder went along.
    let ca = home.run(["ca", "export", "--config", "d.yaml"]);
    assert!(out(&ca).contains("BEGIN CERTIFICATE"));
    says(&home.run(["connection", "list", "--config", "a.yaml"]), 1, &["another key"]);
    let again = home.run(["authority", "rotate-key", "--config", "c.yaml"]);
    says(&again, 0, &["0 rows", "nothing is left under another key"]);
    out(&home.run(["connection", "show", "one", "--config", "d.yaml"]));
    says(&home.run(["audit", "verify", "--no-files", "--config", "d.yaml"]), 0, &["ok: no line of the store"]);
    let kept = home.run(["authority", "doctor", "--json", "--config", "c.yaml"]);
    assert!(kept.out.contains("authority.other_keys has more"), "{}", kept.out);
}

#[test]
fn a_rotation_needs_another_key_and_says_what_it_could_not_open() {
    let home = rotating();
    says(&home.run(["authority", "rotate-key", "--config", "a.yaml"]), 2, &["authority.other_keys", "--help"]);
    let help = home.run(["authority", "rotate-key", "--help"]);
    says(&help, 0, &["umask 077; head -c 32 /dev/urandom | base64", "other_keys: [ { file: old.key } ]"]);
    home.secret("same.key", &fs::read_to_string(home.path("old.key")).unwrap());
    home.write("e.yaml", "version: 1\nauthority: { key: { file: old.key }, other_keys: [ { file: same.key } ] }\n");
    says(&home.run(["authority", "rotate-key", "--config", "e.yaml"]), 2, &["holds the same key"]);
    home.write("f.yaml", "version: 1\nauthority: { key: { file: new.key }, other_keys: [ { file: none.key } ] }\n");
    says(&home.run(["authority", "rotate-key", "--config", "f.yaml"]), 1, &["none.key"]);
    assert!(!home.path("none.key").exists(), "a key beside the store's is never made");
    fs::set_permissions(home.path("old.key"), fs::Permissions::from_mode(0o640)).unwrap();
    says(&home.run(["connection", "list", "--config", "c.yaml"]), 1, &["old.key", "chmod 600"]);
    fs::set_permissions(home.path("old.key"), fs::Permissions::from_mode(0o600)).unwrap();
    add(&home, "two", "canary-two");
    let database = rusqlite::Connection::open(home.path(STORE)).unwrap();
    database.execute("UPDATE connections SET wrapped_key = X'00' WHERE name = 'two'", []).unwrap();
    drop(database);
    let rotated = home.run(["authority", "rotate-key", "--config", "c.yaml"]);
    says(&rotated, 1, &["1 rows went", "1 rows open under none", "keep the keys"]);
    let looked = home.run(["authority", "doctor", "--config", "c.yaml"]);
    says(&looked, 0, &["1 rows are under another key", "rotate-key"]);
}

#[test]
fn no_rotation_makes_a_store_or_a_key() {
    let home = Home::new();
    key(&home, "new.key", 2);
    home.write("c.yaml", "version: 1\nauthority: { other_keys: [ { file: new.key } ] }\n");
    says(&home.run(["authority", "rotate-key", "--config", "c.yaml"]), 1, &["nothing is sealed yet"]);
    says(&home.run(["authority", "backup", "b", "--config", "c.yaml"]), 1, &["there is no store"]);
    assert!(!home.path(".local").exists() && !home.path("b").exists());
}

#[test]
fn what_was_backed_up_is_restored_elsewhere_with_its_key_and_holds_no_secret() {
    let (home, other) = (Home::new(), Home::new());
    home.connect("one", "one.test", canary("access_token"));
    home.connect("two", "two.test", canary("api_key"));
    let told = home.run(["authority", "backup", "store.backup"]);
    says(&told, 0, &["2 connections", "it needs the key", "nexus-sidecar/key"]);
    let file = home.path("store.backup");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    assert_clean("the backup", &bytes);
    says(&home.run(["authority", "backup", "store.backup"]), 2, &["--force"]);
    let forced = parsed(&home.run(["authority", "backup", "store.backup", "--force", "--json"]));
    assert_eq!(forced["tables"]["connections"], 2);
    says(&home.run(["authority", "backup", STORE, "--force"]), 2, &["belongs to the store itself"]);
    says(&home.run(["authority", "backup", "-", "--json"]), 2, &["--json"]);
    let piped = home.run(["authority", "backup", "-"]);
    assert!(out(&piped).lines().count() > 5 && piped.err.contains("backed up"), "{}", piped.err);

    let text = String::from_utf8(bytes).unwrap();
    other.write("store.backup", &text);
    says(&other.run(["authority", "restore", "store.backup"]), 2, &["put it in its place first"]);
    assert!(!other.path(".local").exists(), "it made something");
    let place = ".local/share/nexus-sidecar/key";
    key(&other, place, 9);
    says(&other.run(["authority", "restore", "store.backup"]), 1, &["another key", "removed the store"]);
    assert!(!other.path(STORE).exists());
    other.secret(place, &fs::read_to_string(home.path(place)).unwrap());
    let cut: String = text.lines().take(4).map(|line| format!("{line}\n")).collect();
    says(&other.run_with(["authority", "restore", "-"], &cut), 1, &["not whole"]);
    says(&other.run(["authority", "restore", "none"]), 2, &["none"]);
    let restored = other.run(["authority", "restore", "store.backup"]);
    says(&restored, 0, &["as it was at 20", "2 connections", "see to it again"]);
    let (ours, theirs) = (home.run(["connection", "list", "--json"]), other.run(["connection", "list", "--json"]));
    assert_eq!(out(&ours), out(&theirs));
    let heads = parsed(&home.run(["audit", "verify", "--no-files", "--json"]));
    assert_eq!(heads["store"]["findings"], Value::Array(vec![]));
    says(&other.run(["audit", "verify", "--no-files"]), 0, &["ok: no line of the store"]);
    says(&other.run(["authority", "restore", "store.backup"]), 1, &["is not empty"]);
    assert!(other.path(STORE).exists(), "a store that was there stays");
}

#[test]
fn an_edited_line_of_the_store_is_found_and_so_is_what_is_missing_beside_a_head() {
    let home = Home::new();
    home.connect("one", "one.test", "canary-one");
    // No sidecar has recorded here.
    says(&home.run(["audit", "verify"]), 1, &["--no-files"]);
    let seen = parsed(&home.run(["audit", "verify", "--no-files", "--json"]));
    let head = seen["store"]["heads"][0].as_str().unwrap().to_owned();
    assert_eq!((&seen["ok"], &seen["store"]["lines"]), (&true.into(), &1.into()), "{seen}");
    out(&home.run(["audit", "verify", "--no-files", "--head", &head]));
    says(&home.run(["audit", "verify", "--no-store", "--head", &head]), 2, &["leaves the store out"]);
    let database = rusqlite::Connection::open(home.path(STORE)).unwrap();
    database.execute("UPDATE audit SET body = replace(body, 'one', 'two')", []).unwrap();
    let found = home.run(["audit", "verify", "--no-files"]);
    says(&found, 1, &["TAMPERED", "was changed"]);
    says(&home.run(["authority", "doctor"]), 1, &["was changed", "audit verify"]);
    database.execute("DELETE FROM audit", []).unwrap();
    database.execute("DELETE FROM instances", []).unwrap();
    drop(database);
    // Whoever takes away all of it is found by what was kept elsewhere.
    out(&home.run(["audit", "verify", "--no-files"]));
    let found = home.run(["audit", "verify", "--no-files", "--head", &head, "--json"]);
    assert_eq!((found.code, &parsed(&found)["ok"]), (Some(1), &false.into()), "{found:?}");
    assert!(parsed(&found)["store"]["findings"][0].as_str().unwrap().contains("is gone"));
    fs::rename(home.path(STORE), home.path("away.db")).unwrap();
    says(&home.run(["audit", "verify", "--no-files", "--head", &head]), 1, &["there is no store"]);
    says(&home.run(["audit", "verify", "--help"]), 0, &["Not found in the store"]);
}

#[test]
fn a_look_at_an_authority_makes_nothing_and_says_what_to_do() {
    let home = Home::new();
    let empty = home.run(["authority", "doctor"]);
    says(&empty, 0, &["there is none in", "authority serve makes it"]);
    assert!(!home.path(".local").exists(), "it made something");
    home.connect("one", "one.test", "canary-one");
    out(&home.run(["authority", "key", "add"]));
    let database = rusqlite::Connection::open(home.path(STORE)).unwrap();
    database.execute("UPDATE workspaces SET frozen_at = 1", []).unwrap();
    drop(database);
    let before = fs::read(home.path(STORE)).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (private, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(["a.test".to_owned()]).unwrap());
    params.not_after = (SystemClock.wall() + Duration::from_secs(5 * 86_400)).into();
    home.write("c.pem", &params.self_signed(&private).unwrap().pem());
    home.secret("k.pem", &private.serialize_pem());
    let tls = "tls: { cert_file: c.pem, key_file: k.pem }";
    home.write("c.yaml", &format!("version: 1\nauthority: {{ listen: '127.0.0.1:{port}', {tls} }}\n"));
    let looked = home.run(["authority", "doctor", "--config", "c.yaml", "--json"]);
    let seen = parsed(&looked);
    assert_eq!((looked.code, &seen["ok"]), (Some(0), &true.into()), "{seen:#}");
    let says = |check: &str, level: &str, words: &str| {
        let found =
            seen["checks"].as_array().unwrap().iter().any(|of| {
                of["check"] == check && of["level"] == level && of["finding"].as_str().unwrap().contains(words)
            });
        assert!(found, "no {check} {level} {words:?} in {seen:#}");
    };
    says("store", "ok", "version");
    says("sealing", "ok", "under authority.key");
    says("audit", "ok", "every chain holds");
    says("API keys", "warn", "1 alive, of which 1 manage and 1 never end");
    says("connections", "ok", "1 active");
    says("frozen", "warn", "local");
    says("certificate", "warn", "ends in 4 days");
    says("TLS key", "ok", "mode 600");
    says("address", "ok", "free");
    says("clock", "ok", "");
    assert_eq!(fs::read(home.path(STORE)).unwrap(), before, "a look writes nothing");
    assert!(!looked.out.contains("canary"));
}
