//! A home, the commands that somebody gives in it, and a transcript without what changes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::process::{Ended, Home};
use crate::support::{Origin, Pki};

pub struct Scene {
    home: Home,
    transcript: String,
}

impl Scene {
    /// A home with nothing in it.
    pub fn empty() -> Self {
        Self { home: Home::new(), transcript: String::new() }
    }

    /// A home whose policy reads `api.test`, which is this origin, with the connection `api`.
    pub fn of(origin: &Origin, trusted: Option<&Pki>) -> Self {
        let scene = Self::empty();
        let port = origin.port();
        scene.policy(&format!(
            "version: 1\nrules:\n  - name: read\n    host: api.test\n    port: {port}\n    method: GET\n    \
             networks: [127.0.0.0/8]\n    connection: api\n"
        ));
        let roots = trusted.map(|pki| scene.home.write("roots.pem", &pki.pem).display().to_string());
        let roots = roots.map(|file| format!("  ca_files: ['{file}']\n")).unwrap_or_default();
        scene.home.write(
            ".config/nexus-sidecar/nexus-sidecar.yaml",
            &format!("version: 1\npolicy: [policy.yaml]\nupstream:\n  hosts: {{ api.test: 127.0.0.1 }}\n{roots}"),
        );
        scene
    }

    pub fn policy(&self, text: &str) {
        self.home.write(".config/nexus-sidecar/policy.yaml", text);
    }

    pub fn file(&self, name: &str, text: &str) {
        self.home.write(name, text);
    }

    /// Makes the connection `api` with this token.
    pub fn connection(&mut self, token: &str, more: &[&str]) {
        let args = ["connection", "add", "api", "--strategy", "oauth2", "--host", "api.test"];
        let ended = self.home.run_with(args.into_iter().chain(more.iter().copied()), &format!("{token}\n"));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }

    /// Puts the key of another store in place of the store's own.
    pub fn another_key(&self) {
        const KEY: &str = ".local/share/nexus-sidecar/key";
        let other = Home::new();
        other.connect("x", "x.test", "t");
        self.home.secret(KEY, &std::fs::read_to_string(other.path(KEY)).unwrap());
    }

    /// Gives a command and notes what came of it.
    pub fn tries(&mut self, args: &[&str]) {
        let ended = self.home.run(args.iter().copied());
        self.note(&args.join(" "), &ended, |_| true);
    }

    /// The same, but for the lines that say this.
    pub fn shows(&mut self, args: &[&str], only: &str) {
        let ended = self.home.run(args.iter().copied());
        self.note(&args.join(" "), &ended, |line| line.contains(only));
    }

    /// Runs a shell command under `run`.
    pub fn run(&mut self, script: &str) {
        let ended = self.home.run(["run", "--", "sh", "-c", script]);
        self.note(&format!("run -- {script}"), &ended, |_| true);
    }

    /// The same again and again, until its output holds a word; the last time is noted.
    pub fn run_until(&mut self, word: &str, script: &str) {
        let started = Instant::now();
        loop {
            let ended = self.home.run(["run", "--", "sh", "-c", script]);
            if ended.out.contains(word) {
                return self.note(&format!("run -- {script}"), &ended, |_| true);
            }
            assert!(started.elapsed() < Duration::from_secs(20), "no {word}: {ended:?}");
        }
    }

    /// Notes the answer to a CONNECT, of which curl shows the status alone.
    pub fn agent_sees(&mut self, authority: &str) {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/${{HTTPS_PROXY##*:}}; \
             printf 'CONNECT {authority} HTTP/1.1\\r\\nHost: {authority}\\r\\n\\r\\n' >&3; \
             while read -r line <&3 && [ \"$line\" != $'\\r' ]; do \
             case ${{line,,}} in content-length:*) length=${{line//[^0-9]/}};; esac; done; \
             read -r -N \"$length\" body <&3; echo \"$body\""
        );
        let ended = self.home.run(["run", "--", "bash", "-c", &script]);
        self.note(&format!("run -- (the body of the answer to CONNECT {authority})"), &ended, |_| true);
    }

    fn note(&mut self, command: &str, ended: &Ended, keep: impl Fn(&str) -> bool) {
        let _ = writeln!(self.transcript, "$ nexus-sidecar {command}");
        for (stream, text) in [("", &ended.out), ("2> ", &ended.err)] {
            for line in text.lines().filter(|line| keep(line)) {
                let _ = writeln!(self.transcript, "{stream}{line}");
            }
        }
        let _ = writeln!(self.transcript, "exit {}\n", ended.code.unwrap_or(-1));
    }

    /// Compares with the golden file, or writes it where `UPDATE_GOLDEN` is set.
    pub fn matches(&self, name: &str) {
        let home = self.home.path("").display().to_string();
        let found = settled(&self.transcript.replace(home.trim_end_matches('/'), "~"));
        let file: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests/it/mistakes/golden", &format!("{name}.txt")].iter().collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &found).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found, golden, "{name}: UPDATE_GOLDEN=1 writes it anew; read the difference first");
    }
}

/// The text with ports, times, ids and process numbers under fixed names.
fn settled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-:.+".contains(*c)).collect();
        if let Some((length, name)) = changing(&word, &out) {
            out.push_str(name);
            rest = &rest[length..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// What changes from run to run at the start of a word: its length, and its name.
fn changing(word: &str, before: &str) -> Option<(usize, &'static str)> {
    let digits = word.chars().take_while(char::is_ascii_digit).count();
    let hex = word.chars().take_while(|c| c.is_ascii_digit() || ('a'..='f').contains(c)).count();
    let starts_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
    let bytes = word.as_bytes();
    if starts_word && bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && digits == 4 {
        return Some((word.find('Z').map_or(word.len(), |at| at + 1), "TIME"));
    }
    let shortened = hex == 12 && before.ends_with("why ");
    if starts_word && (hex == 32 || hex == 16 || shortened) {
        return Some((hex, "ID"));
    }
    if starts_word && bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-' && digits == 4 {
        return Some((word.len(), "DATE"));
    }
    if starts_word && bytes.len() >= 8 && bytes[2] == b':' && bytes[5] == b':' && digits == 2 {
        return Some((word.len(), "TIME"));
    }
    if (before.ends_with(':') || before.ends_with("port: ")) && (4..=5).contains(&digits) {
        return Some((digits, "PORT"));
    }
    if before.ends_with("process ") && digits > 0 {
        return Some((digits, "PID"));
    }
    // The test program itself, whatever its file is called.
    before.ends_with("is taken by ").then_some((word.len(), "PROGRAM"))
}

#[test]
fn what_changes_has_a_fixed_name() {
    for (text, want) in [
        ("at 127.0.0.1:43817, or api.test:443", "at 127.0.0.1:PORT, or api.test:443"),
        ("until 2026-11-20T15:00:01Z; now", "until TIME; now"),
        ("\"trace\":\"0af7651916cd43dd8448eb211c80319c\"", "\"trace\":\"ID\""),
        ("2026-11-21 15:38:52.892 UTC, port: 38873", "DATE TIME UTC, port: PORT"),
        ("policy.yaml:3:5: one", "policy.yaml:3:5: one"),
        ("why 0af7651916cd, of decade", "why ID, of decade"),
        ("is taken by it-0af7 (process 7)", "is taken by PROGRAM (process PID)"),
        ("mode 644 of process 77", "mode 644 of process PID"),
    ] {
        assert_eq!(settled(text), want);
    }
}
