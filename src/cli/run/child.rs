//! CMD as a process: started, sent the signals that we get, waited for.
//!
//! We are a child subreaper, so that a daemonised grandchild stays a descendant and may still use
//! the port without a password; in exchange we reap what is handed to us.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;
use std::task::Poll;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::config::Running;

/// Signals that are passed on to CMD.
const PASSED: [Signal; 7] =
    [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH];

/// Those that a terminal sends to its whole foreground group: CMD has them already.
const FROM_TERMINAL: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// The signals of this process from now on: none of them ends it any more.
pub(super) struct Signals {
    passed: Vec<(Signal, tokio::signal::unix::Signal)>,
    child: tokio::signal::unix::Signal,
}

/// What a signal asks of us.
enum Event {
    Pass(Signal),
    Child,
}

impl Signals {
    /// Starts to listen. A signal that was ignored when we were started (`nohup`, a background job)
    /// stays ignored, for CMD as well.
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = std::fs::read_to_string("/proc/self/status").map(|status| ignored(&status)).unwrap_or_default();
        let mut passed = Vec::new();
        for number in PASSED {
            if ignored & bit(number) == 0 {
                passed.push((number, signal(SignalKind::from_raw(number.as_raw()))?));
            }
        }
        Ok(Self { passed, child: signal(SignalKind::child())? })
    }

    /// Waits for one that is passed on.
    pub(super) async fn interrupted(&mut self) {
        while let Event::Child = self.next().await {}
    }

    async fn next(&mut self) -> Event {
        std::future::poll_fn(|context| {
            for (number, stream) in &mut self.passed {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(Event::Pass(*number));
                }
            }
            self.child.poll_recv(context).map(|_| Event::Child)
        })
        .await
    }
}

/// Makes us the parent of whatever the command leaves behind (`PR_SET_CHILD_SUBREAPER`).
pub(super) fn adopt_orphans() -> Result<(), Failure> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| Failure::failed(format!("cannot become the parent of orphans: {error}")))
}

/// Starts a command with exactly this environment, and our standard streams.
pub(super) fn start(command: &[OsString], environment: &BTreeMap<OsString, OsString>) -> Result<Pid, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("no command was given after --"));
    };
    let child = Command::new(program).args(arguments).env_clear().envs(environment).spawn();
    let child = child.map_err(|error| not_started(program, environment.get(OsStr::new("PATH")), &error))?;
    Ok(Pid::from_child(&child))
}

/// Says why a command was not started, with the exit code of a shell. A folder of `PATH` that may
/// not be entered makes the system say "permission denied" of a program that is nowhere.
fn not_started(program: &OsStr, path: Option<&OsString>, error: &io::Error) -> Failure {
    let named = program.as_encoded_bytes().contains(&b'/');
    let somewhere =
        named || path.is_some_and(|path| std::env::split_paths(path).any(|folder| folder.join(program).is_file()));
    let program = program.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::with_code(exit::NOT_FOUND, format!("cannot start {program}: {error}")),
        io::ErrorKind::PermissionDenied if !somewhere => {
            Failure::with_code(exit::NOT_FOUND, format!("cannot start {program}: it is in no folder of PATH"))
        }
        _ => Failure::with_code(exit::NOT_EXECUTABLE, format!("cannot start {program}: {error}")),
    }
}

/// Waits until the command ends, passing signals on and reaping what was handed to us.
pub(super) async fn wait(child: Pid, signals: &mut Signals) -> io::Result<WaitStatus> {
    loop {
        if let Some(status) = reap(child)? {
            return Ok(status);
        }
        if let Event::Pass(number) = signals.next().await
            && !(FROM_TERMINAL.contains(&number) && in_foreground())
        {
            // It was not reaped yet, so that the number is still its own.
            let _ = rustix::process::kill_process(child, number);
        }
    }
}

/// The exit code that a shell would answer for this end: its own, or 128 and the signal's number.
pub(super) fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(number)) => 128 + number,
        (None, None) => i32::from(exit::FAILED),
    };
    u8::try_from(code).unwrap_or(exit::FAILED)
}

/// Collects every process that has ended; answers the command's end if it is among them.
fn reap(child: Pid) -> io::Result<Option<WaitStatus>> {
    // A command that gives credentials is ours too, and whoever started it waits for its end.
    let mut running = Running::lock();
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => return Ok(Some(status)),
            Ok(Some((pid, status))) => running.collected(pid, status.as_raw()),
            Err(Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells whether our process group, which is also the command's, is the one that the terminal's
/// keys reach.
fn in_foreground() -> bool {
    use rustix::fs::{Mode, OFlags};
    let terminal = rustix::fs::open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    terminal.and_then(rustix::termios::tcgetpgrp).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// The set of ignored signals in a `/proc/PID/status`.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn bit(number: Signal) -> u64 {
    1 << (number.as_raw() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(script: &str) -> u8 {
        let command = ["sh".into(), "-c".into(), script.into()];
        let environment = [("PATH".into(), std::env::var_os("PATH").unwrap())].into();
        let pid = start(&command, &environment).unwrap();
        let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        exit_code(status)
    }

    #[test]
    fn the_exit_status_passes_through() {
        assert_eq!(end_of("exit 0"), 0);
        assert_eq!(end_of("exit 1"), 1);
        assert_eq!(end_of("exit 200"), 200);
        assert_eq!(end_of("kill -TERM $$"), 143);
        assert_eq!(end_of("kill -KILL $$"), 137);
    }

    #[test]
    fn the_environment_is_exactly_the_one_given() {
        assert_eq!(end_of("test -z \"$HOME$USER$CARGO\""), 0);
    }

    #[test]
    fn what_cannot_be_started_has_the_codes_of_a_shell() {
        let code = |program: &str| start(&[program.into()], &BTreeMap::new()).unwrap_err().code();
        assert_eq!(code("/nowhere/at-all"), 127);
        assert_eq!(code("/etc/hostname"), 126);
        assert_eq!(code("/"), 126);
        assert_eq!(code("no-such-program-at-all"), 127);
        assert_eq!(start(&[], &BTreeMap::new()).unwrap_err().code(), 2);
    }

    #[test]
    fn a_closed_folder_of_path_does_not_make_a_program_exist() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let code = |program: &str| not_started(OsStr::new(program), Some(&"/etc:/nowhere".into()), &denied).code();
        assert_eq!(code("no-such-program-at-all"), 127);
        assert_eq!(code("hostname"), 126);
        assert_eq!(code("/nowhere/x"), 126);
    }

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tsh\nSigBlk:\t00000000ffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_ne!(ignored(status) & bit(Signal::HUP), 0);
        assert_eq!(ignored(status) & bit(Signal::INT), 0);
        assert_eq!(ignored("Name:\tsh\n"), 0);
    }
}
