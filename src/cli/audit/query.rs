//! `audit query`: requests of all files that fulfil every condition.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use super::rows::{self, HEADING};
use super::{Place, when};
use crate::audit::{Damage, Record, Requests};
use crate::cli::exit;
use crate::cli::failure::{Failure, chain, say};
use crate::model::{Code, HostPattern};
use crate::telemetry::{Clock, SystemClock};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar audit query --refused --since 15m
  nexus-sidecar audit query --agent triage-bot --connection github --since 2026-11-20 --until 2h
  nexus-sidecar audit query --host '*.example.com' --code POLICY_DENIED --since 7d --json

TIME is 15m, 2h, 7d or 2w before now, a day (2026-11-21, in UTC), or 2026-11-21T12:00:00Z.

With --json, one object a line for each request: what its intent and its outcome say together, as
they are stored. `t` is its end, `left` when it left; what it does not have is absent.

Exit codes: 0 also where nothing matches, 1 if a file cannot be read, 2 wrong usage.";

/// Find requests in all files, by who, what, when and how they ended
///
/// One row a request, by the time of its end; those without an outcome (they run, or their
/// process died) stand last, as `open`. Every condition that is given must hold.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct QueryArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    conditions: Conditions,
    /// The last N that match
    #[arg(short = 'n', long = "lines", value_name = "N")]
    lines: Option<usize>,
    /// One JSON object a request
    #[arg(long)]
    json: bool,
}

/// What a request has to be, as it is asked for.
#[derive(clap::Args)]
pub(super) struct Conditions {
    /// Who asked
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The connection that was borrowed, or would have been
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// The host that was asked for: exact, or "*.zone"
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// What ended at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// What ended before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What was refused with this code, such as POLICY_DENIED
    #[arg(long, value_name = "CODE", conflicts_with = "refused")]
    code: Option<String>,
    /// What was refused or failed, whatever the code
    #[arg(long)]
    refused: bool,
    /// One request, by the trace id of its answer or the first digits of it
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
}

/// What a request has to be.
#[derive(Default)]
pub(super) struct Filter {
    agent: Option<String>,
    connection: Option<String>,
    host: Option<HostPattern>,
    code: Option<Code>,
    refused: bool,
    trace: Option<String>,
    /// As time stamps, whose order is that of the times.
    since: Option<String>,
    until: Option<String>,
}

pub(super) fn run(args: &QueryArgs) -> Result<ExitCode, Failure> {
    let (filter, since) = args.conditions.filter(SystemClock.wall())?;
    let (dir, _) = args.place.find()?;
    let mut requests = Requests::open(&dir, since).map_err(|error| Failure::because(&error))?;
    let mut shown = Shown::new(args.json, args.lines);
    let mut going = true;
    for record in requests.by_ref().filter(|record| filter.takes(record)) {
        going = shown.take(&record)?;
        if !going {
            break;
        }
    }
    let (open, damage) = requests.rest();
    for record in open.iter().filter(|record| going && filter.takes(record)) {
        shown.take(record)?;
    }
    if shown.end() == 0 {
        say(&format!("no request in {} is like that", dir.display()));
    }
    Ok(tell(&damage).into())
}

/// The last rows that a filter takes, and the time of the newest request, whether taken or not.
pub(super) fn last(
    dir: &Path,
    filter: &Filter,
    since: Option<SystemTime>,
    most: usize,
) -> Result<(Vec<String>, String), Failure> {
    let mut rows = VecDeque::new();
    let mut newest = String::new();
    for record in Requests::open(dir, since).map_err(|error| Failure::because(&error))? {
        if filter.takes(&record) {
            rows.push_back(rows::row(&record));
            rows.drain(..rows.len().saturating_sub(most));
        }
        newest = newest.max(record.t);
    }
    Ok((rows.into(), newest))
}

/// Says what could not be read, on standard error; answers the exit code.
pub(in crate::cli) fn tell(damage: &Damage) -> u8 {
    const PROOF: &str = "`nexus-sidecar audit verify` says what happened to it";
    for (file, (count, first)) in &damage.lines {
        say(&format!("warning: {file}: {count} of its lines cannot be read, the first is line {first}: {PROOF}"));
    }
    for file in &damage.torn {
        say(&format!("warning: {file} ends within a line: {PROOF}"));
    }
    for error in &damage.files {
        say(&format!("error: {}", chain(error)));
    }
    if damage.files.is_empty() { exit::OK } else { exit::FAILED }
}

/// The first digits of a trace id, in lower case.
pub(in crate::cli) fn trace_prefix(text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("{text:?} is no trace id: 32 hex digits, or the first of them")));
    }
    Ok(text.to_ascii_lowercase())
}

impl Conditions {
    /// Tells whether every request is meant.
    pub(super) fn are_none(&self) -> bool {
        let texts = [&self.agent, &self.connection, &self.host, &self.since, &self.until, &self.code, &self.trace];
        !self.refused && texts.iter().all(|text| text.is_none())
    }

