//! `doctor`: looks at the whole set-up, and says what to do. One file per group of checks.
//!
//! It makes nothing: no store, no key, no CA. What it starts is given some time and not more,
//! and no request leaves the machine but one to each source with a url, which is told what any
//! question tells it and nothing else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::report::{Finding, Report};
use super::failure::{Failure, finish};
use super::harden::Hardened;
use super::output::print;
use super::{exit, harden, start};
use crate::config::{Config, Environment, Problems, SetName};
use crate::telemetry::{Clock, SystemClock};

mod bounded;
mod clock;
mod files;
mod inside;
mod kernel;
mod machine;
mod report;
mod rules;
mod source;
#[cfg(feature = "authority")]
mod store;
mod trust;

const EXAMPLES: &str = "\
Each line is a check: ok; skip, with the reason; warn, to know of; fail, to be mended.

Examples:
  nexus-sidecar doctor
  nexus-sidecar doctor --use github/read@1
  nexus-sidecar doctor --config nexus-sidecar.yaml --policy policy.yaml
  nexus-sidecar doctor --json | jq '.checks[] | select(.level == \"fail\")'
  nexus-sidecar doctor -- wget -O- {url}      try a client of your own too";

/// Check the whole set-up and say what to do
///
/// Files and their modes, store and key, policy and connections, ports, clock and kernel, and
/// whether clients go through the sidecar and trust its CA when `run` starts them. Nothing is made,
/// and no request leaves this machine, but for one to each source with a url. Exit 1
/// if something has to be mended.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy, instead of those of the configuration; may be given several times
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// A permission set, as `run` takes it; may be given several times
    #[arg(long = "use", value_name = "PROVIDER/SET@V", value_parser = start::permission_set)]
    sets: Vec<SetName>,
    /// The result as JSON
    #[arg(long)]
    json: bool,
    /// A client to try; {url} in it stands for an address that the sidecar answers for
    #[arg(last = true, value_name = "PROBE")]
    probe: Vec<OsString>,
    // What doctor starts under `run`: the address that the sidecar answers for.
    #[arg(long, hide = true, value_name = "HOST:PORT")]
    inside: Option<String>,
}

/// Looks, and answers the exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(&args))
}

fn execute(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(host) = &args.inside {
        print(&inside::run(host, &args.probe).to_string())?;
        return Ok(ExitCode::from(exit::OK));
    }
    let says_where = |word: &OsString| word.to_string_lossy().contains(inside::URL);
    if !args.probe.is_empty() && !args.probe.iter().any(says_where) {
        let words = inside::URL;
        return Err(Failure::usage(format!("say {words} in PROBE where the address goes, as in: -- curl {words}")));
    }
    let report = look(args);
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.text() })?;
    Ok(ExitCode::from(if report.failed() { exit::FAILED } else { exit::OK }))
}

fn look(args: &Args) -> Report {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started = clock::Moment::now(&*clock);
    // Before a key is read.
    let hardened = harden::harden().map_err(|failure| failure.message().to_owned());
    let mut report = Report::default();
    let found = &mut report.findings;
    found.extend(machine::variables());
    let config = Config::find(args.config.as_deref(), &Environment::of_process());
    match &config {
        Ok(config) => configured(args, config, &clock, &hardened, &mut report),
        Err(Problems(problems)) => {
            let fail = |problem: &_| Finding::fail("configuration", format!("{problem}"));
            found.extend(problems.iter().map(fail).map(|fail| fail.then("correct it; what depends on it was skipped")));
        }
    }
    let config = config.ok();
    let ca_files = config.as_ref().map(|config| config.upstream.ca_files.clone()).unwrap_or_default();
    let found = &mut report.findings;
    found.extend(machine::roots(&ca_files));
    found.extend(kernel::look(&hardened));
    found.extend(trust::look(&ca_files, &args.probe));
    found.push(clock::look(config.as_ref(), &*clock, started));
    report
}

/// Everything that a configuration names.
fn configured(
    args: &Args,
    config: &Config,
    clock: &Arc<dyn Clock>,
    hardened: &Result<Hardened, String>,
    report: &mut Report,
) {
    let found = &mut report.findings;
    // As `run` does: what is named stands alone.
    let named = !args.policy.is_empty() || !args.sets.is_empty();
    let of_authority = config.policy_of_authority && !named;
    let policies = match named {
        true => args.policy.clone(),
        false if of_authority => Vec::new(),
        false => start::policy_files(config).unwrap_or_default(),
    };
    found.extend(files::look(config, &policies, files::User::of_process()));
    found.extend(rules::settings(config));
    let (asked, document) = match (&config.remote, hardened) {
        (Some(remote), Ok(_)) => source::look(config, remote, clock),
        // A key is not read into a memory that others can read.
        (Some(_), Err(_)) => {
            (vec![Finding::skip("source", "not asked: this process cannot be closed to others")], None)
        }
        (None, _) => (Vec::new(), None),
    };
    found.extend(asked);
    if hardened.is_ok() {
        found.extend(source::gateways(config));
    }
    let (rules, policy) = match document {
        Some(document) => rules::of_authority(document),
        None if of_authority => (vec![Finding::skip("policy", "the Authority has it, and did not say it")], None),
        None => rules::look(&policies, &args.sets),
    };
    found.extend(rules);
    found.extend(policy.iter().flat_map(|policy| rules::narrowing(config, policy)));
    #[cfg(feature = "authority")]
    if config.is_embedded() {
        found.extend(match hardened {
            Ok(_) => store::look(config, policy.as_ref(), clock),
            Err(_) => vec![Finding::skip("store", "not opened: this process cannot be closed to others")],
        });
    }
    #[cfg(not(feature = "authority"))]
    let _ = policy;
    found.extend(machine::ports(config));
    found.push(machine::disk(config));
    report.first = first(config, policies.is_empty() && args.sets.is_empty() && !of_authority);
}

/// What a person does on a machine where nothing was set up yet.
fn first(config: &Config, no_policy: bool) -> Vec<String> {
    let mut steps = Vec::new();
    #[cfg(feature = "authority")]
    if config.is_embedded() && !crate::authority::Authority::has_store(&config.authority) {
        steps.push("printf %s \"$TOKEN\" | nexus-sidecar connection add github".to_owned());
    }
    if no_policy && config.file.is_none() {
        let field = if cfg!(feature = "authority") { "" } else { "--field github.token=env:TOKEN " };
        steps.push(format!("nexus-sidecar run --use github/read@1 {field}-- curl https://api.github.com/user"));
    }
    steps
}

/// The checks that `authority doctor` shares.
#[cfg(feature = "authority")]
pub(super) use self::machine::{port, room as disk_of};

/// What lies in the clock's past without an audit of a sidecar's.
#[cfg(feature = "authority")]
pub(super) fn clock_now(clock: &dyn Clock) -> Finding {
    clock::look(None, clock, clock::Moment::now(clock))
}

/// A file that its owner alone may use.
#[cfg(feature = "authority")]
pub(super) fn secret_file(of: &str, path: &std::path::Path) -> Finding {
    files::secret(of, path)
}

/// A time that is left or over, in its largest unit.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
