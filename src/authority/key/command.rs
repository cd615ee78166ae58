use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{KeyError, parse};
use crate::model::Secret;

/// A command that asks a person for a touch or a password needs a while.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a command, without a shell, and reads the key from its standard output. Its standard
/// error is the caller's.
pub(super) fn read(argv: &[String]) -> Result<Secret, KeyError> {
    read_within(argv, TIMEOUT)
}

fn read_within(argv: &[String], timeout: Duration) -> Result<Secret, KeyError> {
    let program = argv.first().cloned().unwrap_or_default();
    let failed = |why: String| KeyError::Command { program: program.clone(), why };
    let (name, arguments) = argv.split_first().ok_or_else(|| failed("is empty".into()))?;
    let mut child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let end = Instant::now() + timeout;
    let Some(text) = output(&mut child, timeout) else {
        stop(&mut child);
        return Err(failed(format!("gave no answer within {} s", timeout.as_secs())));
    };
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(failed(format!("failed ({status})"))),
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                stop(&mut child);
                return Err(failed(format!("did not end within {} s", timeout.as_secs())));
            }
            Err(error) => return Err(failed(format!("cannot be waited for: {error}"))),
        }
    }
    parse(&text, || format!("the output of the key command {program:?}"))
}

/// What the command writes, to its end; `None` if that takes too long or cannot be read.
fn output(child: &mut Child, timeout: Duration) -> Option<Zeroizing<Vec<u8>>> {
    let stdout = child.stdout.take()?;
    let (give, take) = mpsc::channel();
    // A thread of its own, which a command that closes nothing may keep: reading has no timeout.
    thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        if stdout.take(4096).read_to_end(&mut text).is_ok() {
            drop(give.send(text));
        }
    });
    take.recv_timeout(timeout).ok()
}

fn stop(child: &mut Child) {
    // It may have ended by itself; either way there is nothing more to do about it.
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(argv: &[&str], timeout: Duration) -> Result<Secret, KeyError> {
        let argv: Vec<String> = argv.iter().map(|&part| part.to_owned()).collect();
        read_within(&argv, timeout)
    }

    #[test]
    fn a_command_gives_the_key_or_says_why_not() {
        let (long, short) = (Duration::from_secs(20), Duration::from_millis(300));
        let key = run(&["echo", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="], long).unwrap();
        assert_eq!(key.expose(), [1; 32]);
        for (argv, timeout, why) in [
            (&["false"][..], long, "failed"),
            (&["/nonexistent/key-command"], long, "cannot be started"),
            (&["sleep", "9"], short, "no answer"),
            (&["sh", "-c", "exec >&-; sleep 9"], Duration::from_secs(2), "did not end"),
            (&["echo", "hunter2"], long, "does not hold a key"),
            (&[], long, "is empty"),
        ] {
            let error = run(argv, timeout).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }
}
