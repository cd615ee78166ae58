//! What the agent reads: a refusal as JSON, or the destination's answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};

use super::findings::Findings;
use super::live::{Download, DownloadError};
use crate::identity::CHALLENGE;
use crate::model::{Code, Refusal, TraceId};

/// `X-Nexus-Error`: the code of a refusal, removed from what destinations answer.
pub(super) const X_NEXUS_ERROR: HeaderName = HeaderName::from_static("x-nexus-error");
/// `Proxy-Status` (RFC 9209).
pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// `x-should-retry`: read by the SDKs of several vendors.
pub(super) const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The body that hyper's server sends.
pub(super) struct Answer {
    body: AnswerBody,
    /// Ends the request's turn on its connection.
    turn: Option<Turn>,
}

enum AnswerBody {
    Fixed(Bytes),
    Download(Box<Download>),
}

/// Tells the head reader, when it is dropped, that the request was answered.
pub(super) struct Turn {
    findings: Arc<Findings>,
    number: u64,
}

impl Turn {
    /// A request's turn on its connection.
    pub(super) fn of(findings: &Arc<Findings>) -> Self {
        Self { findings: Arc::clone(findings), number: findings.next_turn() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.findings.pulled_last(self.number);
        self.findings.request_over();
    }
}

impl Answer {
    pub(super) fn empty() -> Self {
        Self { body: AnswerBody::Fixed(Bytes::new()), turn: None }
    }

    pub(super) fn fixed(bytes: Bytes) -> Self {
        Self { body: AnswerBody::Fixed(bytes), turn: None }
    }

    pub(super) fn download(download: Download) -> Self {
        Self { body: AnswerBody::Download(Box::new(download)), turn: None }
    }

    /// Keeps the request's turn until the last byte.
    pub(super) fn hold(&mut self, turn: Turn) {
        turn.findings.pulled(turn.number);
        self.turn = Some(turn);
    }
}

/// The rule that refused, if one did; of a refusal that a rule may change, who says which.
fn details(refusal: &Refusal, trace: TraceId) -> serde_json::Value {
    let mut details = serde_json::Map::new();
    if let Some(rule) = refusal.rule() {
        details.insert("rule".to_owned(), rule.into());
    }
    if let Some(page) = refusal.page() {
        details.insert("reconnect_url".to_owned(), page.into());
    }
    if refusal.code() == Code::PolicyDenied {
        details.insert("next".to_owned(), format!("nexus-sidecar why {trace}").into());
    }
    details.into()
}

/// The answer to a refusal: the error shape of the Nexus Agent Exchange Protocol.
pub(super) fn refuse(refusal: &Refusal, trace: TraceId) -> Response<Answer> {
    let code = refusal.code();
    let body = serde_json::json!({
        "error": {
            "code": code.as_str(),
            "message": refusal.message(),
            "details": details(refusal, trace),
            "trace_id": trace.to_string(),
        }
    });
    let text = Bytes::from(format!("{body}\n"));
    let length = text.len();
    let mut response = Response::new(Answer { body: AnswerBody::Fixed(text), turn: None });
    *response.status_mut() = code.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_NEXUS_ERROR, HeaderValue::from_static(code.as_str()));
    let status = format!("nexus-sidecar; error={}; details=\"{}\"", code.proxy_status(), code.as_str());
    if let Ok(status) = HeaderValue::try_from(status) {
        headers.insert(PROXY_STATUS, status);
    }
    if !code.worth_retrying() {
        headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    match code {
        Code::ProxyAuthenticationRequired => {
            headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        Code::AuthorityUnavailable | Code::Unavailable => {
            let wait = refusal.retry_after().unwrap_or_default();
            let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(whole.max(1)));
        }
        _ => {}
    }
    response
}

/// Says that the connection ends with this answer (HTTP/1.1 alone).
pub(super) fn close_after(response: &mut Response<Answer>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

impl Body for Answer {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        if let Some(turn) = &self.turn {
            turn.findings.pulled(turn.number);
        }
        match &mut self.body {
            AnswerBody::Fixed(bytes) if bytes.is_empty() => Poll::Ready(None),
            AnswerBody::Fixed(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            AnswerBody::Download(download) => Pin::new(&mut **download).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            AnswerBody::Fixed(bytes) => bytes.is_empty(),
            AnswerBody::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            AnswerBody::Fixed(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or_default()),
            AnswerBody::Download(download) => download.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_all_that_it_may() {
        let refusal = Refusal::new(Code::PolicyDenied, "no rule allows it").with_log("10.0.0.1").with_rule("r");
        let response = refuse(&refusal, TraceId::from_random([7; 16]));
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()[X_NEXUS_ERROR], "POLICY_DENIED");
        assert_eq!(response.headers()[X_SHOULD_RETRY], "false");
        let AnswerBody::Fixed(body) = &response.body().body else { panic!("not fixed") };
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["error"]["code"], "POLICY_DENIED");
        assert_eq!(body["error"]["trace_id"], "07".repeat(16));
        assert_eq!(body["error"]["details"]["rule"], "r");
        assert_eq!(body["error"]["details"]["next"], format!("nexus-sidecar why {}", "07".repeat(16)));
        assert!(!body.to_string().contains("10.0.0.1"));
    }
}
