//! What ends a command early, and how it is said: once, as `error: …`, by [`super::main`].

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use super::exit;

/// An exit code and the whole message, causes included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Wrong usage or an invalid configuration.
    pub(super) fn usage(message: impl Display) -> Self {
        Self::with_code(exit::USAGE, message)
    }

    /// Anything else that went wrong.
    pub(super) fn failed(message: impl Display) -> Self {
        Self::with_code(exit::FAILED, message)
    }

    /// A failure with an exit code of its own.
    pub(super) fn with_code(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// An error with all its causes.
    pub(super) fn because(error: &(dyn Error + 'static)) -> Self {
        Self::failed(chain(error))
    }

    /// The same for an invalid configuration.
    pub(super) fn invalid(error: &(dyn Error + 'static)) -> Self {
        Self::usage(chain(error))
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> u8 {
        self.code
    }

    /// What is said of it.
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// Says what failed, on standard error, and answers the exit code.
pub(super) fn finish(result: Result<ExitCode, Failure>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(failure) => {
            say(&format!("error: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

/// Writes a line to standard error; a terminal that went away is no reason to fail.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// An error and its causes on one line. A cause that its parent already quotes is not repeated.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the store")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {path}: {source}")]
    struct Inner {
        path: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let inner = Inner { path: "/x", source: std::io::Error::other("disk on fire") };
        assert_eq!(chain(&Outer(inner)), "cannot open the store: cannot read /x: disk on fire");
    }

    #[test]
    fn each_kind_has_its_exit_code() {
        assert_eq!(Failure::usage("x").code, 2);
        assert_eq!(Failure::failed("x").code, 1);
        assert_eq!(Failure::with_code(127, "x").code, 127);
    }
}
