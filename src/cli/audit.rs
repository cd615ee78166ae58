//! `audit`: what was recorded, shown, searched and proved.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use self::rows::Rows;
use super::failure::{Failure, finish};
use super::output::safe;
use super::{exit, harden, start};
use crate::audit::{self, Head, Report, Tail};
use crate::telemetry::{Clock as _, SystemClock};

pub(super) mod query;
pub(super) mod rows;
mod when;

/// How often new lines are looked for.
const LOOK: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar audit tail --follow
  nexus-sidecar audit query --since 1h
  nexus-sidecar audit verify";

const TAIL: &str = "\
Examples:
  nexus-sidecar audit tail
  nexus-sidecar audit tail -n 100 --follow
  nexus-sidecar audit tail --follow --agent triage-bot --connection github --since 1h
  nexus-sidecar audit tail --json --config nexus-sidecar.yaml";

/// Read what was recorded: follow it, search it, or prove that nobody changed it
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Tail(TailArgs),
    Query(query::QueryArgs),
    Verify(VerifyArgs),
}

/// Show the last requests, those that were refused included
///
/// One row a request, at its end: when (UTC), who, how it ended, what, with which connection, and
/// how long it took.
#[derive(clap::Args)]
#[command(after_help = TAIL)]
struct TailArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    conditions: query::Conditions,
    /// How many rows (with --json: lines)
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Go on with what every process records, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// The lines as they are stored: intents and outcomes
    #[arg(long)]
    json: bool,
}

/// Prove that no line was edited, removed, moved or added
///
/// Exit code 0: nothing was found; 1: something was. It prints heads: kept elsewhere and given
/// to --head later, they show whether what is here now still begins with what was here then.
#[derive(clap::Args)]
#[command(after_help = verify_help())]
struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// The chain's key [default: the configuration's, or DIR/key]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A head that was kept elsewhere: COUNT:MAC, or a copy of a .head file; may be repeated
    #[arg(long = "head", value_name = "HEAD")]
    heads: Vec<String>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// Examples, and what a chain of MACs cannot show.
fn verify_help() -> String {
    format!(
        "Examples:\n  nexus-sidecar audit verify\n  \
         nexus-sidecar audit verify --head \"$(cat head-of-yesterday.json)\"\n\n{}",
        audit::LIMITS
    )
}

#[derive(clap::Args)]
pub(super) struct Place {
    /// The audit's folder [default: the configuration's audit.dir]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The configuration that says where it is
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    config: Option<PathBuf>,
}

impl Place {
    /// The folder and its key.
    pub(super) fn find(&self) -> Result<(PathBuf, PathBuf), Failure> {
        if let Some(dir) = &self.dir {
            return Ok((dir.clone(), dir.join("key")));
        }
        let audit = start::config(self.config.as_deref())?.audit;
        Ok((audit.dir, audit.key_file))
    }
}

pub(super) fn run(args: Args) -> ExitCode {
    finish(match args.command {
        Command::Tail(args) => tail(&args),
        Command::Query(args) => query::run(&args),
        Command::Verify(args) => verify(&args),
    })
}

fn tail(args: &TailArgs) -> Result<ExitCode, Failure> {
    let (dir, _) = args.place.find()?;
    let all = args.conditions.are_none();
    if args.json && !all {
        return Err(Failure::usage(
            "--json shows the lines as they are stored, all of them: audit query --json has conditions",
        ));
    }
    let (filter, since) = args.conditions.filter(SystemClock.wall())?;
    // Those that match may lie far back; what came since is among the lines below.
    let (mut last, shown) = if all { Default::default() } else { query::last(&dir, &filter, since, args.lines)? };
    // A row is made of two lines and more, and some lines make none.
    let span = if args.json { args.lines } else { args.lines.saturating_mul(4) };
    let (mut tail, lines) = Tail::open(&dir, span).map_err(|error| Failure::because(&error))?;
    let mut rows = Rows::of(filter, shown);
    let shown = |lines: Vec<String>, rows: &mut Rows| {
        if args.json { lines } else { lines.iter().filter_map(|line| rows.row(line)).collect() }
    };
    last.extend(shown(lines, &mut rows));
    let mut going = print(&last[last.len().saturating_sub(args.lines)..]);
    while args.follow && going {
        std::thread::sleep(LOOK);
        let lines = tail.poll().map_err(|error| Failure::because(&error))?;
        going = print(&shown(lines, &mut rows));
    }
    Ok(exit::OK.into())
}

