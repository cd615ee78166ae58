use std::fs;
use std::time::Duration;

use super::*;
use crate::config::{Environment, Problems};

fn environment(extra: &[(&str, &str)]) -> Environment {
    Environment::of([("HOME", "/home/u")].iter().chain(extra).copied())
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nexus-sidecar.yaml");
    fs::write(&file, text).unwrap();
    Config::load(&file, &environment(variables))
}

fn load(text: &str) -> Result<Config, Problems> {
    load_with(text, &[])
}

const FULL: &str = r#"
version: 1
listen:
  proxy: [127.0.0.1:14101, "[::1]:14101"]
  admin: 127.0.0.1:14100
  health: 0.0.0.0:14102
authority:
  store: sqlite
  key: { command: [pass, show, nexus] }
  listen: [0.0.0.0:14110, "[::1]:14110"]
  tls: { cert_file: tls.crt, key_file: /tls.key, client_ca_file: /clients.crt }
  cleartext: true
  limits: { rate: 10/second, leases: 20/minute, unauthenticated: 30/hour, connections: 40 }
ca: { dir: /var/ca }
upstream:
  ca_files: [extra.pem]
  hosts: { "api.test": 127.0.0.2 }
  connect_timeout: 3s
  idle_timeout: 500ms
  max_idle_per_key: 7
  max_idle: 70
limits: { header: 32KiB, buffer: 1MiB, drain: 5s, connections: 10, streams: 20, leaves: 30 }
timeouts: { header: 1s, handshake: 2s, keep_alive: 3s, response: 4s, body: 5s, tunnel: 6m, lease: 7s }
agents: [{ name: triage-bot, proxy_password_file: /run/secrets/triage }]
anonymous: allow
cleartext: true
sources: { home: { embedded: { data_dir: ~/store } } }
connections: { jira: { source: home, name: acme-jira }, github: { source: home } }
policy: [policies/github.yaml, /etc/policy.yaml]
audit: { mode: durable, dir: /var/audit, key_file: /var/key, max_file: 1MiB }
log: { format: json, level: debug }
"#;

#[test]
fn the_defaults() {
    let config = Config::defaults(&environment(&[])).unwrap();
    assert_eq!(config.listen.proxy, ["127.0.0.1:14101".parse().unwrap()]);
    assert_eq!(config.authority.data_dir, PathBuf::from("/home/u/.local/share/nexus-sidecar"));
    assert_eq!(config.authority.key, KeySource::File("/home/u/.local/share/nexus-sidecar/key".into()));
    assert_eq!(config.ca_dir, PathBuf::from("/home/u/.local/share/nexus-sidecar/ca"));
    assert_eq!(config.audit.dir, PathBuf::from("/home/u/.local/state/nexus-sidecar/audit"));
    assert_eq!(config.audit.key_file, PathBuf::from("/home/u/.local/state/nexus-sidecar/audit/key"));
    assert_eq!(config.limits.header, 65536);
    assert!(config.policy.is_empty() && config.audit.mode == AuditMode::Required);
    let same = load("version: 1").unwrap();
    assert_eq!(Config { file: None, ..same }, config);
}

#[test]
fn without_a_home_there_are_no_default_folders() {
    let problems = Config::defaults(&Environment::default()).unwrap_err().to_string();
    assert!(problems.contains("HOME"), "{problems}");
    let text = FULL.replace("~/store", "/store");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.yaml"), text).unwrap();
    assert!(Config::load(&folder.path().join("c.yaml"), &Environment::default()).is_ok());
}

