//! What `run` adds to a command that does nothing: time, and the memory of the sidecar beside it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::sidecar::BINARY;

/// Runs of each kind, taken in turns, of which the median is shown.
const ROUNDS: usize = 11;

/// What `run -- true` costs.
pub(crate) struct Overhead {
    /// `true` by itself, from its start to its end.
    pub(crate) alone: Duration,
    /// The same as the command of `run`.
    pub(crate) beside: Duration,
    /// The most that the sidecar held in memory until its command ran (resident, shared pages
    /// included), in KiB.
    pub(crate) peak_kib: u64,
}

/// Measures it over a store that is there, with a policy that borrows from it.
pub(crate) fn measure(folder: &Path) -> Result<Overhead, Failure> {
    fs::create_dir_all(folder)?;
    let policy = folder.join("policy.yaml");
    fs::write(&policy, "version: 1\nrules: [{ host: api.test, connection: bench }]\n")?;
    let run = |command: &[&str]| {
        let mut run = Command::new(BINARY);
        run.env_clear().envs(["HOME", "XDG_RUNTIME_DIR"].map(|name| (name, folder)));
        run.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        run.args(["run", "--policy"]).arg(&policy).arg("--").args(command);
        run.stdin(Stdio::null()).stderr(Stdio::null());
        run
    };
    timed(&mut run(&["true"]))?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(timed(&mut Command::new("true"))?);
        beside.push(timed(&mut run(&["true"]))?);
    }
    let seen = run(&["sh", "-c", "exec grep VmHWM /proc/$PPID/status"]).output()?;
    let text = String::from_utf8(seen.stdout)?;
    let peak = text.split_whitespace().nth(1).and_then(|kib| kib.parse().ok());
    let peak_kib = peak.ok_or("the kernel does not say how much memory the sidecar took")?;
    Ok(Overhead { alone: median(alone), beside: median(beside), peak_kib })
}

fn timed(command: &mut Command) -> Result<Duration, Failure> {
    let started = Instant::now();
    let status = command.status()?;
    if status.success() { Ok(started.elapsed()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
