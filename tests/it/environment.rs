//! The environment of a command of `run`: what it holds, and what is nowhere in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use crate::support::Home;

const POLICY: &str = "\
version: 1
rules:
  - { use: github/read@1 }
  - { name: mail, agent: other, host: api.openai.com, connection: openai }
";

/// Each holds a canary, and each for another reason.
const CREDENTIALS: &[(&str, &str)] = &[
    ("GH_TOKEN", "canary-1"),
    ("GITHUB_TOKEN", "canary-2"),
    ("OPENAI_API_KEY", "canary-3"),
    ("SSH_AUTH_SOCK", "/run/canary-4"),
    ("GIT_ASKPASS", "/opt/canary-5"),
    ("PIP_INDEX_URL", "https://user:canary-6@pypi.corp.test/simple"),
    ("npm_config_//registry.corp.test/:_authToken", "canary-7"),
    ("DATABASE_URL", "postgres://app:canary-8@db.corp.test/app"),
    ("DEPLOY_KEY", "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary-9\n-----END OPENSSH PRIVATE KEY-----\n"),
    ("GIT_CONFIG_VALUE_0", "AUTHORIZATION: basic canary-10"),
    ("DOCKER_AUTH_CONFIG", "{\"auths\": {\"r.test\": {\"auth\": \"canary-11\"}}}"),
    ("MASTER_KEY", "canary-12"),
    ("gh_token", "canary-13"),
    ("CARGO_REGISTRIES_CORP_TOKEN", "canary-14"),
];

/// What stays, though it has to do with credentials: files and names of accounts.
const POINTERS: &[(&str, &str)] = &[
    ("AWS_PROFILE", "work"),
    ("AWS_CONFIG_FILE", "/home/a/aws"),
    ("KUBECONFIG", "/home/a/kube"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "/home/a/google.json"),
    ("NETRC", "/home/a/netrc"),
];

fn home() -> Home {
    let home = Home::new();
    home.write(".config/nexus-sidecar/policy.yaml", POLICY);
    home
}

/// The sidecar with an environment of these pairs and what it cannot do without.
fn sidecar(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    home.command(arguments.iter().copied()).envs(variables.iter().copied()).output().unwrap()
}

/// What `env` prints as the command of `run`, and standard error.
fn environment(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> (BTreeMap<String, String>, String) {
    let output = sidecar(home, variables, &[&["run"], arguments, &["--", "env", "-0"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
    (pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), said)
}

#[test]
fn no_credential_reaches_the_command_and_their_names_are_said_once() {
    let home = home();
    let config = home.path("sidecar.yaml");
    fs::write(&config, "version: 1\nauthority: { key: { env: MASTER_KEY } }\n").unwrap();
    let mut variables =
        [CREDENTIALS, POINTERS, &[("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.extraHeader")]].concat();
    // A key is 32 bytes in base64: this canary is one.
    let master = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbiE=";
    variables.retain(|(name, _)| *name != "MASTER_KEY");
    variables.push(("MASTER_KEY", master));
    let (child, said) = environment(&home, &variables, &["--config", config.to_str().unwrap()]);
    let all = format!("{child:?}");
    assert!(!all.contains("canary") && !all.contains(master), "{all}");
    for (name, value) in POINTERS {
        assert_eq!(child.get(*name).map(String::as_str), Some(*value), "{name}");
    }
    let line = said.lines().find(|line| line.starts_with("withheld from the command: ")).unwrap();
    assert_eq!(said.matches("withheld").count(), 1, "{said}");
    for (name, _) in CREDENTIALS {
        assert!(line.contains(name), "{name}: {line}");
    }
    assert!(!said.contains("canary") && line.contains("--keep"), "{said}");
}

#[test]
fn placeholders_stand_for_providers_of_this_agent_alone() {
    let home = home();
    let inherited = [("GH_TOKEN", "canary"), ("OPENAI_API_KEY", "canary")];
    let (child, _) = environment(&home, &inherited, &[]);
    assert!(child["GH_TOKEN"].to_lowercase().contains("nexusplaceholder"), "{child:?}");
    assert_eq!(child["GH_TOKEN"], child["GITHUB_TOKEN"]);
    assert!(!child.contains_key("OPENAI_API_KEY"), "a rule of another agent injects it");
    let (kept, said) = environment(&home, &inherited, &["--keep", "GH_TOKEN", "--keep", "OPENAI_API_KEY"]);
    assert_eq!((&*kept["GH_TOKEN"], &*kept["OPENAI_API_KEY"]), ("canary", "canary"));
    assert_eq!(said, "", "nothing was withheld");
}

#[test]
fn what_a_field_was_read_from_is_withheld_and_cannot_be_kept() {
    let home = home();
    let field = ["--use", "github/read@1", "--field", "github.token=env:PAT"];
    let (child, said) = environment(&home, &[("PAT", "canary")], &field);
    assert!(!format!("{child:?}").contains("canary"));
    assert_eq!(said, "withheld from the command: PAT\n");
    let kept = sidecar(&home, &[("PAT", "canary")], &[&["run"], &field[..], &["--keep", "PAT", "--", "true"]].concat());
    let said = String::from_utf8(kept.stderr).unwrap();
    assert!(kept.status.code() == Some(2) && said.contains("reads a credential from it"), "{said}");
}

#[test]
fn keep_says_what_it_cannot_do() {
    let home = home();
    let (_, said) = environment(&home, &[], &["--keep", "SSH_AUTH_SOCK"]);
    assert!(said.ends_with("note: --keep SSH_AUTH_SOCK: it is not set\n"), "{said}");
    for (name, reason) in
        [("HTTPS_PROXY", "decides it"), ("NEXUS_X", "own settings"), ("no_proxy", "--no-proxy"), ("A=canary", "alone")]
    {
        let output = sidecar(&home, &[], &["run", "--keep", name, "--", "true"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason) && !said.contains("canary"), "{said}");
    }
}

/// The whole environment, as the file beside this one has it, with what differs from run to run
/// replaced by its meaning. To renew it after a change that is meant: run with `GOLDEN=renew`.
#[test]
fn the_whole_environment_is_the_golden_one() {
    let home = home();
    let (child, _) =
        environment(&home, &[("LANG", "C.UTF-8"), ("GH_TOKEN", "mine"), ("JAVA_TOOL_OPTIONS", "-Xmx64m")], &[]);
    let trust = PathBuf::from(&child["SSL_CERT_FILE"]).parent().unwrap().display().to_string();
    let (proxy, port) = child["HTTPS_PROXY"].rsplit_once(':').unwrap();
    let password = proxy.rsplit_once('@').unwrap().0.rsplit_once(':').unwrap().1;
    assert_eq!(password.len(), 64, "32 random bytes");
    let folder = home.path("runtime").parent().unwrap().to_owned();
    let mut text = String::new();
    for (name, value) in &child {
        let value = value.replace(&trust, "{trust}").replace(password, "{password}").replace(port, "{port}");
        let value = value.replace(folder.to_str().unwrap(), "{home}");
        let value = if name == "PATH" { "{path}" } else { &value };
        text.push_str(&format!("{name}={value}\n"));
    }
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/environment.golden");
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "renew") {
        fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&golden).unwrap(), "{}", golden.display());
}
