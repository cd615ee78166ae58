//! Why a call is not done, as callers read it: a stable code and its status, in the shape of the
//! surface that was called. No message quotes a credential.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::authority::StoreError;
use crate::model::TraceId;

/// The stable name of a refusal of the API. The table and its statuses are the Nexus Agent
/// Exchange Protocol's, extended with what this Authority knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::authority) enum ApiCode {
    InvalidArgument,
    UnsupportedVersion,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    ConnectionNotFound,
    ConnectionNotReady,
    ConnectionRevoked,
    ConnectionExpired,
    AttentionRequired,
    CredentialUnusable,
    PolicyDenied,
    /// The reference's word for whatever is not active; on its surface alone.
    NotActive,
    AuthorityUnavailable,
    /// An operator said that nothing is lent for now.
    AuthorityFrozen,
    UpstreamFailed,
    AgentNotFound,
    KeyNotFound,
    AgentRevoked,
    MethodNotAllowed,
    RequestTimeout,
    AlreadyExists,
    KeyRevoked,
    KeyExpired,
    BodyTooLarge,
    UnsupportedMediaType,
    RateLimited,
    Internal,
    Unavailable,
}

impl ApiCode {
    /// The name on the wire.
    pub(in crate::authority) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::UnsupportedVersion => "UNSUPPORTED_VERSION",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::ConnectionNotFound => "CONNECTION_NOT_FOUND",
            Self::AgentNotFound => "AGENT_NOT_FOUND",
            Self::KeyNotFound => "KEY_NOT_FOUND",
            Self::AgentRevoked => "AGENT_REVOKED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::ConnectionNotReady => "CONNECTION_NOT_READY",
            Self::ConnectionRevoked => "CONNECTION_REVOKED",
            Self::ConnectionExpired => "CONNECTION_EXPIRED",
            Self::AttentionRequired => "ATTENTION_REQUIRED",
            Self::CredentialUnusable => "CREDENTIAL_UNUSABLE",
            Self::PolicyDenied => "POLICY_DENIED",
            Self::NotActive => "CONNECTION_NOT_ACTIVE",
            Self::AuthorityUnavailable => "AUTHORITY_UNAVAILABLE",
            Self::AuthorityFrozen => "AUTHORITY_FROZEN",
            Self::UpstreamFailed => "UPSTREAM_FAILED",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::KeyRevoked => "KEY_REVOKED",
            Self::KeyExpired => "KEY_EXPIRED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The status that carries it.
    pub(in crate::authority) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::UnsupportedVersion => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied | Self::PolicyDenied | Self::NotActive => StatusCode::FORBIDDEN,
            Self::NotFound | Self::ConnectionNotFound | Self::AgentNotFound | Self::KeyNotFound => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::AlreadyExists | Self::AgentRevoked | Self::ConnectionNotReady | Self::AttentionRequired => {
                StatusCode::CONFLICT
            }
            Self::ConnectionRevoked | Self::ConnectionExpired | Self::KeyRevoked | Self::KeyExpired => StatusCode::GONE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::CredentialUnusable | Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::Unavailable | Self::AuthorityUnavailable | Self::AuthorityFrozen => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Which shape a refusal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Surface {
    /// The reference's calls: `{"error", "message"}`.
    Old,
    /// Everything new: `{"error": {"code", "message", "details", "trace_id"}}`.
    New,
}

impl Surface {
    /// The surface of a path that no endpoint has.
    pub(super) fn of(path: &str) -> Self {
        let old = ["/v1", "/auth", "/providers", "/connections", "/audit"];
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if old.into_iter().any(below) { Self::Old } else { Self::New }
    }
}

/// A call that is not done.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::authority) struct Problem {
    pub(super) code: ApiCode,
    said: Box<Said>,
}

/// What is said of it, to whom.
#[derive(Debug, Clone, PartialEq, Default)]
struct Said {
    message: String,
    details: Map<String, Value>,
    old_name: Option<&'static str>,
    allow: Option<String>,
    retry_after: Option<u64>,
    log: Option<String>,
}

impl Problem {
    pub(in crate::authority) fn new(code: ApiCode, message: impl Into<String>) -> Self {
        Self { code, said: Box::new(Said { message: message.into(), ..Said::default() }) }
    }

