//! The command line: bad input gets a clear word and an exit code, and changes nothing.

use std::fs;

use crate::left_out;
use crate::support::process::{Ended, Home};

const POLICY: &str = "version: 1\nrules:\n  - { name: known, host: known.test, action: forward }\n";
const CONFIG: &str =
    "version: 1\nlisten: { proxy: '127.0.0.1:0', admin: '127.0.0.1:0' }\npolicy: [policy.yaml]\nanonymous: allow\n";

/// A home with a policy, and a configuration that says this besides.
fn home(more: &str) -> Home {
    let home = Home::new();
    home.write("policy.yaml", POLICY);
    home.write("c.yaml", &format!("{CONFIG}{more}"));
    home
}

fn proxy(home: &Home) -> Ended {
    home.run(["proxy", "--config", "c.yaml"])
}

/// It failed with this code, and its one error says all of these.
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.err.contains("error: "), "{}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "no {word:?} in: {}", ended.err);
    }
}

#[test]
fn mistakes_in_a_policy_are_named_by_place_and_all_at_once() {
    let home = home("");
    home.write(
        "policy.yaml",
        "version: 1\nrules:\n  - { name: a, host: a.test, actoin: forward }\n  - { host: 'a*.b', action: forward }\n  \
         - { name: c, host: c.test, path: 'x/**', connection: c }\n",
    );
    for ended in [
        proxy(&home),
        home.run(["policy", "check", "policy.yaml"]),
        home.run(["run", "--policy", "policy.yaml", "--", "touch", "ran"]),
    ] {
        says(
            &ended,
            2,
            &["policy.yaml:3:30", "rule \"a\"", "`actoin`", "`action`", "policy.yaml:4:", "a*.b", "policy.yaml:5:"],
        );
    }
    assert!(!home.path("ran").exists());
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn an_unknown_key_of_the_configuration_is_named_by_place() {
    let home = home("limits: { headr: 64KiB }\n");
    says(&proxy(&home), 2, &["c.yaml:5:", "headr", "header"]);
}

#[test]
fn what_is_not_available_yet_is_refused_by_place() {
    for (key, value) in [("websocket", "true"), ("limit", "{ rate: 1/minute }"), ("approval", "{ timeout: 2m }")] {
        let home = home("");
        home.write("policy.yaml", &format!("version: 1\nrules:\n  - {{ name: a, host: a.test, {key}: {value} }}\n"));
        says(&proxy(&home), 2, &["policy.yaml:3:", key, "not available yet"]);
    }
}

#[test]
fn a_scope_that_no_source_heeds_is_refused_by_place() {
    for (scope, said) in
        [("{ repositories: [a] }", "narrows no lease"), ("{}", "narrows nothing"), ("{ a: 1.5 }", "fractions")]
    {
        let home = home("");
        let rule = format!("  - {{ name: a, host: a.test, connection: c, scope: {scope} }}\n");
        home.write("policy.yaml", &format!("version: 1\nrules:\n{rule}"));
        says(&proxy(&home), 2, &["policy.yaml:3:", "\"a\"", "scope", said]);
    }
}

#[test]
fn a_port_that_another_program_has() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = home("");
    let text = fs::read_to_string(home.path("c.yaml")).unwrap().replacen("127.0.0.1:0", &address, 1);
    home.write("c.yaml", &text);
    says(&proxy(&home), 1, &[&address, "another program", "listen"]);
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn a_ca_folder_that_is_a_file() {
    let home = home("ca: { dir: ca }\n");
    home.write("ca", "x");
    says(&proxy(&home), 1, &["/ca"]);
    assert_eq!(fs::read_to_string(home.path("ca")).unwrap(), "x");
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn certificates_of_destinations_that_are_none() {
    for (name, text) in [("roots.pem", Some("no certificate\n")), ("nowhere.pem", None)] {
        let home = home(&format!("upstream: {{ ca_files: [{name}] }}\n"));
        text.into_iter().for_each(|text| drop(home.write(name, text)));
        says(&proxy(&home), 1, &[name]);
        assert!(!home.path(".local").exists(), "nothing was made");
    }
    let home = home("upstream: { ca_files: [folder] }\n");
    fs::create_dir(home.path("folder")).unwrap();
    says(&proxy(&home), 1, &["folder"]);
}

const KEY: &str = ".local/share/nexus-sidecar/key";
const STORE: &str = ".local/share/nexus-sidecar/store.db";

#[test]
fn a_store_that_is_sealed_under_another_key() {
    let (home, other) = (home(""), home(""));
    for home in [&home, &other] {
        home.connect("api", "api.test", "canary-77aa");
    }
    let before = fs::read(home.path(STORE)).unwrap();
    home.secret(KEY, &fs::read_to_string(other.path(KEY)).unwrap());
    for ended in [
        proxy(&home),
        home.run(["run", "--policy", "policy.yaml", "--", "touch", "ran"]),
        home.run_with(["connection", "add", "more", "--strategy", "oauth2", "--host", "b.test"], "canary-88\n"),
    ] {
        says(&ended, 1, &["key", "store.db"]);
        assert!(!ended.err.contains("canary"));
    }
    assert_eq!(fs::read(home.path(STORE)).unwrap(), before);
    assert!(!home.path("ran").exists());
    // Without its key there is none to make up.
    fs::remove_file(home.path(KEY)).unwrap();
    says(&proxy(&home), 1, &["key"]);
    assert!(!home.path(KEY).exists());
}

#[test]
fn a_key_that_others_can_read() {
    let home = home("");
    home.connect("api", "api.test", "canary-77aa");
    let text = fs::read_to_string(home.path(KEY)).unwrap();
    fs::set_permissions(home.path(KEY), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let ended = proxy(&home);
    says(&ended, 1, &["key", "mode 644", "chmod 600"]);
    assert!(!ended.err.contains(text.trim()));
}

#[test]
fn a_store_of_a_newer_schema_names_both_versions() {
    let home = home("");
    home.connect("api", "api.test", "canary-77aa");
    let database = rusqlite::Connection::open(home.path(STORE)).unwrap();
    let own: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    database.pragma_update(None, "user_version", 4711).unwrap();
    drop(database);
    for ended in [proxy(&home), home.run(["connection", "list"])] {
        says(&ended, 1, &["4711", &own.to_string()]);
    }
}

#[test]
fn a_field_that_is_missing_or_empty_changes_nothing() {
    let home = home("");
    let add = ["connection", "add", "api", "--strategy", "basic_auth", "--host", "api.test"];
    let with = |more: &'static [&'static str]| add.into_iter().chain(more.iter().copied());
    says(&home.run_with(with(&["--field", "username=-"]), "u\n"), 2, &["password"]);
    says(&home.run_with(with(&["--fields", "-"]), "{\"username\": \"u\", \"password\": \"\"}"), 2, &["password"]);
    says(&home.run(with(&["--field", "username=env:NOPE", "--field", "password=env:NOPE"])), 2, &["NOPE"]);
    // A value on the command line would be read by everyone.
    says(&home.run(with(&["--field", "username=u", "--field", "password=hunter2"])), 2, &["@FILE", "env:"]);
    assert!(!home.path(".local").exists(), "nothing was made");
    home.connect("api", "api.test", "canary-1");
    says(&home.run_with(["connection", "set", "api", "--field", "access_token=-"], "\n"), 2, &["access_token"]);
    let listed = home.run(["connection", "list"]);
    assert!(listed.out.contains("api") && listed.out.contains(" 1 "), "{}", listed.out);
    assert!(!home.run(["connection", "show", "api"]).out.contains("canary-1"));
}

#[test]
fn the_audit_of_a_run_verifies_until_it_is_edited() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home("");
    let script = "exec 3<>/dev/tcp/127.0.0.1/${HTTPS_PROXY##*:}; printf 'CONNECT other.test:443 HTTP/1.1\\r\\nHost: other.test:443\\r\\n\\r\\n' >&3; read -r line <&3; echo \"$line\"";
    let ended = home.run(["run", "--policy", "policy.yaml", "--", "bash", "-c", script]);
    assert!(ended.code == Some(0) && ended.out.contains(" 403"), "{ended:?}");
    let verified = home.run(["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let folder = home.path(".local/state/nexus-sidecar/audit");
    let logs = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let log = logs
        .into_iter()
        .find(|path| {
            path.file_name().unwrap().to_str().unwrap().starts_with("audit-") && path.extension().unwrap() == "jsonl"
        })
        .unwrap();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("other.test"), "{text}");
    fs::write(&log, text.replace("other.test", "0ther.test")).unwrap();
    let verified = home.run(["audit", "verify"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    fs::write(&log, &text).unwrap();
    assert_eq!(home.run(["audit", "verify"]).code, Some(0));
    fs::remove_file(&log).unwrap();
    assert_eq!(home.run(["audit", "verify"]).code, Some(1));
}

#[test]
fn a_command_sees_no_descriptor_and_no_variable_of_ours() {
    let home = home("");
    home.connect("api", "api.test", "canary-1");
    let key = home.path(KEY);
    let script = "ls -l /proc/self/fd | grep -c nexus; env | grep -c '^NEXUS_\\|canary'; exit 7";
    let mut command = home.command(["run", "--policy", "policy.yaml", "--", "sh", "-c", script]);
    command.env("NEXUS_SIDECAR__AUTHORITY__KEY__FILE", &key).env("NEXUS_API_KEY", "canary-2");
    let ended = Ended::of(&command.output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (Some(7), "0\n0\n"), "{}", ended.err);
    assert_eq!(fs::read_dir(home.path("runtime")).unwrap().count(), 0, "something was left behind");
}

#[test]
fn proxy_refuses_proxy_variables_too() {
    let home = home("");
    for (name, value) in [("HTTPS_PROXY", "http://u:pw-1@corp:1"), ("LOG_SIGNABLE_BODY", "1")] {
        let mut command = home.command(["proxy", "--config", "c.yaml"]);
        let ended = Ended::of(&command.env(name, value).output().unwrap());
        says(&ended, 2, &[name]);
        assert!(!ended.err.contains("pw-1"));
    }
}

#[test]
fn proxy_needs_to_know_its_agents() {
    let home = home("");
    home.write("c.yaml", &CONFIG.replace("anonymous: allow\n", ""));
    says(&proxy(&home), 2, &["agents", "anonymous"]);
    home.write("c.yaml", &CONFIG.replacen("127.0.0.1:0", "0.0.0.0:0", 1));
    says(&proxy(&home), 2, &["anonymous", "0.0.0.0"]);
}

#[test]
fn an_audit_that_is_not_there_is_said_to_be_none() {
    let home = home("");
    for args in [&["audit", "verify", "--config", "c.yaml"][..], &["audit", "tail", "--config", "c.yaml"]] {
        says(&home.run(args.iter().copied()), 1, &["there is no audit in ", "/audit"]);
    }
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn a_host_that_is_given_twice() {
    let args = ["connection", "add", "a", "--strategy", "oauth2", "--host", "a.test", "--host", "A.test"];
    says(&home("").run_with(args, "canary\n"), 2, &["a.test", "given twice"]);
}
