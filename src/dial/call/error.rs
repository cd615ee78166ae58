use std::error::Error;
use std::time::Duration;

use crate::dial::DialError;
use crate::model::Destination;

/// What keeps a call from being answered. Nothing of what was sent or heard is in it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not reached: nothing of the call left.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// `http`, where the caller speaks TLS alone: nothing left.
    #[error("cannot call {destination}: it would go in cleartext")]
    Cleartext {
        /// What was to be called.
        destination: Destination,
    },
    /// A kept line was asked to call elsewhere: nothing left.
    #[error("cannot call {destination} over a line to {line}")]
    Elsewhere {
        /// What was to be called.
        destination: Destination,
        /// Where the line ends.
        line: Destination,
    },
    /// The time is over.
    #[error("{destination} did not answer within {wait:?}")]
    Timeout {
        /// What was called.
        destination: Destination,
        /// How long it was waited for.
        wait: Duration,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("cannot hear the answer of {destination}")]
    Broken {
        /// What was called.
        destination: Destination,
        /// What went wrong with it.
        #[source]
        source: hyper::Error,
    },
    /// The answer is longer than what is waited for.
    #[error("the answer of {destination} is longer than {longest} bytes")]
    TooLong {
        /// What was called.
        destination: Destination,
        /// The most that is read.
        longest: usize,
    },
}

impl CallError {
    /// The error and its causes, on one line.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    }
}
