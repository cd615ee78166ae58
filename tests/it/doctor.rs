//! `doctor`: looks at everything, says what to do, and makes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::left_out;
use crate::support::process::{Ended, Home};

const POLICY: &str = "version: 1\nrules:\n  - { name: read, host: api.test, method: GET, connection: api }\n\
                      tests:\n  - { request: GET https://api.test/, expect: inject api }\n";
const KEY: &str = ".local/share/nexus-sidecar/key";
const POLICY_FILE: &str = ".config/nexus-sidecar/policy.yaml";

/// The checks of a run, as JSON.
struct Seen(Value);

impl Seen {
    fn of(ended: &Ended) -> Self {
        Self(serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}")))
    }

    /// Some check of this name ended like this, and says so, or what to do, in these words.
    fn says(&self, check: &str, level: &str, words: &str) {
        let checks = self.0["checks"].as_array().unwrap();
        let text = |of: &Value| format!("{} -> {}", of["finding"], of["next"]);
        let found = checks.iter().any(|of| of["check"] == check && of["level"] == level && text(of).contains(words));
        assert!(found, "no {check} {level} {words:?} in {:#}", self.0);
    }
}

/// Everything below a home, its runtime folder excluded.
fn tree(home: &Home) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut waiting = vec![home.path("")];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.push((path.clone(), Vec::new()));
                waiting.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_machine_with_nothing_on_it_is_told_what_comes_first() {
    let home = Home::new();
    let before = tree(&home);
    let ended = home.run(["doctor"]);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{}", ended.out);
    let first = ended.out.split("What comes first:").nth(1).unwrap();
    for step in ["connection add github", "nexus-sidecar run --use github/read@1 -- curl"] {
        assert!(first.contains(step), "{first}");
    }
    assert_eq!(tree(&home), before, "doctor made something");
}

#[test]
fn a_good_set_up_has_nothing_to_be_mended_and_clients_trust_the_ca() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let home = Home::new();
    home.write(POLICY_FILE, POLICY);
    home.connect("api", "api.test", "canary-5c1d");
    let before = tree(&home);
    let ended = home.run(["doctor", "--json", "--", "curl", "-sS", "{url}"]);
    let seen = Seen::of(&ended);
    assert_eq!((ended.code, &seen.0["ok"]), (Some(0), &Value::from(true)), "{}", ended.out);
    seen.says("store", "ok", "connections: 1");
    seen.says("connection api", "ok", "version 1");
    seen.says("policy tests", "ok", "1 passed");
    seen.says("key", "warn", "can read");
    seen.says("curl", "ok", "trusts its CA");
    seen.says("probe", "ok", "trusts its CA");
    seen.says("callers", "ok", "known by its process");
    assert!(!ended.out.contains("canary"));
    assert_eq!(tree(&home), before, "doctor made something");
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let home = Home::new();
    home.connect("other", "other.test", "canary-5c1d");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    home.write("p.yaml", &format!("{POLICY}  - {{ request: GET https://api.test/, expect: deny }}\n"));
    home.write("d.yaml", "version: 1\ndefault: tunnel\nrules: [{ name: x, host: x.test, connection: other }]\n");
    let more = "anonymous: allow\npolicy: [p.yaml, d.yaml]\nupstream: { ca_files: [roots.pem] }\n";
    home.write("c.yaml", &format!("version: 1\nlisten: {{ proxy: '{address}' }}\n{more}"));
    fs::set_permissions(home.path(KEY), fs::Permissions::from_mode(0o644)).unwrap();
    let ended = home.run(["doctor", "--config", "c.yaml", "--json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    let seen = Seen::of(&ended);
    seen.says("key file", "fail", "chmod 600");
    seen.says("store", "fail", "mode 644");
    seen.says("proxy port", "fail", &address);
    seen.says("policy tests", "fail", "1 of 2 failed");
    seen.says("policy", "warn", "default: tunnel");
    seen.says("anonymous", "warn", "every process");
    seen.says("trusted CA", "fail", "roots.pem");
    seen.says("run", "fail", "roots.pem");
    fs::set_permissions(home.path(KEY), fs::Permissions::from_mode(0o600)).unwrap();
    let seen = Seen::of(&home.run(["doctor", "--config", "c.yaml", "--json"]));
    seen.says("connection api", "fail", "nexus-sidecar connection add api");
    seen.says("connection other", "fail", "bound to other.test");
}

#[test]
fn what_keeps_a_part_from_being_looked_at_does_not_keep_the_rest() {
    let home = Home::new();
    home.write("c.yaml", "version: 1\npolcy: [x.yaml]\n");
    let ended = home
        .command(["doctor", "--config", "c.yaml", "--json"])
        .env("HTTPS_PROXY", "http://user:canary-11@corp.test:3128")
        .output()
        .unwrap();
    let ended = Ended::of(&ended);
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    let seen = Seen::of(&ended);
    seen.says("configuration", "fail", "c.yaml:2:1");
    seen.says("environment", "fail", "HTTPS_PROXY");
    seen.says("run", "fail", "HTTPS_PROXY");
    seen.says("clock", "ok", "");
    assert!(!ended.out.contains("canary"), "{}", ended.out);
}

#[test]
fn a_client_that_goes_its_own_way_is_told_from_one_that_does_not() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let home = Home::new();
    let seen = Seen::of(&home.run(["doctor", "--json", "--", "curl", "-sS", "--noproxy", "*", "{url}"]));
    seen.says("probe", "warn", "did not get through");
    let distrusting = ["doctor", "--json", "--", "curl", "-sS", "--cacert", "/dev/null", "{url}"];
    let seen = Seen::of(&home.run(distrusting));
    seen.says("probe", "fail", "does not trust the CA");
    assert_eq!(home.run(["doctor", "--", "curl"]).code, Some(2));
}
