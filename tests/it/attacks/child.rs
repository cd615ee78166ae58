//! A program that `run` started and that turns against it: what it tries, and what comes of it.
//! `README.md` has the same table for people, and the two must agree.
//!
//! The attacker is `child.py`. Where the tests run as root it is somebody else, since root could
//! read everything.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::left_out;
use crate::support::Home;

const SECRET: &str = "canary-4be19d77c0a35f";
const TOKEN: &str = "ghp_NexusPlaceholder00000000000000000000";
const POLICY: &str = "version: 1
rules:
  - { name: known, host: known.test, method: GET, connection: api }
  - { name: other, host: evil.test, action: forward }
";

/// What root is not, in tests that root runs: the agent's user, and another one.
const AGENT: u32 = 54_321;
const OTHER: u32 = 54_322;

/// Each attempt as the README's table calls it, as `child.py` does, and whether it works.
const ATTEMPTS: [(&str, &str, bool); 18] = [
    ("its own environment", "environment", false),
    ("the sidecar's entries below `/proc`", "proc", false),
    ("tracing the sidecar", "tracing", false),
    ("inherited files and shared memory", "inherited", false),
    ("the key of the CA", "ca", false),
    ("a placeholder, sent elsewhere", "placeholder", false),
    ("a core file of the sidecar", "core", false),
    ("the store, with a key that is no file of this user", "keyless", false),
    ("the port, from a process that is no descendant", "stranger", false),
    ("the port, from another user", "other user", false),
    ("the port, from anybody with the run's password", "stolen password", true),
    ("the key file and the store", "key file", true),
    ("a sidecar of its own", "own sidecar", true),
    ("the audit's files and their key", "audit", true),
    ("the environment of whoever started `run`", "starter", true),
    ("what later runs read", "later runs", true),
    ("signals and limits", "signals", true),
    ("the network, past the proxy", "around", true),
];

type Report = BTreeMap<String, (bool, String)>;

/// A home of the agent's user, with a connection, and what it takes to act as that user.
struct Den {
    home: Home,
    binary: PathBuf,
    python: PathBuf,
    root: bool,
}

impl Den {
    /// Nothing where there is no Python that the agent's user can run.
    fn new() -> Option<Self> {
        let home = Home::new();
        let root = rustix::process::geteuid().is_root();
        let mut den = Self { binary: env!("CARGO_BIN_EXE_nexus-sidecar").into(), home, python: PathBuf::new(), root };
        den.home.write("child.py", include_str!("child.py"));
        den.home.write(".config/nexus-sidecar/policy.yaml", POLICY);
        if root {
            // The build folder may lie where only root can go.
            let copy = den.home.path("nexus-sidecar");
            std::fs::copy(&den.binary, &copy).unwrap();
            std::fs::set_permissions(den.home.path("."), PermissionsExt::from_mode(0o755)).unwrap();
            den.binary = copy;
            give(&den.home.path("."));
        }
        let candidates = ["/usr/bin/python3", "/usr/local/bin/python3", "python3"];
        let works = |python: &&&str| {
            let status = den.agent(Path::new(python), AGENT).args(["-c", "import ctypes"]).status();
            status.is_ok_and(|status| status.success())
        };
        den.python = candidates.iter().find(works)?.into();
        Some(den)
    }

    /// A program as a user, where there is a choice of users, in an environment that holds what it must.
    fn agent(&self, program: &Path, user: u32) -> Command {
        let mut command = self.home.command([]);
        let environment: Vec<_> =
            command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        command = Command::new(program);
        command.env_clear().envs(environment).current_dir(self.home.path(".")).stderr(Stdio::null());
        if self.root {
            command.uid(user).gid(user);
        }
        command
    }

