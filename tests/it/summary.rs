//! What `run` says at its end: what was refused, and the command that goes on. On a terminal, and
//! never on one that something of CMD's still holds.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::left_out;
use crate::support::Home;

const POLICY: &str = "version: 1\nrules:\n  - { name: known, host: known.test, method: GET, action: forward }\n";

/// Asks for a host that no rule names, as a CONNECT without a password.
const REFUSED: &str = r#"exec 3<>/dev/tcp/127.0.0.1/${HTTPS_PROXY##*:}
printf 'CONNECT nowhere.test:443 HTTP/1.1\r\nHost: nowhere.test:443\r\n\r\n' >&3; read -r line <&3
"#;

fn home() -> Home {
    let home = Home::new();
    home.write("policy.yaml", POLICY);
    home
}

/// Runs `run -- bash SCRIPT` on a terminal of its own; answers what was shown there.
fn on_a_terminal(home: &Home, script: &str, flags: &str) -> String {
    let file = home.write("script.sh", &format!("{REFUSED}{script}"));
    let program = env!("CARGO_BIN_EXE_nexus-sidecar");
    let line = format!("{program} run --policy policy.yaml -- bash {flags} {}", file.display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(home.path(""));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home.path(""));
    let output = command.env("XDG_RUNTIME_DIR", home.path("runtime")).stdin(std::process::Stdio::null()).output();
    String::from_utf8_lossy(&output.unwrap().stdout).replace('\r', "")
}

#[test]
fn the_summary_names_the_command_that_says_why_and_it_does() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let file = home.write("script.sh", REFUSED);
    let ended = home.run(["run", "--policy", "policy.yaml", "--", "bash", file.to_str().unwrap()]);
    let told: Vec<&str> = ended.err.lines().collect();
    assert_eq!(told[..2], ["nexus-sidecar: 1 request was refused", "     1 x POLICY_DENIED nowhere.test:443"]);
    let (_, command) = told[2].split_once("why, and what to do: nexus-sidecar ").unwrap();
    let why = home.run(command.split(' '));
    assert_eq!(why.code, Some(0), "{command}: {why:?}");
    for part in
        ["CONNECT nowhere.test:443", "no rule for agent agent names nowhere.test", "  - name: allow-reach-nowhere-test"]
    {
        assert!(why.out.contains(part), "{part}: {}", why.out);
    }
    let unsaid = home.run(["why"]);
    assert!(unsaid.out.contains("give the --policy and --use that `run` was given"), "{}", unsaid.out);
    assert!(!why.out.contains("has changed") && !why.out.contains("version"), "the same policy: {}", why.out);
}

#[test]
fn it_is_said_when_the_command_has_ended_and_a_process_that_it_left_does_not_hold_it_back() {
    if left_out::lacks(&["bash", "script"]) {
        return;
    }
    let home = home();
    let shown = on_a_terminal(&home, "sleep 30 3>&- & echo $! > left; echo the end of CMD", "");
    let left = std::fs::read_to_string(home.path("left")).unwrap();
    let _ = Command::new("kill").arg(left.trim()).status();
    let (end, summary) = (shown.find("the end of CMD"), shown.find("1 request was refused"));
    assert!(end.is_some() && end < summary, "{shown}");
}

#[test]
fn a_terminal_that_something_of_the_commands_holds_is_left_alone() {
    if left_out::lacks(&["bash", "script"]) {
        return;
    }
    let home = home();
    // A job of an interactive shell has the terminal; it ends the shell, and goes on.
    let script = "bash -c 'kill -KILL $PPID; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 0.1; [ -e said ] && break; done; echo still here'";
    let started = Instant::now();
    let shown = on_a_terminal(&home, script, "-m");
    assert!(started.elapsed() < Duration::from_secs(20), "{shown}");
    assert!(!shown.contains("refused"), "{shown}");
    let log = std::fs::read_to_string(home.path(".local/state/nexus-sidecar/run.log")).unwrap();
    assert!(log.contains("1 request was refused"), "{log}");
}
