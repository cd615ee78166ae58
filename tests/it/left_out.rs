//! Says what this run does not prove, in words that show even where a test's output is captured.

use std::io::Write;

/// Writes one line to the terminal itself.
pub fn say(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "left out: {what}");
}

#[test]
fn left_out() {
    say("tests/clients: real clients, for which `make test` installs what they need");
    say("the benchmarks (make bench)");
}