    /// A mistake in what was sent.
    pub(in crate::authority) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ApiCode::InvalidArgument, message)
    }

    /// Something went wrong here: the caller gets the trace id, the log the reason.
    pub(in crate::authority) fn internal(log: impl std::fmt::Display) -> Self {
        Self::new(ApiCode::Internal, "something went wrong here: the log has the reason under the trace id")
            .with_log(log)
    }

    /// Adds a fact for programs.
    #[must_use]
    pub(in crate::authority) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.said.details.insert(name.to_owned(), value.into());
        self
    }

    /// The reference's name for it, where that is not the code in lower case.
    #[must_use]
    pub(in crate::authority) fn known_as(mut self, name: &'static str) -> Self {
        self.said.old_name = Some(name);
        self
    }

    /// The same under another code.
    #[must_use]
    pub(super) fn under(self, code: ApiCode) -> Self {
        Self { code, ..self }
    }

    /// Adds what the log says of it, and no caller reads.
    #[must_use]
    pub(in crate::authority) fn with_log(mut self, log: impl std::fmt::Display) -> Self {
        self.said.log = Some(log.to_string());
        self
    }

    /// Says after how many seconds it is worth another try.
    #[must_use]
    pub(in crate::authority) fn retry_after(mut self, seconds: u64) -> Self {
        self.said.retry_after = Some(seconds);
        self
    }

    /// Says which methods there are.
    #[must_use]
    pub(super) fn allowing(mut self, methods: String) -> Self {
        self.said.allow = Some(methods);
        self
    }

    /// Its headers and its line in the log.
    pub(super) fn allow(&self) -> Option<&str> {
        self.said.allow.as_deref()
    }

    pub(super) fn seconds(&self) -> Option<u64> {
        self.said.retry_after
    }

    pub(super) fn log(&self) -> Option<&str> {
        self.said.log.as_deref()
    }

    /// The body, in the shape of a surface.
    pub(super) fn body(&self, surface: Surface, trace: TraceId) -> Value {
        match surface {
            Surface::Old => {
                let name = self.said.old_name.map_or_else(|| self.code.as_str().to_ascii_lowercase(), str::to_owned);
                json!({ "error": name, "message": self.said.message })
            }
            Surface::New => json!({ "error": {
                "code": self.code.as_str(),
                "message": self.said.message,
                "details": self.said.details,
                "trace_id": trace.to_string(),
            } }),
        }
    }
}

impl From<StoreError> for Problem {
    /// What is there and cannot be read is a defect; the rest may be better in a moment.
    fn from(error: StoreError) -> Self {
        let log = chain(&error);
        match error {
            StoreError::Damaged { .. } | StoreError::Column { .. } | StoreError::Panicked => Self::internal(log),
            _ => Self::new(ApiCode::Unavailable, "the store cannot be used at present").with_log(log).retry_after(1),
        }
    }
}

/// An error and its causes, for the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_surface_has_its_shape() {
        let trace = TraceId::from_random([7; 16]);
        let problem = Problem::new(ApiCode::ConnectionNotFound, "there is none").with("name", "x");
        assert_eq!(
            problem.body(Surface::Old, trace),
            json!({"error": "connection_not_found", "message": "there is none"})
        );
        assert_eq!(
            problem.body(Surface::New, trace),
            json!({"error": {
                "code": "CONNECTION_NOT_FOUND",
                "message": "there is none",
                "details": {"name": "x"},
                "trace_id": "07".repeat(16),
            }})
        );
        assert_eq!(problem.known_as("other").body(Surface::Old, trace)["error"], "other");
    }

    #[test]
    fn paths_without_an_endpoint_have_the_shape_of_their_neighbours() {
        for path in ["/v1", "/v1/x", "/auth/callback", "/providers", "/connections/1/token", "/audit"] {
            assert_eq!(Surface::of(path), Surface::Old, "{path}");
        }
        for path in ["/", "/api/v2/x", "/v10", "/health", "/auditor", "", "*"] {
            assert_eq!(Surface::of(path), Surface::New, "{path}");
        }
    }

    #[test]
    fn what_is_for_the_log_is_not_in_the_answer() {
        let problem = Problem::internal("disk on fire");
        assert!(!problem.body(Surface::New, TraceId::from_random([0; 16])).to_string().contains("fire"));
        assert_eq!(problem.log(), Some("disk on fire"));
    }
}
