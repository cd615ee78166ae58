//! `env` and `ca export`: what a client of the long-running sidecar is given, as it uses it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::left_out;
use crate::support::process::{Ended, Home};

/// It needs to be encoded in a URL, quoted in a shell, and has a reading in every other form.
const PASSWORD: &str = "p@ss:w/%41 '$(id)\"";

const POLICY: &str = "\
version: 1
rules:
  - { use: github/read@1, agent: bot }
  - { name: known, host: known.test, path: /allowed, action: forward, agent: bot }
";

const CONFIG: &str = "\
version: 1
policy: [policy.yaml]
agents:
  - { name: bot, proxy_password_file: bot.password }
  - { name: other, proxy_password_file: other.password }
";

fn home() -> Home {
    let home = Home::new();
    home.secret("bot.password", PASSWORD);
    home.secret("other.password", "plain-1\n");
    home.write("policy.yaml", POLICY);
    home.write("sidecar.yaml", CONFIG);
    home
}

fn env(home: &Home, arguments: &[&str]) -> Ended {
    home.run([&["env", "--config", "sidecar.yaml", "--ca-dir", "/srv/a trust"], arguments].concat())
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    let ended = env(home, &[&["--format", "json"], arguments].concat());
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn a_shell_that_evaluates_it_goes_through_the_sidecar_and_trusts_it() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let home = home();
    let agents = "agents: [{ name: bot, proxy_password_file: bot.password }]\n";
    let proxy = home.proxy(POLICY, agents);
    let url = format!("http://{}", proxy.agent.proxy);
    let trust = home.path("a trust").display().to_string();
    let exported = home.run(["ca", "export", "--dir", &trust, "--config", "nexus-sidecar.yaml"]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    let script = r#"
        eval "$("$0" env --config nexus-sidecar.yaml --ca-dir "$1" --proxy "$2")" || exit 9
        [ -z "${GITLAB_TOKEN+x}${SSH_AUTH_SOCK+x}${MY_URL+x}" ] && echo "no credential, $GH_TOKEN"
        curl -sS -o /dev/null -w '%{http_code} %header{x-nexus-error}\n' https://known.test/denied
        wget -q -O - https://known.test/denied 2>&1; echo "wget $?""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(home.command([]).get_program()).args([&trust, &url]);
    shell.env_clear().envs(home.command([]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("GITLAB_TOKEN", "canary").env("SSH_AUTH_SOCK", "canary").env("MY_URL", "https://u:canary@h/");
    let ended = Ended::of(&shell.current_dir(home.path("")).output().unwrap());
    let lines: Vec<&str> = ended.out.lines().collect();
    // wget: 8 is "the server issued an error response", 5 would be a certificate that it does not trust.
    let expected = ["no credential, ghp_NexusPlaceholder00000000000000000000", "403 POLICY_DENIED", "wget 8"];
    assert_eq!(lines, expected, "{}\n{}", ended.err, proxy.log());
    assert!(!ended.err.contains("canary"));
}

#[test]
fn every_file_that_a_variable_names_is_exported_and_holds_certificates_alone() {
    let home = home();
    let dir = home.path("trust").display().to_string();
    let exported = home.run(["ca", "export", "--dir", &dir]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    let variables =
        home.run(["env", "--config", "sidecar.yaml", "--agent", "bot", "--format", "json", "--ca-dir", &dir]);
    let variables: Value = serde_json::from_str(&variables.out).unwrap();
    let mut named = 0;
    for value in variables.as_object().unwrap().values().map(|value| value.as_str().unwrap()) {
        for part in value.split(['=', '"', ' ']).filter(|part| part.starts_with(&dir)) {
            named += 1;
            assert_eq!(fs::metadata(part).unwrap().permissions().mode() & 0o777, 0o644, "{part}");
        }
    }
    assert!(named > 12, "{variables}");
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    for file in &files {
        assert!(!String::from_utf8_lossy(&fs::read(file).unwrap()).contains("PRIVATE"), "{}", file.display());
    }
    let own = fs::read_to_string(Path::new(&dir).join("ca.pem")).unwrap();
    assert!(fs::read_to_string(Path::new(&dir).join("ca-bundle.pem")).unwrap().contains(own.lines().nth(2).unwrap()));
    assert_eq!(home.run(["ca", "export"]).out, own, "it is the CA that is kept");
}

#[test]
fn each_agent_has_its_own_password_and_placeholders() {
    let home = home();
    let bot = json(&home, &["--agent", "bot"]);
    assert_eq!(bot["HTTPS_PROXY"], "http://bot:p%40ss%3Aw%2F%2541%20%27%24%28id%29%22@127.0.0.1:14101");
    assert_eq!((&bot["GH_TOKEN"], &bot["SSL_CERT_FILE"]), (&bot["GITHUB_TOKEN"], &"/srv/a trust/ca-bundle.pem".into()));
    let other = json(&home, &["--agent", "other", "--proxy", "http://[fd00::1]:9", "--no-proxy", "db.test"]);
    assert_eq!(
        (&other["https_proxy"], &other["NO_PROXY"]),
        (&"http://other:plain-1@[fd00::1]:9".into(), &"db.test".into())
    );
    assert_eq!(other.get("GH_TOKEN"), None, "no rule of this agent injects it");
    assert_eq!(json(&home, &["--agent", "bot", "--keep", "GH_TOKEN"]).get("GH_TOKEN"), None);
    for (arguments, says) in [
        (&[][..], "bot, other"),
        (&["--agent", "nobody"], "bot, other"),
        (&["--agent", "bot", "--keep", "HTTPS_PROXY"], "decides it"),
        (&["--agent", "bot", "--proxy", "https://a:1"], "http://"),
        (&["--agent", "bot", "--format", "k8s"], "letters, digits"),
    ] {
        let ended = env(&home, arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.err.contains(says) && !ended.err.contains("p@ss"), "{}", ended.err);
    }
}

#[test]
fn kubernetes_gets_no_password_and_a_runner_masks_it() {
    let home = home();
    let list = env(&home, &["--agent", "other", "--format", "k8s"]);
    assert_eq!(list.code, Some(0), "{}", list.err);
    assert!(
        !list.out.contains("plain-1") && list.out.contains("http://other:$(NEXUS_PROXY_PASSWORD)@"),
        "{}",
        list.out
    );
    let github = |runner: &str| {
        let mut command = home.command(["env", "--config", "sidecar.yaml", "--agent", "bot", "--format", "github"]);
        Ended::of(&command.args(["--ca-dir", "/t"]).env("GITHUB_ACTIONS", runner).output().unwrap())
    };
    let masks = github("true").err;
    assert_eq!(masks.lines().filter(|line| line.starts_with("::add-mask::")).count(), 2, "{masks}");
    assert!(masks.contains("::add-mask::p@ss:w/%2541 '$(id)\"\n"), "{masks}");
    assert_eq!(github("").err, "", "a terminal would show it");
}
