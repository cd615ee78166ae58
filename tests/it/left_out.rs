//! Says what this run does not prove, in words that show even where a test's output is captured.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Writes one line to the terminal itself, once however many tests say it.
pub fn say(what: &str) {
    if SAID.lock().unwrap().insert(what.to_owned()) {
        let _ = writeln!(std::io::stderr().lock(), "left out: {what}");
    }
}

/// Tells whether this machine lacks a program that the calling test is to start, and says so: Rust
/// alone is what the tests ask for.
pub fn lacks(programs: &[&str]) -> bool {
    let Some(missing) = missing(programs) else { return false };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    say(&format!("{test} (there is no {missing} here)"));
    true
}

fn missing<'a>(programs: &[&'a str]) -> Option<&'a str> {
    let starts = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    programs.iter().find(|program| !starts(program)).copied()
}

#[test]
fn left_out() {
    say("tests/clients: real clients, for which `make test` installs what they need");
    say("the benchmarks (make bench)");
}

#[test]
fn what_is_lacking_is_told_from_what_is_there() {
    assert_eq!(missing(&["sh"]), None);
    assert_eq!(missing(&["sh", "no-such-program-at-all"]), Some("no-such-program-at-all"));
}
