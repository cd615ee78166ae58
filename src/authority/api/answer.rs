//! What a call is answered with, and the bytes that it becomes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::Value;

use super::problem::{ApiCode, Problem, Surface};
use super::sse::Feed;
use crate::model::TraceId;

/// The trace id of a refusal, where the body's shape has no place for it.
pub(super) const TRACE: HeaderName = HeaderName::from_static("nexus-trace-id");

/// An answer before it is bytes.
pub(in crate::authority) struct Answer {
    status: StatusCode,
    content: Content,
    location: Option<String>,
}

enum Content {
    Nothing,
    Bytes(&'static str, Bytes),
    Events(Feed),
}

impl Answer {
    /// 200 with JSON.
    pub(in crate::authority) fn json(value: &Value) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// JSON with a status of its own.
    pub(in crate::authority) fn json_with(status: StatusCode, value: &Value) -> Self {
        Self { status, content: Content::Bytes("application/json", format!("{value}\n").into()), location: None }
    }

    /// 201 with what was made, and where it is.
    pub(in crate::authority) fn created(location: String, value: &Value) -> Self {
        Self { location: Some(location), ..Self::json_with(StatusCode::CREATED, value) }
    }

    /// 200 with text of another type.
    pub(super) fn text(kind: &'static str, text: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content: Content::Bytes(kind, text.into()), location: None }
    }

    /// 200 with bytes as they are.
    pub(super) fn bytes(kind: &'static str, bytes: Bytes) -> Self {
        Self { status: StatusCode::OK, content: Content::Bytes(kind, bytes), location: None }
    }

    /// 200 without a body, as the reference says that something was done.
    pub(in crate::authority) fn empty() -> Self {
        Self { status: StatusCode::OK, ..Self::done() }
    }

    /// 204.
    pub(in crate::authority) fn done() -> Self {
        Self { status: StatusCode::NO_CONTENT, content: Content::Nothing, location: None }
    }

    /// 200 with a stream of events.
    pub(in crate::authority) fn events(feed: Feed) -> Self {
        Self { status: StatusCode::OK, content: Content::Events(feed), location: None }
    }

    /// A refusal, in the shape of a surface.
    pub(super) fn refusal(problem: &Problem, surface: Surface, trace: TraceId) -> Response<AnswerBody> {
        let mut response = Self::json_with(problem.code.status(), &problem.body(surface, trace)).into_response();
        let headers = response.headers_mut();
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        set(TRACE, &trace.to_string());
        if let Some(allow) = problem.allow() {
            set(ALLOW, allow);
        }
        if let Some(seconds) = problem.seconds() {
            set(RETRY_AFTER, &seconds.to_string());
        }
        if problem.code == ApiCode::Unauthenticated {
            set(WWW_AUTHENTICATE, "Bearer realm=\"nexus\"");
        }
        response
    }

    /// Headers and body.
    pub(super) fn into_response(self) -> Response<AnswerBody> {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(LOCATION, location);
        }
        let body = match self.content {
            Content::Nothing => AnswerBody::Whole(Bytes::new()),
            Content::Bytes(kind, bytes) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                AnswerBody::Whole(bytes)
            }
            Content::Events(feed) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                AnswerBody::Events(feed)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// The bytes of an answer.
pub(super) enum AnswerBody {
    Whole(Bytes),
    Events(Feed),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Events(feed) => feed.poll_next(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or_default()),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
