use std::time::SystemTime;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a stub answers.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) media: &'static str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: String,
}

impl Reply {
    /// 200 with JSON.
    pub(super) fn json(value: &Value) -> Self {
        Self::of(StatusCode::OK, "application/json", value.to_string())
    }

    /// 200 with text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::of(StatusCode::OK, "text/plain", text.into())
    }

    /// Any status, with a text of this media type.
    pub(super) fn of(status: StatusCode, media: &'static str, body: String) -> Self {
        Self { status, media, headers: Vec::new(), body }
    }

    /// A refusal of the stub's, in words.
    pub(super) fn refuse(status: StatusCode, why: &str) -> Self {
        Self::of(status, "text/plain", format!("nexus-sidecar, which answers here: {why}\n"))
    }

    /// What this stub knows nothing of.
    pub(super) fn unknown() -> Self {
        Self::refuse(StatusCode::NOT_FOUND, "this stub has nothing at this path")
    }

    /// A method that is not asked with.
    pub(super) fn method() -> Self {
        Self::refuse(StatusCode::METHOD_NOT_ALLOWED, "this path is not asked with this method")
    }

    /// Another status.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// One more header.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

/// A moment in whole seconds, as AWS writes it.
pub(super) fn moment(time: SystemTime) -> String {
    let whole = OffsetDateTime::from(time).replace_nanosecond(0);
    whole.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
