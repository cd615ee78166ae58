//! `run` as a process: what the command gets, what it cannot do, and what is left of it.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::left_out;
use crate::support::Home;

const POLICY: &str = "version: 1\nrules:\n  - { name: known, host: known.test, method: GET, action: forward }\n";

/// Sends a bare CONNECT without a password and prints the status line. `$PORT` is the proxy's.
const CONNECT: &str = r#"
    PORT=${HTTPS_PROXY##*:}
    exec 3<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n' "$TARGET" "$TARGET" >&3
    read -r line <&3; echo "$line""#;

/// A home of its own, with a policy in it.
fn home() -> Home {
    let home = Home::new();
    home.write(".config/nexus-sidecar/policy.yaml", POLICY);
    home
}

/// `run -- bash -c script`.
fn bash(home: &Home, script: &str) -> Command {
    home.command(["run", "--", "bash", "-c", script])
}

/// The folders of certificates that are there now.
fn left(home: &Home) -> usize {
    fs::read_dir(home.path("runtime")).unwrap().count()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_exit_status_is_the_commands() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        assert_eq!(bash(&home, script).status().unwrap().code(), Some(code), "{script}");
    }
    let missing = home.command([]).args(["run", "--", "no-such-program-at-all"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127), "{}", err(&missing));
    assert_eq!(left(&home), 0);
}

#[test]
fn the_command_gets_its_variables_and_nothing_of_ours() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let script = r#"
        env | grep -c ^NEXUS_
        echo "no_proxy=[$no_proxy$NO_PROXY] mine=[$MINE]"
        for file in "$SSL_CERT_FILE" "$NODE_EXTRA_CA_CERTS" "$GIT_SSL_CAINFO"; do grep -c BEGIN "$file" >/dev/null && echo readable; done
        [ "$https_proxy" = "$HTTPS_PROXY" ] && echo "${https_proxy%%:*}""#;
    let output = bash(&home, script).env("NEXUS_TOKEN", "x").env("NO_PROXY", "*").env("MINE", "kept").output().unwrap();
    let expected = ["0", "no_proxy=[] mine=[kept]", "readable", "readable", "readable", "http"];
    assert_eq!(out(&output).lines().collect::<Vec<_>>(), expected, "{}", err(&output));
    assert_eq!(err(&output), "");
    assert_eq!(left(&home), 0);
}

#[test]
fn no_open_file_reaches_the_command() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let sidecar = home.command([]);
    let outer = r#"exec 7</dev/null; exec "$0" run -- bash -c '[ ! -e /proc/self/fd/7 ] && echo closed'"#;
    let mut command = Command::new("bash");
    command.args(["-c", outer]).arg(sidecar.get_program()).env_clear();
    command.envs(sidecar.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    assert_eq!(out(&output), "closed", "{}", err(&output));
}

#[test]
fn signals_reach_the_command_and_leave_nothing_behind() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let script = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut sidecar = bash(&home, script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(sidecar.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    assert_eq!(left(&home), 1);
    let pid = sidecar.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(lines.next().unwrap().unwrap(), "asked");
    assert_eq!(sidecar.wait().unwrap().code(), Some(9));
    assert_eq!(left(&home), 0);
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let sidecar = home.command([]);
    let outer = r#"trap '' HUP; exec "$0" run -- bash -c 'kill -HUP $$; echo alive'"#;
    let mut command = Command::new("bash");
    command.args(["-c", outer]).arg(sidecar.get_program()).env_clear();
    command.envs(sidecar.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(out(&command.output().unwrap()), "alive");
}

#[test]
fn a_descendant_needs_no_password_and_an_orphan_is_one() {
    if left_out::lacks(&["bash", "ps", "setsid"]) {
        return;
    }
    let home = home();
    let script = format!(
        "export TARGET=known.test; probe() {{ {CONNECT}\n }}; export -f probe; probe
         (setsid bash -c 'while [ \"$(ps -o ppid= -p $$)\" -eq \"$0\" ]; do sleep 0.02; done; probe >orphan.new; \
          mv orphan.new orphan' $BASHPID & ) ; while [ ! -e orphan ]; do sleep 0.02; done; cat orphan"
    );
    let output = bash(&home, &script).current_dir(home.path(".")).output().unwrap();
    assert_eq!(out(&output).replace('\r', ""), "HTTP/1.1 200 OK\nHTTP/1.1 200 OK", "{}", err(&output));
}

#[test]
fn a_stranger_needs_the_password() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let mut command = bash(&home, "echo ${HTTPS_PROXY##*:}; read -r _");
    let mut sidecar = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(sidecar.stdout.take().unwrap()));
    let port = lines.next().unwrap().unwrap();
    let mut probe = Command::new("bash");
    probe.args(["-c", CONNECT]).env("HTTPS_PROXY", format!("x:{port}")).env("TARGET", "known.test");
    assert!(out(&probe.output().unwrap()).starts_with("HTTP/1.1 407"));
    drop(sidecar.stdin.take());
    sidecar.wait().unwrap();
}

