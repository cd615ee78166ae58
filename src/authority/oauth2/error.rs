use std::time::Duration;

use http::StatusCode;

use super::{DeclarationError, ErrorCode};
use crate::dial::CallError;

/// What keeps tokens from being renewed.
#[derive(Debug, thiserror::Error)]
pub(in crate::authority) enum RefreshError {
    /// The refresh token is not good, or no longer: a person has to consent again.
    #[error("the token endpoint refuses the refresh token ({})", told(*status, code.as_ref()))]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// Its code, where it has one.
        code: Option<ErrorCode>,
    },
    /// The endpoint, or what we are registered as there, is not what the provider says: its
    /// document has to change.
    #[error("the token endpoint refuses this client or its request ({})", told(*status, code.as_ref()))]
    Misconfigured {
        /// The answer's status.
        status: StatusCode,
        /// Its code, where it has one.
        code: Option<ErrorCode>,
    },
    /// It could not even be asked.
    #[error("cannot ask the token endpoint: {what} is not text")]
    Unsendable {
        /// The secret that is meant.
        what: &'static str,
    },
    /// Nothing is known about the refresh token: to be tried again, not before `after`.
    #[error("the token endpoint gave no tokens")]
    Later {
        /// What the endpoint asked for, at most a day.
        after: Option<Duration>,
        /// What went wrong.
        #[source]
        why: Why,
    },
}

/// What keeps a token from being revoked by its provider.
#[derive(Debug, thiserror::Error)]
pub(in crate::authority) enum RevokeError {
    /// The provider has no revocation endpoint.
    #[error("the provider has no revocation endpoint")]
    Undeclared,
    /// Tokens of this kind cannot be revoked there (RFC 7009, section 2.2.1).
    #[error("the provider does not revoke tokens of this kind")]
    UnsupportedTokenType,
    /// It says no, and would say so again.
    #[error("the provider does not revoke the token ({})", told(*status, code.as_ref()))]
    Cannot {
        /// The answer's status.
        status: StatusCode,
        /// Its code, where it has one.
        code: Option<ErrorCode>,
    },
    /// The declared call cannot be made.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
    /// It could not even be asked.
    #[error("cannot ask the revocation endpoint: {what} is not text")]
    Unsendable {
        /// The secret that is meant.
        what: &'static str,
    },
    /// Nothing is known: to be tried again, not before `after`.
    #[error("the provider did not say that the token is revoked")]
    Later {
        /// What the endpoint asked for, at most a day.
        after: Option<Duration>,
        /// What went wrong.
        #[source]
        why: Why,
    },
}

/// Why nothing is known of the outcome.
#[derive(Debug, thiserror::Error)]
pub(in crate::authority) enum Why {
    /// There was no whole answer.
    #[error(transparent)]
    NoAnswer(CallError),
    /// A status that settles nothing.
    #[error("{}", told(*.0, None))]
    Status(StatusCode),
    /// A code that settles nothing.
    #[error("{}", told(*status, Some(code)))]
    Code {
        /// The answer's status.
        status: StatusCode,
        /// Its code.
        code: ErrorCode,
    },
    /// A success that is no JSON object.
    #[error("the answer is not a JSON object ({})", told(*.0, None))]
    NotJson(StatusCode),
    /// A success without an access token that could be sent.
    #[error("the answer has no access token of use ({})", told(*.0, None))]
    NoToken(StatusCode),
}

fn told(status: StatusCode, code: Option<&ErrorCode>) -> String {
    match code {
        Some(code) => format!("{code}, status {}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    }
}
