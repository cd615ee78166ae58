use std::fmt;

use crate::model::Secret;

/// The longest code that is passed on.
const LONGEST: usize = 48;

/// An error code of a token endpoint, such as `invalid_grant`: the one thing of its answer that is
/// told on.
///
/// The RFC lets a code be any visible ASCII (RFC 6749, section 5.2), which an endpoint could fill with
/// what it was sent. A code here is lower-case letters and underscores, short, and no part of
/// a secret that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct ErrorCode(Box<str>);

impl ErrorCode {
    /// Reads a code; `None` where it has another shape.
    pub(super) fn parse<'a>(text: &str, sent: impl IntoIterator<Item = &'a Secret>) -> Option<Self> {
        let shaped =
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let of_a_secret = |secret: &Secret| {
            let secret = secret.expose();
            secret.windows(text.len()).any(|part| part == text.as_bytes())
                || (!secret.is_empty() && text.as_bytes().windows(secret.len()).any(|part| part == secret))
        };
        (shaped && !sent.into_iter().any(of_a_secret)).then(|| Self(text.into()))
    }

    /// The code as it was written.
    pub(in crate::authority) fn as_str(&self) -> &str {
        &self.0
    }

    /// The endpoint is not well, or asks for patience: RFC 6749 (section 4.1.2.1), RFC 8628, and
    /// what vendors say with whatever status.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(
            self.as_str(),
            "temporarily_unavailable"
                | "server_error"
                | "slow_down"
                | "fatal_error"
                | "internal_error"
                | "internal_server_error"
                | "rate_limit_exceeded"
                | "rate_limited"
                | "ratelimited"
                | "request_timeout"
                | "service_unavailable"
                | "too_many_requests"
        )
    }

    /// It is about us and not about the user's consent: RFC 6749 (section 5.2), RFC 7009, RFC 8707,
    /// and what GitHub and Slack say instead.
    pub(super) fn is_about_the_client(&self) -> bool {
        matches!(
            self.as_str(),
            "invalid_client"
                | "unauthorized_client"
                | "unsupported_grant_type"
                | "invalid_request"
                | "invalid_scope"
                | "invalid_target"
                | "bad_client_secret"
                | "incorrect_client_credentials"
                | "invalid_client_id"
                | "invalid_client_secret"
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_codes_shape() {
        for text in ["invalid_grant", "ratelimited", "a"] {
            assert_eq!(ErrorCode::parse(text, []).unwrap().as_str(), text);
        }
        for text in ["", "Invalid", "two words", "rt-1", "https://x", "a\n", "é", &"a".repeat(LONGEST + 1)] {
            assert!(ErrorCode::parse(text, []).is_none(), "{text:?}");
        }
    }

    #[test]
    fn what_was_sent_does_not_come_back_as_a_code() {
        let secret = Secret::new("swordfish");
        for text in ["swordfish", "word", "my_swordfish_too"] {
            assert!(ErrorCode::parse(text, [&secret]).is_none(), "{text}");
        }
        assert!(ErrorCode::parse("invalid_grant", [&secret, &Secret::new("")]).is_some());
    }
}