    /// The filter, and the time before which nothing is looked for.
    pub(super) fn filter(&self, now: SystemTime) -> Result<(Filter, Option<SystemTime>), Failure> {
        let moment = |text: &Option<String>, flag| {
            let read = text.as_deref().map(|text| when::moment(text, now));
            read.transpose().map_err(|why| Failure::usage(format!("{flag}: {why}")))
        };
        let (since, until) = (moment(&self.since, "--since")?, moment(&self.until, "--until")?);
        if let (Some(from), Some(to)) = (since, until)
            && from >= to
        {
            return Err(Failure::usage("--since is not before --until: nothing can match"));
        }
        let host = self.host.as_deref().map(|text| {
            HostPattern::parse(text).map_err(|error| Failure::usage(format!("--host {text:?} cannot be used: {error}")))
        });
        let code = self.code.as_deref().map(|text| {
            let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            Code::parse(text)
                .ok_or_else(|| Failure::usage(format!("{text:?} is no code: use one of {}", names.join(", "))))
        });
        let filter = Filter {
            agent: self.agent.clone(),
            connection: self.connection.clone(),
            host: host.transpose()?,
            code: code.transpose()?,
            refused: self.refused,
            trace: self.trace.as_deref().map(trace_prefix).transpose()?,
            since: since.map(crate::audit::time_stamp),
            until: until.map(crate::audit::time_stamp),
        };
        Ok((filter, since))
    }
}

impl Filter {
    pub(super) fn takes(&self, record: &Record) -> bool {
        let same = |wanted: &Option<String>, got: Option<&str>| wanted.as_deref().is_none_or(|text| got == Some(text));
        same(&self.agent, record.agent.as_deref())
            && same(&self.connection, record.conn.as_deref())
            && self.code.is_none_or(|code| record.code.as_deref() == Some(code.as_str()))
            && (!self.refused || record.is_refused())
            && self.trace.as_ref().is_none_or(|start| record.trace.starts_with(start.as_str()))
            && self.since.as_ref().is_none_or(|since| record.t >= *since)
            && self.until.as_ref().is_none_or(|until| record.t < *until)
            && self.host.as_ref().is_none_or(|host| record.host().is_some_and(|own| host.matches(&own)))
    }
}

/// What was found, printed as it comes, or the last of it at the end.
struct Shown {
    json: bool,
    last: Option<(usize, VecDeque<String>)>,
    heading: bool,
    count: u64,
    out: io::BufWriter<io::Stdout>,
}

impl Shown {
    fn new(json: bool, last: Option<usize>) -> Self {
        let heading = !json && io::stdout().is_terminal();
        Self {
            json,
            last: last.map(|most| (most, VecDeque::new())),
            heading,
            count: 0,
            out: io::BufWriter::new(io::stdout()),
        }
    }

    /// Takes what matches; tells whether anybody still reads.
    fn take(&mut self, record: &Record) -> Result<bool, Failure> {
        self.count += 1;
        let text = if self.json {
            serde_json::to_string(record).map_err(|error| Failure::because(&error))?
        } else {
            rows::row(record)
        };
        let Some((most, last)) = &mut self.last else { return Ok(self.print(&text)) };
        last.push_back(text);
        if last.len() > *most {
            last.pop_front();
        }
        Ok(true)
    }

    fn print(&mut self, text: &str) -> bool {
        let heading = std::mem::take(&mut self.heading);
        (if heading { writeln!(self.out, "{HEADING}") } else { Ok(()) })
            .and_then(|()| writeln!(self.out, "{text}"))
            .is_ok()
    }

    /// Prints what is left; answers how many matched.
    fn end(mut self) -> u64 {
        for text in self.last.take().map(|(_, last)| last).unwrap_or_default() {
            self.print(&text);
        }
        // Who closed the pipe has read enough.
        let _ = self.out.flush();
        self.count
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: QueryArgs,
    }

    fn filter(line: &[&str]) -> Result<Filter, Failure> {
        let line = Line::try_parse_from(["query"].into_iter().chain(line.iter().copied())).unwrap();
        line.args
            .conditions
            .filter(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_263_006))
            .map(|(filter, _)| filter)
    }

    #[test]
    fn every_condition_counts() {
        let some = |text: &str| Some(text.to_owned());
        let record = Record {
            t: "2026-11-21T12:00:00.000000Z".to_owned(),
            trace: "abcd".to_owned(),
            agent: some("bot"),
            conn: some("jira"),
            dest: some("https://a.x.test"),
            code: some("POLICY_DENIED"),
            ..Record::default()
        };
        for (line, takes) in [
            (&[][..], true),
            (&["--agent", "bot", "--connection", "jira", "--host", "*.x.test", "--refused", "--trace", "ABC"], true),
            (&["--since", "2026-11-21T12:00:00Z", "--until", "2026-11-21T12:00:01Z"], true),
            (&["--since", "11m"], true),
            (&["--since", "10m"], false),
            (&["--until", "2026-11-21T12:00:00Z"], false),
            (&["--code", "policy_denied"], true),
            (&["--code", "INTERNAL"], false),
            (&["--agent", "bo"], false),
            (&["--connection", "jir"], false),
            (&["--host", "x.test"], false),
            (&["--trace", "bcd"], false),
        ] {
            assert_eq!(filter(line).unwrap().takes(&record), takes, "{line:?}");
        }
        let answered = Record { code: None, ..record };
        assert!(!filter(&["--refused"]).unwrap().takes(&answered));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_reason() {
        for (line, reason) in [
            (&["--since", "soon"][..], "--since: \"soon\" is no time"),
            (&["--until", "1y"], "--until"),
            (&["--since", "1h", "--until", "2h"], "not before"),
            (&["--code", "DENIED"], "POLICY_DENIED"),
            (&["--host", "a b"], "--host"),
            (&["--trace", "xyz"], "hex digits"),
        ] {
            let failure = filter(line).err().unwrap();
            assert!(failure.code() == exit::USAGE && failure.message().contains(reason), "{failure:?}");
        }
    }
}
