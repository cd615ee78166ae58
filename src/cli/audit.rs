//! `audit`: what was recorded, shown, searched and proved.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use self::rows::Rows;
use super::failure::{Failure, finish};
use super::{exit, start};
use crate::audit::Tail;
use crate::telemetry::{Clock as _, SystemClock};

pub(super) mod query;
pub(super) mod rows;
#[cfg(feature = "authority")]
mod stored;
mod verify;
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
    Verify(verify::VerifyArgs),
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
        Command::Verify(args) => verify::run(&args),
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
