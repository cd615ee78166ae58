//! What an endpoint's answer means. Pure: the same answer always means the same.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::reply::Reply;
use super::{ErrorCode, RefreshError, RevokeError, Tokens, Why, expiry, retry_after};
use crate::dial::Answer;
use crate::model::Secret;

/// The longest name of a token type, and of a list of scopes, that is kept.
const LONGEST_TYPE: usize = 64;
const LONGEST_SCOPE: usize = 8 * 1024;

/// What counts of an answer.
pub(super) struct Heard {
    status: StatusCode,
    reply: Option<Reply>,
    code: Option<ErrorCode>,
    after: Option<Duration>,
}

impl Heard {
    /// Reads an answer to a call that held these secrets.
    pub(super) fn of<'a>(answer: &Answer, sent: impl IntoIterator<Item = &'a Secret>, now: SystemTime) -> Self {
        let reply = Reply::parse(&answer.body);
        let code = reply.as_ref().and_then(|reply| reply.text("error")).and_then(|text| ErrorCode::parse(text, sent));
        let after = retry_after::retry_after(&answer.headers, now);
        Self { status: answer.status, reply, code, after }
    }

    /// The status settles nothing, whatever else is said: the server is busy or broken, something
    /// between us answered, or it points elsewhere.
    fn is_unsettled(&self) -> bool {
        let status = self.status;
        !(status.is_success() || status.is_client_error())
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
    }

    /// A success in status and in words.
    fn is_success(&self) -> bool {
        self.status.is_success() && !self.reply.as_ref().is_some_and(|reply| reply.denies_itself() || reply.has_error())
    }

    fn temporary(&self) -> Option<Why> {
        let status = self.status;
        match &self.code {
            _ if self.is_unsettled() && self.code.is_none() => Some(Why::Status(status)),
            Some(code) if self.is_unsettled() || code.is_temporary() => Some(Why::Code { status, code: code.clone() }),
            _ => None,
        }
    }
}

/// What the answer to a refresh means.
pub(super) fn refresh(heard: Heard, asked_at: SystemTime) -> Result<Tokens, RefreshError> {
    let after = heard.after;
    if let Some(why) = heard.temporary() {
        return Err(RefreshError::Later { after, why });
    }
    let success = heard.is_success();
    let Heard { status, reply, code, .. } = heard;
    let Some(reply) = reply else {
        // A page that something else wrote says nothing about the refresh token.
        let why = if status.is_success() { Why::NotJson(status) } else { Why::Status(status) };
        return Err(RefreshError::Later { after, why });
    };
    if success {
        return tokens(&reply, asked_at).ok_or(RefreshError::Later { after, why: Why::NoToken(status) });
    }
    Err(match &code {
        Some(named) if named.is_about_the_client() => RefreshError::Misconfigured { status, code },
        // Without a code the status has to tell: who we are, or that this is no token endpoint.
        None if is_about_the_client(status) => RefreshError::Misconfigured { status, code },
        _ => RefreshError::Refused { status, code },
    })
}

fn is_about_the_client(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::GONE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
    )
}

fn tokens(reply: &Reply, asked_at: SystemTime) -> Option<Tokens> {
    Some(Tokens {
        access_token: token(reply, "access_token")?,
        refresh_token: token(reply, "refresh_token"),
        token_type: short(reply, "token_type", LONGEST_TYPE),
        scope: short(reply, "scope", LONGEST_SCOPE),
        expires_in: expiry::lifetime(reply),
        expires_at: expiry::end(reply, asked_at),
    })
}

/// A token: visible ASCII and blanks (RFC 6749, appendix A.12), so that it can be sent as it is.
fn token(reply: &Reply, name: &str) -> Option<Secret> {
    let text = reply.text(name)?;
    let sendable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) && text.trim() == text;
    sendable.then(|| Secret::new(text))
}

fn short(reply: &Reply, name: &str, longest: usize) -> Option<String> {
    let text = reply.text(name)?;
    (text.len() <= longest && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))).then(|| text.to_owned())
}

/// What the answer to a revocation means.
pub(super) fn revoke(heard: Heard) -> Result<(), RevokeError> {
    if let Some(why) = heard.temporary() {
        return Err(RevokeError::Later { after: heard.after, why });
    }
    if heard.is_success() {
        return Ok(());
    }
    let Heard { status, code, .. } = heard;
    match code.as_ref().map(ErrorCode::as_str) {
        Some("unsupported_token_type") => Err(RevokeError::UnsupportedTokenType),
        // RFC 7009 says 200 for a token that is not valid; some say so instead.
        Some("invalid_token" | "token_revoked") => Ok(()),
        _ => Err(RevokeError::Cannot { status, code }),
    }
}