#[test]
fn every_key_is_read() {
    let config = load(FULL).unwrap();
    let folder = config.file.as_ref().unwrap().parent().unwrap().to_owned();
    assert_eq!(config.listen.proxy.len(), 2);
    assert_eq!(config.listen.health, ["0.0.0.0:14102".parse().unwrap()]);
    let words = ["pass", "show", "nexus"].map(str::to_owned).to_vec();
    let (data_dir, key) = ("/home/u/store".into(), KeySource::Command(words));
    assert_eq!(config.authority, AuthorityConfig { data_dir, key, store: StoreConfig::Sqlite, other_keys: vec![] });
    let tls = ServiceTls {
        cert_file: folder.join("tls.crt"),
        key_file: "/tls.key".into(),
        client_ca_file: Some("/clients.crt".into()),
    };
    let rate = |count, seconds| Rate { count, per: Duration::from_secs(seconds) };
    let (rate, leases, unauthenticated) = (rate(10, 1), rate(20, 60), rate(30, 3600));
    let limits = ServiceLimits { rate, leases, unauthenticated, connections: 40 };
    let listen = vec!["0.0.0.0:14110".parse().unwrap(), "[::1]:14110".parse().unwrap()];
    assert_eq!(
        config.service,
        ServiceConfig {
            listen,
            tls: Some(tls),
            cleartext: true,
            limits,
            access: AccessConfig::default(),
            networks: vec![]
        }
    );
    assert_eq!(config.upstream.ca_files, [folder.join("extra.pem")]);
    assert_eq!(config.upstream.hosts[&Host::parse("api.test").unwrap()].to_string(), "127.0.0.2");
    assert_eq!((config.upstream.max_idle_per_key, config.upstream.max_idle), (7, 70));
    let limits = Limits { header: 32768, buffer: 1 << 20, replay: 65_536, connections: 10, streams: 20, leaves: 30 };
    assert_eq!(config.limits, limits);
    let seconds = Duration::from_secs;
    let timeouts = Timeouts {
        header: seconds(1),
        handshake: seconds(2),
        keep_alive: seconds(3),
        connect: seconds(3),
        response: seconds(4),
        body: seconds(5),
        idle: Duration::from_millis(500),
        tunnel: seconds(360),
        lease: seconds(7),
        drain: seconds(5),
    };
    assert_eq!(config.timeouts, timeouts);
    assert_eq!(config.agents[0].name, "triage-bot");
    assert!(config.anonymous && config.cleartext);
    let name = |text| ConnectionName::parse(text).unwrap();
    assert_eq!(config.named_there(&name("jira")), &name("acme-jira"));
    assert_eq!(config.named_there(&name("github")), &name("github"));
    assert_eq!(config.policy, [folder.join("policies/github.yaml"), "/etc/policy.yaml".into()]);
    assert_eq!(config.audit.mode, AuditMode::Durable);
    assert_eq!((config.log.format, config.log.level.as_deref()), (LogFormat::Json, Some("debug")));
}

