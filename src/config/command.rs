//! Commands that write a secret to their standard output.
//!
//! They are started without a shell, hear nothing, and are stopped when they take too long. What
//! they wrote is wiped, and is in no error; what they say on the standard error may hold a secret
//! too, and is shown only where a person sits before it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

/// A command that gives a secret.
#[derive(Debug)]
pub struct SecretCommand<'a> {
    argv: &'a [String],
    /// `None`: the caller's, as are its standard error and its process group.
    environment: Option<&'a [(OsString, OsString)]>,
    timeout: Duration,
    longest: usize,
}

/// What keeps a command from giving it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No program.
    #[error("is empty")]
    Empty,
    /// It is not there, or is no program.
    #[error("cannot be started: {0}")]
    NotStarted(io::Error),
    /// Anybody may exchange the program.
    #[error("is {0}, which anybody may write to: take that right away with chmod o-w")]
    Exposed(PathBuf),
    /// Its output did not end.
    #[error("gave no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// It closed its output and goes on.
    #[error("did not end within {} s", .0.as_secs_f32())]
    Unended(Duration),
    /// It wrote too much.
    #[error("wrote more than {0} bytes")]
    TooLong(usize),
    /// It ended otherwise than with 0.
    #[error("failed ({0})")]
    Failed(ExitStatus),
    /// The system does not say how it ended.
    #[error("cannot be waited for: {0}")]
    Lost(io::Error),
}

impl CommandError {
    /// Whether it may be otherwise next time, with nothing changed.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Unended(_) | Self::Failed(_) | Self::Lost(_))
    }
}

impl<'a> SecretCommand<'a> {
    /// One that may ask a person for a touch or a password: it has the caller's environment,
    /// terminal and standard error.
    pub fn attended(argv: &'a [String], timeout: Duration) -> Self {
        Self { argv, environment: None, timeout, longest: 4096 }
    }

    /// One that nobody sits before: it has this environment and no other, its standard error goes
    /// nowhere, and whatever it started is stopped with it.
    pub fn unattended(argv: &'a [String], environment: &'a [(OsString, OsString)], timeout: Duration) -> Self {
        Self { argv, environment: Some(environment), timeout, longest: 64 << 10 }
    }

    /// Runs it to its end and answers what it wrote. Blocks.
    ///
    /// # Errors
    /// It gave nothing, or not in time.
    pub fn run(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let end = Instant::now() + self.timeout;
        let mut child = self.start()?;
        let result = self.output(&mut child, end);
        Running::lock().0.remove(&child.id());
        result
    }

    fn start(&self) -> Result<Child, CommandError> {
        let (name, arguments) = self.argv.split_first().ok_or(CommandError::Empty)?;
        let path = match self.environment {
            Some(environment) => environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone()),
            None => std::env::var_os("PATH"),
        };
        let program = find(name, path.as_deref()).map_err(CommandError::NotStarted)?;
        let metadata = fs::metadata(&program).map_err(CommandError::NotStarted)?;
        if metadata.permissions().mode() & 0o002 != 0 {
            return Err(CommandError::Exposed(program));
        }
        let mut command = Command::new(program);
        command.arg0(name).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(environment) = self.environment {
            let pairs = environment.iter().map(|(name, value)| (name, value));
            command.env_clear().envs(pairs).stderr(Stdio::null()).process_group(0);
        }
        let mut running = Running::lock();
        let child = command.spawn().map_err(CommandError::NotStarted)?;
        running.0.insert(child.id(), None);
        Ok(child)
    }

    fn output(&self, child: &mut Child, end: Instant) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let Some(text) = read(child, self.longest, end) else {
            self.stop(child);
            return Err(CommandError::Silent(self.timeout));
        };
        if text.len() > self.longest {
            self.stop(child);
            return Err(CommandError::TooLong(self.longest));
        }
        loop {
            match Running::lock().ended(child) {
                Ok(Some(status)) if status.success() => return Ok(text),
                Ok(Some(status)) => return Err(CommandError::Failed(status)),
                Ok(None) if Instant::now() < end => {}
                Ok(None) => break,
                Err(error) => return Err(CommandError::Lost(error)),
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.stop(child);
        Err(CommandError::Unended(self.timeout))
    }

    fn stop(&self, child: &mut Child) {
        // It may have ended by itself; either way there is nothing more to do about it.
        {
            let running = Running::lock();
            match self.environment {
                // Collected elsewhere, its number may be another's.
                _ if running.0.get(&child.id()).is_some_and(Option::is_some) => return,
                Some(_) => drop(kill_process_group(Pid::from_child(child), Signal::KILL)),
                None => drop(child.kill()),
            }
        }
        drop(child.wait());
    }
}