#[test]
fn refusals_are_summed_up_at_the_end() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let script = format!("export TARGET=other.test; ({CONNECT}\n); ({CONNECT}\n)");
    let output = bash(&home, &script).output().unwrap();
    assert_eq!(out(&output).matches("HTTP/1.1 403").count(), 2, "{}", out(&output));
    let said = err(&output);
    assert!(said.contains("2 requests were refused") && said.contains("2 x POLICY_DENIED other.test:443"), "{said}");
}

#[test]
fn what_is_left_alive_is_not_waited_for() {
    if left_out::lacks(&["bash", "setsid"]) {
        return;
    }
    let home = home();
    let start = Instant::now();
    let output = bash(&home, "setsid sleep 30 >/dev/null 2>&1 & exit 3").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(start.elapsed() < Duration::from_secs(15), "it waited for a process of its own session");
}

#[test]
fn an_unsafe_start_is_refused() {
    let home = home();
    for (name, value) in [("LOG_SIGNABLE_BODY", "true"), ("HTTPS_PROXY", "http://u:pw-1@corp:1"), ("all_proxy", "x")] {
        let output = bash(&home, "echo started").env(name, value).output().unwrap();
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""), "{name}");
        assert!(err(&output).starts_with("error: ") && err(&output).contains(name) && !err(&output).contains("pw-1"));
    }
}

#[test]
fn no_policy_is_a_usage_error_with_an_example_and_the_working_directory_is_never_read() {
    let home = home();
    let own = home.path(".config/nexus-sidecar/policy.yaml");
    fs::rename(&own, home.path("policy.yaml")).unwrap();
    fs::write(home.path("nexus-sidecar.yaml"), "version: 1\npolicy: [policy.yaml]\n").unwrap();
    let output = bash(&home, "echo started").current_dir(home.path(".")).output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""));
    let said = err(&output);
    assert!(said.contains(own.to_str().unwrap()) && said.contains("--policy") && said.contains("version: 1"), "{said}");
}

/// Sends a plain GET to port 9 and prints the status line. `$PORT` is the proxy's.
const GET: &str = r#"
    get() {
        exec 3<>"/dev/tcp/127.0.0.1/${HTTPS_PROXY##*:}"
        printf 'GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n' >&3
        read -r _ status _ <&3; echo "$status"
    }"#;

#[test]
fn a_connection_that_is_added_while_the_command_runs_is_found() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    let borrowing = "version: 1\nrules:\n  - { host: 127.0.0.1, port: 9, connection: late, plaintext: true, \
                     networks: [127.0.0.0/8] }\n";
    fs::write(home.path(".config/nexus-sidecar/policy.yaml"), borrowing).unwrap();
    let add = "connection add late --strategy oauth2 --host 127.0.0.1";
    let script = format!("{GET}; get; echo canary-late | \"$SIDECAR\" {add} >/dev/null; get");
    let output = bash(&home, &script).env("SIDECAR", env!("CARGO_BIN_EXE_nexus-sidecar")).output().unwrap();
    assert_eq!(out(&output), "404\n502", "{}", err(&output));
    assert!(err(&output).contains("made the store"), "{}", err(&output));
}

#[test]
fn a_policy_that_borrows_nothing_makes_no_store() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let home = home();
    assert_eq!(bash(&home, "exit 0").status().unwrap().code(), Some(0));
    assert!(!home.path(".local/share").exists());
}
