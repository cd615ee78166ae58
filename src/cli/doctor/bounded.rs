//! A program that is given some time, and not more.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Between being asked to end and being made to.
const GRACE: Duration = Duration::from_millis(500);

/// Runs a command in a process group of its own, its output in these files. `None` where it took
/// too long: nothing of it is left then.
pub(super) fn run(mut command: Command, out: &Path, err: &Path, time: Duration) -> io::Result<Option<ExitStatus>> {
    command.stdout(File::create(out)?).stderr(File::create(err)?).process_group(0);
    let mut child = command.spawn()?;
    let ended = wait(&mut child, time)?;
    if ended.is_none() {
        for signal in [Signal::TERM, Signal::KILL] {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(Pid::from_child(&child), signal);
            if wait(&mut child, GRACE)?.is_some() {
                break;
            }
        }
    }
    Ok(ended)
}

/// The same with a text on its standard input.
pub(super) fn with_input(command: &mut Command, file: &Path, text: &str) -> io::Result<()> {
    std::fs::write(file, text)?;
    command.stdin(Stdio::from(File::open(file)?));
    Ok(())
}

fn wait(child: &mut Child, time: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            None if started.elapsed() < time => thread::sleep(Duration::from_millis(4)),
            ended => return Ok(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_ended() {
        let home = tempfile::tempdir().unwrap();
        let (out, err) = (home.path().join("out"), home.path().join("err"));
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let ended = run(shell("echo said; exit 3"), &out, &err, Duration::from_secs(20)).unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(3));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "said\n");
        let started = Instant::now();
        let stubborn = shell("trap '' TERM; echo $$; sleep 60 & wait; wait");
        assert_eq!(run(stubborn, &out, &err, Duration::from_millis(300)).unwrap(), None);
        assert!(started.elapsed() < Duration::from_secs(20));
        let pid: i32 = std::fs::read_to_string(&out).unwrap().trim().parse().unwrap();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
