//! `demo`: shows what the demonstration does while it does it, and what it found.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::trust::Paths;
use super::client::variables::for_child;
use super::client::{Given, Withheld};
use super::exit;
use super::failure::{Failure, finish};
use super::start;
use crate::demo::{self, Call, Check, Progress, Report, Surroundings};

const NEXT: &str = "\
Now yours:  nexus-sidecar connection add github
Then:       nexus-sidecar run --use github/read@1 -- curl https://api.github.com/user";

/// What a shell answers for a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar demo
  nexus-sidecar demo --json
  nexus-sidecar demo --tamper      it must fail: the audit is found to be changed";

/// See the whole loop work on this machine alone: an agent, three services, no credential
///
/// Starts a ticket API, an object store and a chat that really check credentials, and an agent (a
/// shell script with curl) that has none; the sidecar stands between them. Needs no network, no
/// configuration and no privileges, and leaves nothing behind. Exits 0 only if every check held.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Change one byte of the audit before it is verified: the demonstration must then fail
    #[arg(long)]
    tamper: bool,
    /// Print the report as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(&args))
}

fn execute(args: &Args) -> Result<ExitCode, Failure> {
    let mut screen = Screen { quiet: args.json, part: "" };
    screen.line("Three services, an agent without a credential, and the sidecar between them: all on this machine.\n");
    let mut show = |progress: Progress<'_>| screen.show(&progress);
    // Held here, so that it is removed when no task is left to write to it.
    let mut place = None;
    let report = start::block_on(async {
        let mut ends = Ends::listen()?;
        let folder = place.insert(demo::place().map_err(|error| Failure::because(&error))?).path();
        tokio::select! {
            report = demo::run(folder, args.tamper, &environment, &mut show) => {
                report.map_err(|error| Failure::because(&error))
            }
            () = ends.come() => Err(Failure::with_code(INTERRUPTED, "interrupted")),
        }
    });
    let removed = place.map_or(Ok(()), remove);
    let report = report?;
    removed.map_err(|error| Failure::failed(format!("cannot remove the folder of the demonstration: {error}")))?;
    screen.end(args, &report)?;
    Ok(ExitCode::from(if report.held { exit::OK } else { exit::FAILED }))
}

/// Removes the folder. After a signal a thread may be about to write its last file, which a
/// removal that is under way does not see: it is done again then.
fn remove(place: TempDir) -> std::io::Result<()> {
    let path = place.path().to_owned();
    let mut removed = place.close();
    for _ in 0..50 {
        if removed.is_ok() || !path.exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
        removed = std::fs::remove_dir_all(&path);
    }
    removed
}

/// The signals that end the demonstration.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The environment that `run` gives a command, but for what only JVMs and wget read; of the
/// caller's own, `PATH` alone.
fn environment(given: &Surroundings<'_>) -> BTreeMap<OsString, OsString> {
    let path = std::env::var_os("PATH").map(|path| ("PATH".into(), path));
    let files = Paths::of(given.bundle.parent().unwrap_or(given.bundle));
    let given = Given { proxy: given.proxy, no_proxy: "", files: &files, java: OsStr::new(""), providers: &[] };
    let mut child = for_child(path.into_iter().collect(), &given, &Withheld::default()).environment;
    child.retain(|name, _| name != "JAVA_TOOL_OPTIONS" && name != "WGETRC");
    child
}

/// Standard output, line by line. A reader that went away is no reason to fail.
struct Screen {
    quiet: bool,
    part: &'static str,
}

impl Screen {
    fn line(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Started(what) => self.line(&format!("  {what}")),
            Progress::Called(call) => self.call(call),
            Progress::Checked(check) => self.check(check),
        }
    }

    fn call(&mut self, call: &Call) {
        self.heading(call.part, &format!("The agent, {}:", call.part));
        let saw = match (&call.refusal, &call.service_saw) {
            (Some(code), None) => format!("{code}: nothing arrived"),
            (Some(code), Some(saw)) => format!("{code}, but the service saw: {saw}"),
            (None, Some(saw)) => format!("the service saw: {saw}"),
            (None, None) => "no service saw it".to_owned(),
        };
        let Call { method, target, status, .. } = call;
        self.line(&format!("  {} {method:<6} {target:<41} {status:03}  {saw}", mark(call.held)));
    }

    fn check(&mut self, check: &Check) {
        self.heading("checks", "Checks:");
        self.line(&format!("  {} {}: {}", mark(check.held), check.claim, check.found));
    }

    fn heading(&mut self, part: &'static str, text: &str) {
        if self.part != part {
            self.part = part;
            self.line(&format!("\n{text}"));
        }
    }

    fn end(&self, args: &Args, report: &Report) -> Result<(), Failure> {
        if args.json {
            let text = serde_json::to_string_pretty(report).map_err(|error| Failure::because(&error))?;
            let _ = writeln!(std::io::stdout().lock(), "{text}");
            return Ok(());
        }
        let milliseconds = report.milliseconds;
        let ending = match (report.held, args.tamper) {
            (true, _) => format!("\nEverything held, in {milliseconds} ms.\n\n{NEXT}"),
            (false, true) => "\nOne byte was changed, and it was noticed: that is why this ends with exit code 1.\n\
                              Try next: nexus-sidecar demo, without --tamper."
                .to_owned(),
            (false, false) => "\nNot everything held: the lines marked FAIL say what.".to_owned(),
        };
        self.line(&ending);
        Ok(())
    }
}

const fn mark(held: bool) -> &'static str {
    if held { "ok  " } else { "FAIL" }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_agent_gets_the_proxy_and_the_path_and_nothing_of_the_callers() {
        let (bundle, own_ca) = (Path::new("/x/ca-bundle.pem"), Path::new("/x/ca.pem"));
        let child = environment(&Surroundings { proxy: "http://a:b@127.0.0.1:1", bundle, own_ca });
        let value = |name: &str| child.get(&OsString::from(name)).map(|value| value.to_string_lossy().into_owned());
        assert_eq!(value("https_proxy").as_deref(), Some("http://a:b@127.0.0.1:1"));
        assert_eq!(value("CURL_CA_BUNDLE").as_deref(), Some("/x/ca-bundle.pem"));
        assert_eq!(value("NODE_EXTRA_CA_CERTS").as_deref(), Some("/x/ca.pem"));
        assert_eq!(value("PATH"), std::env::var("PATH").ok());
        for name in ["HOME", "CARGO", "JAVA_TOOL_OPTIONS", "WGETRC"] {
            assert_eq!(value(name), None, "{name}");
        }
    }
}
