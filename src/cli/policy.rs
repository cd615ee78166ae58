//! `policy`: checks rules, runs their tests, and says which rule decides on a request and why.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use self::news::News;
use super::failure::{Failure, finish};
use super::output::{print, print_json};
use super::{exit, remote, start};
use crate::app::Narrowing;
use crate::config::{Catalogue, Problem, Problems, load_documents};
use crate::policy::Policy;

mod explain;
mod news;
mod test;

const RULES: &str = "\
A policy:
  version: 1
  rules:                            # the first that matches decides; what none allows is refused
    - use: github/read@1            # a permission set, as `provider list` names them
    - name: read-tickets
      host: acme.atlassian.net      # exact, \"*.zone\", or \"a.*.zone\"
      method: [GET]
      path: /rest/api/3/**          # * stays within a segment, ** crosses
      connection: jira              # add this connection's credential
    - name: documentation
      host: docs.example.org
      action: forward               # add nothing; also: tunnel, deny
  tests:
    - { request: GET https://acme.atlassian.net/rest/api/3/issue/X-1, expect: inject jira }
    - { request: DELETE https://acme.atlassian.net/rest/api/3/issue/X-1, expect: deny }

Examples:
  nexus-sidecar policy check policy.yaml
  nexus-sidecar policy test policies/*.yaml
  nexus-sidecar policy explain GET https://acme.atlassian.net/rest/api/3/issue/X-1

Without a file: those of the configuration (or, where that says `authority`, the policy that
this machine took of it last), else policy.yaml in the user's own configuration folder, never the
working directory.";

const CHECK: &str = "\
Examples:
  nexus-sidecar policy check
  nexus-sidecar policy check policy.yaml --json";

const TEST: &str = "\
Examples:
  nexus-sidecar policy test
  nexus-sidecar policy test policy.yaml --json";

/// Check a policy, run its tests, explain a decision
#[derive(clap::Args)]
#[command(after_help = RULES)]
pub(super) struct Args {
    /// The configuration that names the policy files [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The result as JSON, on standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check that files are a policy together; exit 2 with every problem and its place if not
    #[command(after_help = CHECK)]
    Check {
        /// Files, tried in this order
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Run the tests that files hold under `tests:`; exit 1 if one fails
    #[command(after_help = TEST)]
    Test {
        /// Files, tried in this order
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    Explain(explain::Explain),
}

pub(super) fn run(args: Args) -> ExitCode {
    finish(answer(&args))
}

fn answer(args: &Args) -> Result<ExitCode, Failure> {
    let files = match &args.command {
        Command::Check { files } | Command::Test { files } => files,
        Command::Explain(explain) => explain.files(),
    };
    let Some(policy) = load(files, args.config.as_deref(), args.json)? else {
        return Ok(ExitCode::from(exit::USAGE));
    };
    match &args.command {
        Command::Check { .. } => check(&policy, args.json),
        Command::Test { .. } => test::run(&policy, args.json),
        Command::Explain(explain) => explain.run(&policy, args.json),
    }
}

/// Compiles the files that were named, else the user's. `None` where problems were printed as
/// JSON, which is all that is left to say.
fn load(named: &[PathBuf], config: Option<&Path>, json: bool) -> Result<Option<Policy>, Failure> {
    // A configuration that nobody named says nothing of files that somebody did.
    let config = (named.is_empty() || config.is_some()).then(|| start::config(config)).transpose()?;
    let documents = match &config {
        Some(config) if named.is_empty() => match remote::kept_document(config)? {
            Some(kept) => Ok(vec![kept]),
            None => load_documents(&start::policy_files(config)?),
        },
        _ => load_documents(named),
    };
    let narrowed = |policy: Policy| match &config {
        Some(config) => Narrowing::of(config).check(&policy).map(|()| policy),
        None => Ok(policy),
    };
    match documents.and_then(Policy::compile).and_then(narrowed) {
        Ok(policy) => Ok(Some(policy)),
        Err(Problems(problems)) if json => {
            let problems: Vec<Value> = problems.iter().map(problem_as_json).collect();
            print_json(&json!({ "ok": false, "problems": problems }))?;
            Ok(None)
        }
        Err(problems) => {
            let count = problems.0.len();
            let noun = if count == 1 { "problem" } else { "problems" };
            Err(Failure::usage(format!("{count} {noun} in the policy\n{problems}")))
        }
    }
}

fn problem_as_json(problem: &Problem) -> Value {
    let at = problem.at.as_ref();
    json!({
        "file": at.map(|at| at.file.display().to_string()),
        "line": at.map(|at| at.line),
        "column": at.map(|at| at.column),
        "rule": problem.rule,
        "message": problem.message,
    })
}

fn check(policy: &Policy, json: bool) -> Result<ExitCode, Failure> {
    let (rules, tests) = (policy.rule_count(), policy.test_count());
    let news = News::of(policy, Catalogue::built_in());
    if json {
        let mut answer = json!({ "ok": true, "version": &**policy.version(), "rules": rules, "tests": tests });
        answer["news"] = news.as_json();
        print_json(&answer)?;
    } else {
        let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let tests = match tests {
            0 => "no tests".to_owned(),
            count => format!("{}, which `policy test` runs", plural(count, "test")),
        };
        let ok = format!("ok: {}, version {}, {tests}\n", plural(rules, "rule"), policy.version());
        print(&(ok + &news.as_text()))?;
    }
    Ok(ExitCode::from(exit::OK))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    const POLICY: &str = "
version: 1
rules:
  - { name: read, agent: bot, host: a.test, method: GET, headers: { x-kind: a }, connection: c }
tests:
  - { request: GET https://a.test/, agent: bot, headers: { x-kind: a }, expect: inject c }
";

    /// Answers as the program would, with POLICY in place of `POLICY` among the arguments.
    fn answer_to(text: &str, line: &[&str]) -> Result<ExitCode, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, text).unwrap();
        let line = line.iter().map(|word| if *word == "POLICY" { file.to_str().unwrap() } else { word });
        answer(&Line::try_parse_from(["policy"].into_iter().chain(line)).unwrap().args)
    }

    #[test]
    fn exit_codes() {
        let url = "https://a.test/";
        let failing = POLICY.replace("expect: inject c", "expect: deny");
        for (text, line, want) in [
            (POLICY, &["check", "POLICY"][..], exit::OK),
            (POLICY, &["test", "POLICY"], exit::OK),
            (&*failing, &["test", "POLICY"], exit::FAILED),
            (&*failing, &["check", "POLICY"], exit::OK),
            ("version: 2", &["check", "POLICY", "--json"], exit::USAGE),
            (
                POLICY,
                &["explain", "GET", url, "--agent", "bot", "--header", "X-Kind: a", "--policy", "POLICY"],
                exit::OK,
            ),
            (POLICY, &["explain", "GET", url, "--agent", "bot", "--policy", "POLICY"], exit::DENIED),
            (POLICY, &["explain", "GET", "https://a.test/../x", "--policy", "POLICY", "--json"], exit::DENIED),
        ] {
            assert_eq!(answer_to(text, line), Ok(ExitCode::from(want)), "{line:?}");
        }
        for (text, line, want) in [
            ("version: 2", &["check", "POLICY"][..], "policy.yaml:1:10: this version"),
            (POLICY, &["explain", "GET", "ftp://a.test/", "--policy", "POLICY"], "neither http:// nor https://"),
            (POLICY, &["explain", "G T", url, "--policy", "POLICY"], "no method"),
            (POLICY, &["explain", "GET", url, "--header", "x", "--policy", "POLICY"], "no header"),
        ] {
            let failure = answer_to(text, line).unwrap_err();
            assert!(failure.code() == exit::USAGE && failure.message().contains(want), "{failure:?}");
        }
    }
}
