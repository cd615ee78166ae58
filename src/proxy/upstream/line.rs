//! One upstream connection in use, whichever protocol it speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use super::super::upload::Upload;
use crate::model::Destination;

/// A connection that one request uses.
pub(super) struct Line {
    pub(super) sender: Sender,
    received: Arc<AtomicU64>,
    reused: bool,
}

pub(super) enum Sender {
    H1(http1::SendRequest<Upload>),
    H2(http2::SendRequest<Upload>),
}

/// How an exchange failed.
pub(super) enum LineError {
    /// hyper hands the request back: nothing of it left.
    Unsent(Box<Request<Upload>>),
    /// It was under way.
    Died {
        error: hyper::Error,
        /// Not a byte of an answer had come.
        unanswered: bool,
    },
}

impl Line {
    pub(super) fn h1(sender: http1::SendRequest<Upload>, received: Arc<AtomicU64>, reused: bool) -> Self {
        Self { sender: Sender::H1(sender), received, reused }
    }

    pub(super) fn h2(sender: http2::SendRequest<Upload>, received: Arc<AtomicU64>, reused: bool) -> Self {
        Self { sender: Sender::H2(sender), received, reused }
    }

    /// It has served before.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn received(&self) -> &Arc<AtomicU64> {
        &self.received
    }

    /// Sends, and waits for the answer's head.
    pub(super) async fn exchange(
        &mut self,
        mut request: Request<Upload>,
        destination: &Destination,
    ) -> Result<Response<Incoming>, LineError> {
        shape(&mut request, destination, matches!(self.sender, Sender::H2(_)));
        let result = match &mut self.sender {
            Sender::H1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(LineError::Unsent(Box::new(request)));
                }
                let before = self.received.load(Ordering::Acquire);
                let result = sender.try_send_request(request).await;
                (result, before)
            }
            Sender::H2(sender) => {
                if sender.ready().await.is_err() {
                    return Err(LineError::Unsent(Box::new(request)));
                }
                // Any byte counts, of whatever stream: what the destination said meanwhile may have
                // been a reset of this one, and then it is not sent again.
                let before = self.received.load(Ordering::Acquire);
                (sender.try_send_request(request).await, before)
            }
        };
        let (result, before) = result;
        let unanswered = self.received.load(Ordering::Acquire) == before;
        result.map_err(|error| died(error, unanswered))
    }
}

fn died(mut error: TrySendError<Request<Upload>>, unanswered: bool) -> LineError {
    match error.take_message() {
        Some(request) => LineError::Unsent(Box::new(request)),
        None => LineError::Died { error: error.into_error(), unanswered },
    }
}

/// Puts target, authority and length where the protocol wants them. What leaves is built from
/// the grant: nothing of the agent's request line is forwarded.
fn shape(request: &mut Request<Upload>, destination: &Destination, h2: bool) {
    let target = request.uri().path_and_query().cloned();
    let length = request.body().size_hint().exact();
    let sends_body = length != Some(0) || matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if h2 {
        let parts = {
            let mut parts = http::uri::Parts::default();
            parts.scheme = destination.scheme().as_str().parse().ok();
            parts.authority = destination.authority().parse().ok();
            parts.path_and_query = target;
            parts
        };
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request.headers_mut().remove(HOST);
        // hyper's h2 client tells of no 100: the body goes without one.
        request.headers_mut().remove(EXPECT);
        request.body().go_on();
        *request.version_mut() = Version::HTTP_2;
    } else {
        if let Some(uri) = target.and_then(|target| Uri::try_from(target.as_str()).ok()) {
            *request.uri_mut() = uri;
        }
        if let Ok(host) = HeaderValue::try_from(destination.authority()) {
            request.headers_mut().insert(HOST, host);
        }
        if request.body().expects_continue() {
            request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        // What is about this hop has to be named so (RFC 9110, section 10.1.4).
        if request.headers().contains_key(TE) {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("te"));
        }
        // hyper takes a GET or HEAD of unknown length for one without a body, and drops it.
        if length.is_none() && matches!(*request.method(), Method::GET | Method::HEAD) {
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        *request.version_mut() = Version::HTTP_11;
    }
    if let (Some(length), true) = (length, sends_body) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