/// The programs of secret commands that run in this process: whoever collects every process that
/// ends says here how one of them did. As one process has one set of children, there is one of it.
pub struct Running(MutexGuard<'static, Ends>);

/// By the number of a program, how it ended, where another than its starter collected it.
type Ends = BTreeMap<u32, Option<ExitStatus>>;

impl Running {
    /// Keeps programs from being started and collected meanwhile.
    pub fn lock() -> Self {
        static RUNNING: Mutex<Ends> = Mutex::new(BTreeMap::new());
        Self(RUNNING.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A process was collected, with this status of `wait`.
    pub fn collected(&mut self, process: Pid, status: i32) {
        let number = u32::try_from(process.as_raw_nonzero().get()).unwrap_or_default();
        if let Some(end) = self.0.get_mut(&number) {
            *end = Some(ExitStatus::from_raw(status));
        }
    }

    fn ended(&mut self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        match self.0.get(&child.id()) {
            Some(Some(status)) => Ok(Some(*status)),
            _ => child.try_wait(),
        }
    }
}

/// What the command writes, to its end or a byte past the longest; `None` if that takes too long
/// or cannot be read.
fn read(child: &mut Child, longest: usize, end: Instant) -> Option<Zeroizing<Vec<u8>>> {
    let stdout = child.stdout.take()?;
    let (give, take) = mpsc::channel();
    // A thread of its own, which a command that closes nothing may keep: reading has no timeout.
    thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::with_capacity(longest + 2));
        let bound = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
        if stdout.take(bound).read_to_end(&mut text).is_ok() {
            drop(give.send(text));
        }
    });
    take.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
}

/// The program of a name: in the folders of `PATH` that are no matter of the working directory.
fn find(name: &str, path: Option<&OsStr>) -> io::Result<PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let runs = |file: &Path| {
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let folders = path.map(std::env::split_paths).into_iter().flatten().filter(|folder| folder.is_absolute());
    let found = folders.map(|folder| folder.join(name)).find(|file| runs(file));
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is in no folder of PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), std::env::var_os("PATH").unwrap()), ("SEEN".into(), "1".into())]
    }

    fn run(argv: &[&str], timeout: Duration) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let argv: Vec<String> = argv.iter().map(|&part| part.to_owned()).collect();
        SecretCommand::unattended(&argv, &path(), timeout).run()
    }

    #[test]
    fn it_hears_nothing_and_sees_what_it_was_given() {
        let text = run(&["sh", "-c", "cat; env; echo canary >&2"], Duration::from_secs(20)).unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("SEEN=1") && !text.contains("HOME=") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn what_goes_wrong_is_told_without_what_was_written() {
        let (long, short) = (Duration::from_secs(20), Duration::from_millis(400));
        for (argv, timeout, why, may_pass) in [
            (&["false"][..], long, "failed (exit status: 1)", true),
            (&["sh", "-c", "echo canary; echo canary >&2; exit 3"], long, "exit status: 3", true),
            (&["/nonexistent/command"], long, "cannot be started", false),
            (&["no-such-command"], long, "in no folder of PATH", false),
            (&["sleep", "9"], short, "no answer within 0.4 s", true),
            (&["sh", "-c", "exec >&-; sleep 9"], short, "did not end", true),
            (&["yes", "canary"], long, "more than 65536 bytes", false),
            (&[], long, "is empty", false),
        ] {
            let error = run(argv, timeout).unwrap_err();
            assert_eq!(error.may_pass(), may_pass, "{argv:?}");
            let error = format!("{error} {error:?}");
            assert!(error.contains(why) && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn what_it_started_is_stopped_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        let error = run(&["sh", "-c", &script], Duration::from_millis(700)).unwrap_err();
        assert!(matches!(error, CommandError::Silent(_)));
        let pid = fs::read_to_string(file).unwrap();
        let gone = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let end = Instant::now() + Duration::from_secs(10);
        while !gone() {
            assert!(Instant::now() < end, "the command's own child still runs");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_that_anybody_may_write_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("give");
        fs::write(&file, "#!/bin/sh\necho x\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).unwrap();
        let error = run(&[file.to_str().unwrap()], Duration::from_secs(20)).unwrap_err();
        assert!(matches!(&error, CommandError::Exposed(path) if *path == file), "{error}");
    }
}