#[test]
fn variables_override_the_file() {
    let config = load_with(
        FULL,
        &[
            ("NEXUS_SIDECAR__AUDIT__MODE", "best_effort"),
            ("NEXUS_SIDECAR__LISTEN__PROXY", "127.0.0.1:1, 127.0.0.1:2"),
            ("NEXUS_SIDECAR__AUTHORITY__KEY__FD", "9"),
            ("NEXUS_SIDECAR__LIMITS__STREAMS", "5"),
            ("NEXUS_SIDECAR__CLEARTEXT", "false"),
            ("NEXUS_SIDECAR__SOURCES__HOME__EMBEDDED__DATA_DIR", "/elsewhere"),
            ("NEXUS_SIDECAR__TIMEOUTS__LEASE", "1m"),
        ],
    )
    .unwrap();
    assert_eq!(config.audit.mode, AuditMode::BestEffort);
    assert_eq!(config.listen.proxy, ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    assert_eq!(config.authority.key, KeySource::Fd(9));
    assert_eq!(config.limits.streams, 5);
    assert!(!config.cleartext);
    assert_eq!(config.authority.data_dir, PathBuf::from("/elsewhere"));
    assert_eq!(config.timeouts.lease, Duration::from_secs(60));
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, want) in [
        ("NEXUS_SIDECAR__AUDIT__MODUS", "required", "did you mean NEXUS_SIDECAR__AUDIT__MODE?"),
        ("NEXUS_SIDECAR__AUDIT__MODE", "sometimes", "NEXUS_SIDECAR__AUDIT__MODE: this is required"),
        ("NEXUS_SIDECAR__LOG__LEVEL", "", "NEXUS_SIDECAR__LOG__LEVEL: the value is empty"),
        ("NEXUS_SIDECAR__CA__DIR", "ca", "NEXUS_SIDECAR__CA__DIR: without a configuration file"),
        ("NEXUS_SIDECAR__LISTEN__TRANSPARENT", "127.0.0.1:1", "`transparent` is not available yet"),
    ] {
        let problems = Config::defaults(&environment(&[(name, value)])).unwrap_err().to_string();
        assert!(problems.contains(want), "{problems}");
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let problems = load(
        "
version: 2
listen: { proxy: localhost:1, transparent: 127.0.0.1:1 }
authority: { store: postgres, key: { file: /k, env: K } }
limits: { header: 64KB, replay: 64GiB }
agents: [{ name: a }, { name: 7, proxy_password_file: /x }, { name: anonymous, proxy_password_file: /x }]
anonymous: true
sources: { fleet: { url: https://x } }
connections: { jira: { source: home, hosts: [x] } }
policy: [authority, p.yaml]
audits: {}
",
    )
    .unwrap_err()
    .to_string();
    for want in [
        ":2:10: this version",
        ":3:18: \"localhost:1\" is no address",
        ":3:31: `transparent`",
        ":4:21: `store` is sqlite",
        ":4:36: the key comes from exactly one",
        ":5:19: this must be a size from 4KiB",
        ":5:33: this must be a size from 0",
        ":6:10: `proxy_password_file` is missing",
        ":6:31: this must be text",
        ":6:61: `anonymous` is the name of callers without a password",
        ":7:12: this must be text",
        ":8:19: `dialect` is missing",
        ":8:19: `auth` is missing",
        ":9:32: `sources` has no \"home\"",
        ":10:10: `authority` stands alone",
        ":11:1: unknown key `audits`: did you mean `audit`?",
    ] {
        assert!(problems.contains(want), "{want} is not in\n{problems}");
    }
    assert_eq!(problems.lines().count(), 16, "{problems}");
}

#[test]
fn what_proxy_asks() {
    let complain = |text: &str| match load(&format!("version: 1\n{text}")).unwrap().check_for_proxy() {
        Ok(()) => String::new(),
        Err(problems) => problems.to_string(),
    };
    assert_eq!(complain("policy: p.yaml\nanonymous: allow"), "");
    assert_eq!(complain("policy: p.yaml\nagents: [{ name: a, proxy_password_file: /p }]"), "");
    assert_eq!(complain("").lines().count(), 2);
    let far = complain("policy: p.yaml\nanonymous: allow\nlisten: { proxy: 0.0.0.0:1, admin: 0.0.0.0:2 }");
    assert!(far.contains("loopback addresses alone") && far.contains("cleartext") && far.contains("listen.admin"));
    assert_eq!(far.lines().count(), 3, "{far}");
}

#[test]
fn what_a_reload_cannot_change() {
    let old = load(FULL).unwrap();
    let new = |text: String| Config { file: old.file.clone(), ..load(&text).unwrap() };
    let changed =
        new(FULL.replace("/var/ca", "/var/ca2").replace("~/store", "~/other").replace("0.0.0.0:14102", "0.0.0.0:1"));
    assert_eq!(changed.needs_restart(&old), ["listen", "sources", "ca", "upstream"]);
    let agents = new(FULL.replace("triage-bot", "other").replace("extra.pem", "/same.pem"));
    assert_eq!(agents.needs_restart(&old), ["upstream"]);
}

#[test]
fn what_the_authority_asks() {
    let complain =
        |text: &str| match load(&format!("version: 1\nauthority: {{ {text} }}")).unwrap().check_for_authority() {
            Ok(()) => String::new(),
            Err(problems) => problems.to_string(),
        };
    for good in [
        "listen: 127.0.0.1:1",
        "listen: [127.0.0.1:1, '[::1]:1']",
        "listen: 0.0.0.0:1, cleartext: true",
        "listen: 0.0.0.0:1, tls: { cert_file: c, key_file: k }",
        "networks: [10.0.0.0/8, '::1/128']",
    ] {
        assert_eq!(complain(good), "", "{good}");
    }
    assert_eq!(load("version: 1\nauthority: { networks: 10.0.0.0/8 }").unwrap().service.networks.len(), 1);
    for bad in ["0.0.0.0/0", "10.1.0.0/8", "10.0.0.1", "here"] {
        assert!(load(&format!("version: 1\nauthority: {{ networks: {bad} }}")).is_err(), "{bad}");
    }
    assert!(complain("listen: [127.0.0.1:1, 0.0.0.0:2]").contains("in the clear on 0.0.0.0:2"));
}

const FLEET: &str = "
version: 1
sources: { fleet: { url: 'https://nexus.test/base/', dialect: nexus, auth: { bearer_file: /run/key }, ca_file: ca.pem } }
connections: { jira: { source: fleet, id: 2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f }, other: { name: theirs } }
policy: [authority]
anonymous: allow
";

#[test]
fn a_service_as_the_source() {
    let config = load(FLEET).unwrap();
    let folder = config.file.as_ref().unwrap().parent().unwrap().to_owned();
    let remote = config.remote.clone().unwrap();
    assert_eq!(
        (remote.name.as_str(), remote.auth.key_file, remote.auth.client),
        ("fleet", Some("/run/key".into()), None)
    );
    assert_eq!(
        (remote.url.destination().to_string(), remote.url.target().as_str()),
        ("https://nexus.test".into(), "/base/")
    );
    assert_eq!(remote.ca_file, Some(folder.join("ca.pem")));
    let name = |text| ConnectionName::parse(text).unwrap();
    assert_eq!(config.named_there(&name("jira")), &name("2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f"));
    assert_eq!(config.named_there(&name("other")), &name("theirs"));
    assert!(config.policy.is_empty() && config.policy_of_authority && config.check_for_proxy().is_ok());
    assert_eq!(config.authority.data_dir, PathBuf::from("/home/u/.local/share/nexus-sidecar"));
    let files = Config { file: config.file.clone(), ..load(&FLEET.replace("[authority]", "p.yaml")).unwrap() };
    assert_eq!(files.needs_restart(&config), ["sources", "policy"], "ca.pem lies in another folder");
    let here = load(&FLEET.replace("https://nexus.test/base/", "http://127.0.0.1:14110")).unwrap();
    assert_eq!(here.remote.unwrap().url.destination().to_string(), "http://127.0.0.1:14110");
}

#[test]
fn variables_make_a_service_the_source() {
    let config = load_with(
        "version: 1",
        &[
            ("NEXUS_SIDECAR__SOURCES__FLEET__URL", "http://nexus.test:8080"),
            ("NEXUS_SIDECAR__SOURCES__FLEET__DIALECT", "nexus"),
            ("NEXUS_SIDECAR__SOURCES__FLEET__AUTH__BEARER_FILE", "/run/key"),
            ("NEXUS_SIDECAR__SOURCES__FLEET__CA_FILE", "/run/ca.pem"),
            ("NEXUS_SIDECAR__SOURCES__FLEET__CLEARTEXT", "true"),
            ("NEXUS_SIDECAR__CONNECTIONS__JIRA__ID", "abc"),
            ("NEXUS_SIDECAR__POLICY", "authority"),
        ],
    )
    .unwrap();
    let remote = config.remote.clone().unwrap();
    assert_eq!((remote.name.as_str(), remote.ca_file), ("fleet", Some("/run/ca.pem".into())));
    assert_eq!(remote.url.destination().to_string(), "http://nexus.test:8080");
    let jira = ConnectionName::parse("jira").unwrap();
    assert_eq!(config.named_there(&jira).as_str(), "abc");
    assert!(config.policy_of_authority);
}

#[test]
fn what_is_no_service_is_said_with_its_place() {
    let with = |from: &str, to: &str| match load(&FLEET.replace(from, to)) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    for (from, to, want) in [
        ("https://nexus.test/base/", "http://nexus.test", ":3:26: over http, the key"),
        ("https://nexus.test/base/", "nexus.test", ":3:26: this is no url of a source: it does not start with https"),
        (
            "https://nexus.test/base/",
            "https://u:p@nexus.test",
            ":3:26: this is no url of a source: the authority carries",
        ),
        ("https://nexus.test/base/", "https://nexus.test/?a=1", ":3:26: the url of a source has no query"),
        ("dialect: nexus", "dialect: nexsu", "did you mean nexus?"),
        ("bearer_file: /run/key", "", "`bearer_file` is missing"),
        ("bearer_file: /run/key", "bearer: x, bearer_file: /run/key", "unknown key `bearer`"),
        ("ca_file: ca.pem", "ca_files: ca.pem", "unknown key `ca_files`: did you mean `ca_file`?"),
        ("dialect: nexus", "embedded: { data_dir: /x }", "a source is either `embedded` or `url`: not both"),
        ("url: 'https://nexus.test/base/', ", "", "a source says what it is by one of `embedded`"),
        (
            "ca.pem } }",
            "ca.pem }, a: { embedded: { data_dir: /x } }, b: { embedded: { data_dir: /y } } }",
            "has one store",
        ),
        ("id: 2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f", "id: a, name: b", "not both"),
        ("id: 2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f", "id: A B", "is not a name"),
        ("source: fleet", "source: home", "`sources` has no \"home\""),
    ] {
        let problems = with(from, to);
        assert!(problems.contains(want), "{want} is not in\n{problems}");
        assert!(!problems.contains("u:p"), "{problems}");
    }
    let embedded = "version: 1\nconnections: { a: { id: b } }\npolicy: authority\n";
    let problems = load(embedded).unwrap_err().to_string();
    assert!(
        problems.contains("`id` is for a source with a `url`") && problems.contains("`authority` needs one source")
    );
}

#[test]
fn keys_beside_the_stores_own_are_read_and_none_is_named_twice() {
    let config = load(
        "version: 1\nauthority:\n  key: { file: /new }\n  other_keys: [ { file: /old }, { env: OLDER }, { fd: 9 } ]\n",
    )
    .unwrap();
    let others = vec![KeySource::File("/old".into()), KeySource::Env("OLDER".into()), KeySource::Fd(9)];
    assert_eq!(config.authority.other_keys, others);
    assert_eq!(config.authority.variables(), ["OLDER"]);
    for (others, place, words) in [
        ("[ { file: /new } ]", "3:16", "named twice"),
        ("[ { fd: 9 }, { fd: 9 } ]", "3:27", "named twice"),
        ("[ { passphrase: true } ]", "3:16", "asked for once"),
        ("[ { file: /a, env: B } ]", "3:16", "exactly one of"),
        ("[ { fil: /a } ]", "3:18", "fil"),
        ("{ file: /a }", "3:14", "must be a list"),
    ] {
        let text = format!("version: 1\nauthority: {{ key: {{ file: /new }},\n other_keys: {others} }}\n");
        let problems = load(&text).unwrap_err().to_string();
        assert!(problems.contains(place) && problems.contains(words), "{others}: {problems}");
    }
}
