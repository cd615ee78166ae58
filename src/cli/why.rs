//! `why`: what was refused, by which rule, and the smallest rule that would have allowed it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::answer::{Answer, Rules};
use super::audit::query::{tell, trace_prefix};
use super::failure::{Failure, finish, say};
use super::{exit, start};
use crate::audit::{AuditError, Record, Requests};
use crate::config::{Config, Document, SetName, load_documents};
use crate::policy::and_sets;
use crate::telemetry::{Clock, SystemClock};

mod advice;
mod answer;
mod past;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar why                        the last request that was refused
  nexus-sidecar why 3f9a                   the one whose answer has a trace_id that begins so
  nexus-sidecar why --last 5 --json        the last five, one JSON object a line
  nexus-sidecar why --policy policy.yaml   with the policy that `run --policy` was given

The audit keeps neither the values of a query nor headers: where a rule looks at those, the
suggested rule has a blank to fill in, and says so.

Exit codes: 0 also where nothing was refused, 1 no such request, 2 wrong usage.";

/// Say why a request was refused, and the smallest rule that would have allowed it
///
/// Answers from the audit, with the policy as it is now: which rule refused, or why none of those
/// near it matched, what to write, and where. For what no rule changes (a connection that is not
/// there, a certificate, a malformed request) it says the next step.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The trace id of its answer, or the first digits of it [default: the last refusal]
    #[arg(value_name = "TRACE", conflicts_with = "last")]
    trace: Option<String>,
    /// The last N refusals, the newest last
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// One JSON object a line for each
    #[arg(long)]
    json: bool,
    /// The configuration that says where audit and policy are [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The audit's folder [default: the configuration's audit.dir]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A policy file instead of the configuration's; may be given several times, tried in this order
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// A permission set that `run --use` was given; may be given several times
    #[arg(long = "use", value_name = "PROVIDER/SET@V", value_parser = start::permission_set)]
    sets: Vec<SetName>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    finish(execute(args))
}

fn execute(args: &Args) -> Result<ExitCode, Failure> {
    let prefix = args.trace.as_deref().map(trace_prefix).transpose()?;
    let config = start::config(args.config.as_deref())?;
    let dir = args.dir.as_ref().unwrap_or(&config.audit.dir);
    let found = match &prefix {
        Some(prefix) => one(Search::new(dir), prefix)?,
        None => last(Search::new(dir), args.last.unwrap_or(1))?,
    };
    if found.is_empty() {
        say(&format!("nothing was refused, as far as {} goes back", dir.display()));
    }
    let rules = Rules::new(documents(args, &config), config.agents.len() > 1);
    let mut out = io::stdout().lock();
    for (index, record) in found.iter().enumerate() {
        let answer = Answer::of(record, &rules);
        let gap = if index > 0 && !args.json { "\n" } else { "" };
        let text = if args.json { format!("{}\n", answer.json()) } else { answer.text() };
        match write!(out, "{gap}{text}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::because(&error)),
            _ => {}
        }
    }
    Ok(exit::OK.into())
}

/// The documents of the policy, as `run` puts them together, or why there are none.
fn documents(args: &Args, config: &Config) -> Result<Vec<Document>, String> {
    let own = args.policy.is_empty() && args.sets.is_empty();
    if own && config.policy_of_authority {
        return start::documents(config).map_err(|failure| failure.message().to_owned());
    }
    let files = match start::policy_files(config) {
        _ if !own => args.policy.clone(),
        Ok(files) => files,
        Err(_) => {
            let example = "nexus-sidecar why --use github/read@1";
            return Err(format!(
                "it is in no file; give the --policy and --use that `run` was given, as in: {example}"
            ));
        }
    };
    let documents = load_documents(&files).map_err(|problems| problems.to_string())?;
    Ok(and_sets(documents, &args.sets))
}

/// Where requests are looked for: in what was written lately first.
struct Search<'a> {
    dir: &'a std::path::Path,
}

impl<'a> Search<'a> {
    fn new(dir: &'a std::path::Path) -> Self {
        Self { dir }
    }

    /// Looks until something is found: in the files of the last hour, of the last day, in all.
    fn until<T>(&self, mut look: impl FnMut(&mut Requests) -> Option<T>) -> Result<Option<T>, Failure> {
        const HOUR: Duration = Duration::from_secs(3600);
        let now = SystemClock.wall();
        for since in [now.checked_sub(HOUR), now.checked_sub(24 * HOUR), None] {
            let requests = Requests::open(self.dir, since);
            let mut requests = requests.map_err(|error: AuditError| Failure::because(&error))?;
            let found = look(&mut requests);
            let damage = requests.rest().1;
            if found.is_some() || since.is_none() {
                tell(&damage);
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// The one request whose trace id begins so.
fn one(search: Search<'_>, prefix: &str) -> Result<Vec<Record>, Failure> {
    let look = |requests: &mut Requests| {
        let matching: Vec<Record> = requests
            .filter(|record| record.trace.starts_with(prefix))
            .take(if prefix.len() < 32 { 9 } else { 1 })
            .collect();
        (!matching.is_empty()).then_some(matching)
    };
    let found = search.until(look)?.unwrap_or_default();
    match found.len() {
        0 => Err(Failure::failed(format!(
            "no request whose trace id begins with {prefix} is in {}",
            search.dir.display()
        ))),
        1 => Ok(found),
        _ => {
            let traces: Vec<&str> = found.iter().map(|record| record.trace.as_str()).collect();
            Err(Failure::usage(format!("{prefix} begins several trace ids: {}", traces.join(", "))))
        }
    }
}

/// The last refusals.
fn last(search: Search<'_>, count: usize) -> Result<Vec<Record>, Failure> {
    let mut most = VecDeque::new();
    let look = |requests: &mut Requests| {
        most.clear();
        for record in requests.filter(Record::is_refused) {
            most.push_back(record);
            if most.len() > count {
                most.pop_front();
            }
        }
        (most.len() >= count).then_some(())
    };
    search.until(look)?;
    Ok(most.into())
}