/// Prints lines; tells whether anybody still reads them.
fn print(lines: &[String]) -> bool {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).is_ok()
}

fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    // Whoever could read the chain's key in our memory could forge lines.
    harden::harden()?;
    let (dir, key) = args.place.find()?;
    let key = args.key_file.as_deref().unwrap_or(&key);
    let heads = args.heads.iter().map(|head| read_head(head)).collect::<Result<Vec<_>, _>>()?;
    let report = audit::verify(&dir, key, &heads).map_err(|error| Failure::because(&error))?;
    let text = if args.json {
        serde_json::to_string_pretty(&report).map_err(|error| Failure::because(&error))?
    } else {
        told(&dir, &report)
    };
    // Who closed the pipe still gets the exit code.
    print(&[text]);
    Ok(if report.findings.is_empty() { exit::OK } else { exit::FAILED }.into())
}

fn read_head(text: &str) -> Result<Head, Failure> {
    if let Ok(head) = text.parse() {
        return Ok(head);
    }
    let content = std::fs::read_to_string(text)
        .map_err(|error| Failure::usage(format!("{text:?} is neither COUNT:MAC nor a file of a head: {error}")))?;
    content.parse().map_err(|error| Failure::usage(format!("{text}: {error}")))
}

fn told(dir: &Path, report: &Report) -> String {
    let mut text = format!("audit     {}\n", dir.display());
    let running = report.files.iter().filter(|file| !file.closed).count();
    text += &format!("files     {}", report.files.len());
    if running > 0 {
        text += &format!(" ({running} not closed: the process runs, or died)");
    }
    text += &format!("\nlines     {}\nrequests  {}\nopen      {}", report.lines, report.requests, report.open);
    if report.open > 0 {
        text += " (left, and no outcome is recorded: they run, or their process died)";
        for trace in &report.open_traces {
            text += &format!("\n          {trace}");
        }
    }
    if report.lost > 0 {
        text += &format!("\nlost      {} lines that could not be written (best_effort)", report.lost);
    }
    for file in report.files.iter().filter(|file| file.torn && !file.closed) {
        text += &format!("\ntorn      {}: its last line is incomplete, behind its head", file.file);
    }
    for file in report.files.iter().filter(|file| file.unlisted) {
        text += &format!("\nunlisted  {}: its process died while it was opened", file.file);
    }
    if report.findings.is_empty() {
        text += "\n\nok: no line was edited, removed, moved or added\n\nKeep elsewhere, to give to --head later:";
        for head in &report.heads {
            text += &format!("\n  {head}  {}", head.file.as_deref().unwrap_or_default());
        }
        return text;
    }
    text += "\n\nTAMPERED:";
    for finding in &report.findings {
        text += &format!("\n  {}", safe(&finding.to_string()));
    }
    text + "\n\nA machine that lost power can lose the end of a file too, in other modes than durable."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_given_as_text_or_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mac = "ab".repeat(32);
        std::fs::write(&path, format!("{{\"file\":\"f\",\"count\":3,\"mac\":\"{mac}\"}}\n")).unwrap();
        assert_eq!(read_head(&format!("3:{mac}")).unwrap().count, 3);
        assert_eq!(read_head(path.to_str().unwrap()).unwrap().file.as_deref(), Some("f"));
        for bad in ["3:xyz", "/nonexistent"] {
            assert_eq!(read_head(bad).unwrap_err().code(), exit::USAGE);
        }
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(read_head(path.to_str().unwrap()).unwrap_err().code(), exit::USAGE);
    }
}
