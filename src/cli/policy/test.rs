use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::policy::{Policy, TestResult};

pub(super) fn run(policy: &Policy, json: bool) -> Result<ExitCode, Failure> {
    let results = policy.test();
    let failed = results.iter().filter(|result| !result.passed).count();
    if json {
        let tests: Vec<Value> = results.iter().map(as_json).collect();
        let count = json!({ "passed": results.len() - failed, "failed": failed });
        print_json(&json!({ "version": &**policy.version(), "count": count, "tests": tests }))?;
    } else {
        print(&as_text(&results, failed))?;
    }
    Ok(ExitCode::from(if failed == 0 { exit::OK } else { exit::FAILED }))
}

fn as_text(results: &[TestResult], failed: usize) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|result| !result.passed) {
        let agent = result.agent.as_ref().map(|agent| format!(" as agent {agent:?}")).unwrap_or_default();
        let reason = result.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(text, "{}: {}{agent}", result.at, result.request);
        let _ = writeln!(text, "  expected {}\n  got      {}{reason}", result.expected, result.got);
    }
    let passed = results.len() - failed;
    let _ = match (passed, failed) {
        (0, 0) => writeln!(text, "the policy has no tests: write some under `tests:`"),
        (_, 0) => writeln!(text, "ok: {passed} passed"),
        _ => writeln!(text, "{failed} of {} failed", failed + passed),
    };
    text
}

fn as_json(result: &TestResult) -> Value {
    json!({
        "file": result.at.file.display().to_string(),
        "line": result.at.line,
        "column": result.at.column,
        "request": result.request,
        "agent": result.agent,
        "expected": result.expected,
        "got": result.got,
        "reason": result.reason,
        "passed": result.passed,
    })
}