    /// The sidecar with a key on descriptor 9, which stands in no file and in no environment.
    fn sidecar_with_key(&self) -> Command {
        let mut bash = self.agent(Path::new("bash"), AGENT);
        bash.args(["-c", r#"KEY=$MASTER; unset MASTER; exec 9<<<"$KEY"; exec "$0" "$@""#]).arg(&self.binary);
        bash.env("MASTER", STANDARD.encode([7; 32]));
        bash
    }

    fn add_connection(&self, mut sidecar: Command, more: &[&str]) {
        sidecar.args(["connection", "add", "api", "--strategy", "oauth2", "--host", "known.test"]).args(more);
        let mut child = sidecar.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{SECRET}").unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Starts `run … child.py MODE`, with what the attacker needs to know in its environment.
    fn run(&self, mut sidecar: Command, more: &[&str], mode: &str, key_config: &str, direct: u16) -> Child {
        sidecar.arg("run").args(more).arg("--").arg(&self.python).arg(self.home.path("child.py")).arg(mode);
        sidecar.env("SIDECAR", &self.binary).env("KEY_CONFIG", key_config).env("PLACEHOLDER", TOKEN);
        sidecar.env("DIRECT", direct.to_string());
        // What the starter's environment holds, and the child's must not.
        sidecar.env("NEXUS_TOKEN", SECRET).env("GH_TOKEN", SECRET).env("SSH_AUTH_SOCK", "/nowhere");
        sidecar.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// The status that somebody else gets who found the port.
    fn probe(&self, user: u32, port: &str, credentials: Option<&str>) -> String {
        let mut command = self.agent(&self.python, user);
        command.arg(self.home.path("child.py")).args(["probe", port]).args(credentials);
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
    }

    /// Calls as others do, without a password, with a guess and with the right one.
    fn strangers(&self, proxy: &str, report: &mut Report) {
        let (credentials, address) = proxy.rsplit_once('@').unwrap();
        let port = address.rsplit_once(':').unwrap().1;
        let guess = credentials.replace(|c: char| c.is_ascii_digit(), "0");
        let mut users = vec![(AGENT, "stranger")];
        if self.root {
            users.push((OTHER, "other user"));
        }
        for (user, name) in &users {
            let tried = [None, Some(guess.as_str()), Some("agent:")].map(|guess| self.probe(*user, port, guess));
            report.insert((*name).to_owned(), (tried.iter().any(|status| status != "407"), format!("{tried:?}")));
        }
        let stolen: Vec<_> = users.iter().map(|(user, _)| self.probe(*user, port, Some(credentials))).collect();
        report
            .insert("stolen password".to_owned(), (stolen.iter().all(|status| status == "200"), format!("{stolen:?}")));
    }
}

/// Makes everything below a folder the agent's.
fn give(path: &Path) {
    chown(path, Some(AGENT), Some(AGENT)).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

fn note(line: &Value, report: &mut Report) {
    let how = line["how"].as_str().unwrap_or_default().to_owned();
    report.insert(line["attempt"].as_str().unwrap().to_owned(), (line["worked"].as_bool().unwrap(), how));
}

/// Reads the attacker's lines, and lets others try the port when it says so.
fn attack(den: &Den, direct: u16) -> Report {
    let mut sidecar = den.run(den.agent(&den.binary, AGENT), &[], "attack", "", direct);
    let mut stdin = sidecar.stdin.take().unwrap();
    let mut report = Report::new();
    for line in BufReader::new(sidecar.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(proxy) = line["proxy"].as_str() {
            den.strangers(proxy, &mut report);
            writeln!(stdin).unwrap();
        } else {
            note(&line, &mut report);
        }
    }
    let status = sidecar.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{report:#?}");
    let core = std::fs::read_dir(den.home.path(".")).unwrap().flatten().find(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("core")
    });
    report.insert("core".to_owned(), (status.core_dumped() || core.is_some(), format!("{status}")));
    report
}

/// The same store under a key on a descriptor: the file of a key is not there, and a sidecar of
/// the child's own does not open the store.
fn without_key(den: &Den, direct: u16) -> Report {
    let config = "authority: { key: { fd: 9 } }\n";
    let file = den.home.write("fd.yaml", &format!("version: 1\n{config}"));
    let (file, policy) = (file.to_str().unwrap(), den.home.path(".config/nexus-sidecar/policy.yaml"));
    std::fs::remove_dir_all(den.home.path(".local/share/nexus-sidecar")).unwrap();
    den.add_connection(den.sidecar_with_key(), &["--config", file]);
    let more = ["--config", file, "--policy", policy.to_str().unwrap()];
    let output = den.run(den.sidecar_with_key(), &more, "keyless", config, direct).wait_with_output().unwrap();
    all_of(output)
}

/// The same from a shell that stays, with a credential in its environment.
fn from_a_shell(den: &Den, direct: u16) -> Report {
    let mut shell = den.agent(Path::new("bash"), AGENT);
    shell.args(["-c", r#""$0" "$@"; exit $?"#]).arg(&den.binary);
    all_of(den.run(shell, &[], "starter", "", direct).wait_with_output().unwrap())
}

fn all_of(output: Output) -> Report {
    let mut report = Report::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        note(&serde_json::from_str(line).unwrap(), &mut report);
    }
    report
}

#[test]
fn what_a_child_tries_comes_out_as_the_readme_says() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let Some(den) = Den::new() else {
        left_out::say("attacks by a child of `run`: no python3 with ctypes that an unprivileged user can run");
        return;
    };
    den.add_connection(den.agent(&den.binary, AGENT), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let direct = listener.local_addr().unwrap().port();
    let mut report = attack(&den, direct);
    report.extend(from_a_shell(&den, direct));
    let keyless = without_key(&den, direct);
    assert_eq!(keyless.len(), 2, "{keyless:#?}");
    let (worked, how) = (keyless.values().any(|one| one.0), keyless["own sidecar"].1.clone());
    assert!(how.contains("descriptor 9"), "{how}");
    report.insert("keyless".to_owned(), (worked, how));

    if !den.root {
        left_out::say("the port of `run` from another user: only root can become one");
    }
    for (title, name, works) in ATTEMPTS {
        let Some((worked, how)) = report.get(name) else {
            assert!(name == "other user" && !den.root, "{name} was not tried: {report:#?}");
            continue;
        };
        let how: String = how.chars().take(120).collect();
        println!("{:<6} {title:<52} {how:?}", if *worked { "open" } else { "closed" });
        assert_eq!(*worked, works, "{title}: {how}");
    }
    in_detail(&report);
}

/// What the words of the table leave out.
fn in_detail(report: &Report) {
    for (name, (_, how)) in report {
        assert!(name == "own sidecar" || !how.contains(SECRET), "{name} shows the credential: {how}");
    }
    assert!(report["own sidecar"].1.contains(SECRET), "the README is right about this one");
    assert!(!report["environment"].1.contains("SSH_AUTH_SOCK"), "{:?}", report["environment"]);
    let said = &report["signals"].1;
    assert_eq!(said, "{'before': 200, 'stopped': 'TimeoutError', 'after': 200, 'gone': 'ConnectionRefusedError'}");
    assert!(report["placeholder"].1.contains("holds the placeholder of github"), "{:?}", report["placeholder"]);
}

#[test]
fn the_readme_lists_every_attempt_and_no_other() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("## What `run` does not protect against").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let works = matches!(cells.get(1), Some(&"open"));
        (works || cells.get(1) == Some(&"closed")).then(|| (cells[0].to_owned(), works))
    });
    let listed: Vec<_> = rows.collect();
    let tried: Vec<_> = ATTEMPTS.iter().map(|(title, _, works)| ((*title).to_owned(), *works)).collect();
    assert_eq!(listed, tried);
}
