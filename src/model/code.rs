use http::StatusCode;

/// The stable name of a refusal, used alike in answers, the audit, metrics and tests.
///
/// The table and its mapping to statuses are the Nexus Agent Exchange Protocol's, extended with
/// the codes of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// Malformed, ambiguous, or of a form that is never forwarded.
    InvalidRequest,
    /// The caller did not prove who it is.
    ProxyAuthenticationRequired,
    /// No rule allows it, or a rule denies it.
    PolicyDenied,
    /// The policy names a connection that nobody has made.
    ConnectionNotFound,
    /// The connection exists, but has no credentials yet.
    ConnectionNotReady,
    /// The connection was revoked.
    ConnectionRevoked,
    /// The connection's credentials have expired.
    ConnectionExpired,
    /// A person has to look at the connection.
    AttentionRequired,
    /// A credential or a setting of the strategy is missing, empty or malformed.
    CredentialUnusable,
    /// A body that has to be held whole is longer than the limit.
    BodyTooLarge,
    /// CONNECT target, SNI, URI and Host do not name one authority.
    MisdirectedRequest,
    /// Understood, and not done by this version.
    NotSupported,
    /// Something here went wrong; the log has the reason under the trace id.
    Internal,
    /// The destination could not be reached, or did not speak TLS or HTTP as it must.
    UpstreamFailed,
    /// The Authority could not be asked.
    AuthorityUnavailable,
    /// The destination did not answer in time.
    UpstreamTimeout,
    /// The agent's side was too slow or went away.
    RequestTimeout,
    /// The sidecar is shutting down, or is at a limit of its own.
    Unavailable,
}

impl Code {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 18] = [
        Self::InvalidRequest,
        Self::ProxyAuthenticationRequired,
        Self::PolicyDenied,
        Self::ConnectionNotFound,
        Self::ConnectionNotReady,
        Self::ConnectionRevoked,
        Self::ConnectionExpired,
        Self::AttentionRequired,
        Self::CredentialUnusable,
        Self::BodyTooLarge,
        Self::MisdirectedRequest,
        Self::NotSupported,
        Self::Internal,
        Self::UpstreamFailed,
        Self::AuthorityUnavailable,
        Self::UpstreamTimeout,
        Self::RequestTimeout,
        Self::Unavailable,
    ];

    /// Tells whether something broke, rather than that the agent or the policy is the reason.
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::CredentialUnusable
                | Self::Internal
                | Self::UpstreamFailed
                | Self::AuthorityUnavailable
                | Self::UpstreamTimeout
                | Self::RequestTimeout
                | Self::Unavailable
        )
    }

    /// Reads the name on the wire, regardless of case; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }

    /// The name on the wire, such as `POLICY_DENIED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::ProxyAuthenticationRequired => "PROXY_AUTHENTICATION_REQUIRED",
            Self::PolicyDenied => "POLICY_DENIED",
            Self::ConnectionNotFound => "CONNECTION_NOT_FOUND",
            Self::ConnectionNotReady => "CONNECTION_NOT_READY",
            Self::ConnectionRevoked => "CONNECTION_REVOKED",
            Self::ConnectionExpired => "CONNECTION_EXPIRED",
            Self::AttentionRequired => "ATTENTION_REQUIRED",
            Self::CredentialUnusable => "CREDENTIAL_UNUSABLE",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::MisdirectedRequest => "MISDIRECTED_REQUEST",
            Self::NotSupported => "NOT_SUPPORTED",
            Self::Internal => "INTERNAL",
            Self::UpstreamFailed => "UPSTREAM_FAILED",
            Self::AuthorityUnavailable => "AUTHORITY_UNAVAILABLE",
            Self::UpstreamTimeout => "UPSTREAM_TIMEOUT",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The HTTP status that carries it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::ProxyAuthenticationRequired => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::PolicyDenied => StatusCode::FORBIDDEN,
            Self::ConnectionNotFound => StatusCode::NOT_FOUND,
            Self::ConnectionNotReady | Self::AttentionRequired => StatusCode::CONFLICT,
            Self::ConnectionRevoked | Self::ConnectionExpired => StatusCode::GONE,
            Self::CredentialUnusable | Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MisdirectedRequest => StatusCode::MISDIRECTED_REQUEST,
            Self::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AuthorityUnavailable | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
    pub const fn proxy_status(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::BodyTooLarge | Self::MisdirectedRequest => "http_request_error",
            Self::ProxyAuthenticationRequired
            | Self::PolicyDenied
            | Self::ConnectionNotFound
            | Self::ConnectionNotReady
            | Self::ConnectionRevoked
            | Self::ConnectionExpired
            | Self::AttentionRequired
            | Self::NotSupported
            | Self::RequestTimeout => "http_request_denied",
            Self::CredentialUnusable | Self::Internal | Self::AuthorityUnavailable | Self::Unavailable => {
                "proxy_internal_error"
            }
            Self::UpstreamFailed => "destination_unavailable",
            Self::UpstreamTimeout => "http_response_timeout",
        }
    }

    /// Tells whether the same request may succeed a little later, with nothing changed by hand.
    pub const fn worth_retrying(self) -> bool {
        matches!(
            self,
            Self::UpstreamFailed
                | Self::UpstreamTimeout
                | Self::AuthorityUnavailable
                | Self::Unavailable
                | Self::RequestTimeout
                | Self::Internal
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_holds_each_code_at_its_own_place() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index, "{code:?}");
            assert_eq!(Code::parse(&code.as_str().to_lowercase()), Some(*code));
        }
        assert_eq!(Code::Unavailable as usize + 1, Code::ALL.len(), "a code was added behind the last one");
    }
}
