//! No secret in what is kept: the store, the folders around it, the environment and the command
//! line of a child, what `{:?}` and errors show.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nexus_sidecar::authority::{KeyReader, MasterKey, NewConnection, read_key};
use nexus_sidecar::config::{AuthorityConfig, KeySource, StoreConfig};
use nexus_sidecar::lease::{MemoryConnection, MemorySource};
use nexus_sidecar::model::{Binding, Bindings, ConnectionName, Fields, HostPattern, Secret, Strategy};

use super::canaries::{CANARIES, assert_clean, canary, forms};
use crate::left_out;
use crate::support::process::{Ended, Home};

pub(crate) fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_store_a_child_and_its_summary_hold_no_secret() {
    if left_out::lacks(&["bash", "curl"]) {
        return;
    }
    let home = Home::new();
    let mut added = String::new();
    for (name, strategy, host, fields) in [
        ("api", "oauth2", "known.test", &["access_token"][..]),
        ("basic", "basic_auth", "basic.test", &["username", "password"]),
        ("aws", "aws_sigv4", "s3.eu-west-1.amazonaws.com", &["access_key", "secret_key", "session_token"]),
        ("hook", "hmac_payload", "hook.test", &["api_secret"]),
    ] {
        let value =
            |field: &str| CANARIES.iter().find(|(name, _)| *name == field).map_or("AKIDEXAMPLE", |(_, value)| value);
        let fields: serde_json::Map<_, _> =
            fields.iter().map(|field| ((*field).to_owned(), serde_json::json!(value(field)))).collect();
        let mut args = vec!["connection", "add", name, "--strategy", strategy, "--host", host, "--fields", "-"];
        if name == "hook" {
            args.extend(["--set", "header_name=X-Signature"]);
        }
        let ended = home.run_with(args, &serde_json::Value::Object(fields).to_string());
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.err);
        added += &format!("{}{}", ended.out, ended.err);
    }
    home.write(
        ".config/nexus-sidecar/policy.yaml",
        "version: 1\nrules:\n  - { name: known, host: known.test, method: GET, connection: api }\n",
    );
    let key = home.path(".local/share/nexus-sidecar/key");
    let master = fs::read(&key).unwrap();
    let raw = STANDARD.decode(master.trim_ascii()).unwrap();
    // What the child sees of itself and of its parent, and a request that fails.
    let script = r#"env; cat /proc/self/environ; tr '\0' ' ' < /proc/$PPID/cmdline; cat /proc/$PPID/environ
        curl -sv --max-time 5 https://known.test/ 2>&1; curl -sv --max-time 5 -X DELETE https://known.test/ 2>&1; ls -l /proc/self/fd"#;
    let ran = home.run(["run", "--", "bash", "-c", script]);
    let more = [&ran, &home.run(["connection", "list", "--json"]), &home.run(["connection", "show", "api"])];
    let shown = added + &more.map(|ended| format!("{}{}", ended.out, ended.err)).concat();
    assert!(ran.out.contains("HTTPS_PROXY"), "{ran:?}");
    assert_clean("what commands print", shown.as_bytes());
    let listed = files(&home.path("."));
    assert!(listed.iter().any(|path| path.extension().is_some_and(|end| end == "db")), "no store in {listed:?}");
    for path in listed {
        assert_clean("the name of a file", path.to_str().unwrap().as_bytes());
        let bytes = fs::read(&path).unwrap();
        assert_clean(&path.display().to_string(), &bytes);
        if path != key {
            let leaked = [master.trim_ascii(), &raw]
                .iter()
                .any(|key| forms(key).iter().any(|form| memchr::memmem::find(&bytes, form).is_some()));
            assert!(!leaked, "the master key in {}", path.display());
        }
    }
    for key in [master.trim_ascii(), &raw] {
        assert!(!forms(key).iter().any(|form| memchr::memmem::find(shown.as_bytes(), form).is_some()));
    }
}

#[test]
fn a_providers_connection_is_made_tested_and_kept_in_memory_without_a_trace_of_it() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let home = Home::new();
    let settings = "version: 1\nlog: { level: trace }\nupstream: { hosts: { api.github.com: 127.0.0.1 } }\n";
    home.write(".config/nexus-sidecar/nexus-sidecar.yaml", settings);
    let token = canary("access_token");
    let mut shown = String::new();
    let mut tell = |ended: Ended, code: i32| {
        assert_eq!(ended.code, Some(code), "{ended:?}");
        shown += &format!("{}{}", ended.out, ended.err);
    };
    // Refused for its shape, then taken.
    tell(home.run_with(["connection", "add", "github"], &format!("Bearer {token}")), 2);
    tell(home.run_with(["connection", "add", "github"], &format!("'{token}'")), 2);
    tell(home.run_with(["connection", "add", "github"], token), 0);
    tell(home.run_with(["connection", "set", "github"], token), 0);
    tell(home.run(["connection", "show", "github", "--json"]), 0);
    // The look-alike is at an address that is not allowed: the credential was borrowed by then.
    tell(home.run(["connection", "test", "github"]), 1);
    tell(home.run(["connection", "test", "github", "--json"]), 1);
    let script = "env; curl -s --max-time 5 https://api.github.com/user; exit 0";
    let run = ["run", "--use", "github/read@1", "--field", "github.token=env:PAT", "--", "sh", "-c", script];
    tell(Ended::of(&home.command(run).env("PAT", canary("api_key")).output().unwrap()), 0);
    tell(Ended::of(&home.command(run).env("PAT", format!("\"{}\"", canary("api_key"))).output().unwrap()), 2);
    assert!(shown.contains("127.0.0.1") && shown.contains("HTTPS_PROXY"), "{shown}");
    assert_clean("what commands print", shown.as_bytes());
    let listed = files(&home.path("."));
    assert!(listed.iter().any(|path| path.ends_with("run.log")), "no log in {listed:?}");
    for path in listed {
        assert_clean(&path.display().to_string(), &fs::read(&path).unwrap());
    }
}

#[test]
fn debug_and_errors_show_no_secret() {
    let secret = || Secret::new(canary("access_token"));
    let mut fields = Fields::new();
    fields.insert("access_token", secret());
    let hosts = vec![HostPattern::parse("api.test").unwrap()];
    let binding = || Binding { hosts: hosts.clone(), strategy: Strategy::OAuth2 };
    let mut shown = format!("{:?} {:#?} {:?}", secret(), secret(), fields);
    let name = || ConnectionName::parse("api").unwrap();
    let new = NewConnection {
        name: name(),
        provider: None,
        bindings: vec![binding()],
        owned: false,
        fields,
        expires_at: None,
    };
    shown += &format!("{new:?} {new:#?}");
    let memory = MemoryConnection {
        name: name(),
        bindings: Bindings::new(vec![binding()], true).unwrap(),
        fields: new.fields,
        expires_at: None,
    };
    shown += &format!("{memory:?} {:?}", MasterKey::new(secret()));
    drop(Arc::new(MemorySource::new([memory])));
    // A key that is none.
    let dir = tempfile::tempdir().unwrap();
    let config = AuthorityConfig {
        data_dir: dir.path().to_owned(),
        key: KeySource::Env("KEY".to_owned()),
        store: StoreConfig::Sqlite,
        other_keys: vec![],
    };
    let reader = KeyReader { environment: &|_| Some(canary("api_secret").into()), ask: &|_| unreachable!() };
    let error = read_key(&config, &reader).unwrap_err();
    shown += &format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        shown += &format!("{inner} {inner:?}");
        source = inner.source();
    }
    assert!(shown.contains("[secret]"));
    assert_clean("what is shown", shown.as_bytes());
}
