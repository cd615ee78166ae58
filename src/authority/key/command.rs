use std::time::Duration;

use super::{KeyError, parse};
use crate::config::SecretCommand;
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
    let text = SecretCommand::attended(argv, timeout)
        .run()
        .map_err(|error| KeyError::Command { program: program.clone(), why: error.to_string() })?;
    parse(&text, || format!("the output of the key command {program:?}"))
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
