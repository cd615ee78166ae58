use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::{Answer, Call, CallError, Streamed};
use crate::model::{Destination, Secret};

/// How we introduce ourselves; some services answer nobody who does not.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("nexus-sidecar/", env!("CARGO_PKG_VERSION")));

/// A connection that serves one call after the other; dropping it closes it.
pub struct Line {
    destination: Destination,
    sender: http1::SendRequest<Full<Bytes>>,
    running: Running,
    wait: Duration,
    longest: usize,
    used: bool,
}

/// The task that moves the connection's bytes; it ends with its owner.
pub(super) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How an exchange failed, and what is left of the call.
pub(super) enum Failed {
    /// Not a byte of it left: it may be sent elsewhere.
    Unsent(CallError),
    /// It was under way, and no head of an answer came.
    Unanswered(CallError),
}

impl Failed {
    fn into_error(self) -> CallError {
        match self {
            Self::Unsent(error) | Self::Unanswered(error) => error,
        }
    }
}

impl Line {
    pub(super) async fn start<S>(
        destination: &Destination,
        stream: S,
        wait: Duration,
        longest: usize,
    ) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) =
            handshake.map_err(|source| CallError::Broken { destination: destination.clone(), source })?;
        // How it ends is told to whoever waits for an answer.
        let running = Running(tokio::spawn(async move { drop(connection.await) }).abort_handle());
        Ok(Self { destination: destination.clone(), sender, running, wait, longest, used: false })
    }

    /// Tells whether the other side still holds its end, as far as is known.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// The next call, under a deadline of its own. After an error the line is of no more use.
    pub async fn call(&mut self, call: Call) -> Result<Answer, CallError> {
        let deadline = Instant::now() + self.wait;
        self.call_until(call, deadline).await
    }

    /// A last call, whose answer streams: `idle` bounds each wait for a piece of it.
    pub async fn stream(self, call: Call, idle: Duration) -> Result<Streamed, CallError> {
        let deadline = Instant::now() + self.wait;
        self.stream_until(call, deadline, idle).await
    }

    pub(super) async fn call_until(&mut self, call: Call, deadline: Instant) -> Result<Answer, CallError> {
        let response = self.exchange(call, deadline).await.map_err(Failed::into_error)?;
        self.read(response, deadline).await
    }

    pub(super) async fn stream_until(
        mut self,
        call: Call,
        deadline: Instant,
        idle: Duration,
    ) -> Result<Streamed, CallError> {
        let response = self.exchange(call, deadline).await.map_err(Failed::into_error)?;
        Ok(Streamed::new(response, self.destination, self.running, idle))
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// It has served before, and may have been closed meanwhile.
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    /// Sends, and waits for the answer's head.
    pub(super) async fn exchange(&mut self, call: Call, deadline: Instant) -> Result<Response<Incoming>, Failed> {
        if *call.url.destination() != self.destination {
            let destination = call.url.destination().clone();
            return Err(Failed::Unsent(CallError::Elsewhere { destination, line: self.destination.clone() }));
        }
        let request = request(call);
        let Self { destination, sender, wait, .. } = self;
        let broken = |source| CallError::Broken { destination: destination.clone(), source };
        let sending = async {
            sender.ready().await.map_err(|source| Failed::Unsent(broken(source)))?;
            sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
                Some(_) => Failed::Unsent(broken(error.into_error())),
                None => Failed::Unanswered(broken(error.into_error())),
            })
        };
        match timeout_at(deadline, sending).await {
            Ok(result) => result,
            Err(_) => Err(Failed::Unanswered(CallError::Timeout { destination: destination.clone(), wait: *wait })),
        }
    }

    /// Reads an answer to its end.
    pub(super) async fn read(&mut self, response: Response<Incoming>, deadline: Instant) -> Result<Answer, CallError> {
        let (parts, body) = response.into_parts();
        let too_long = || CallError::TooLong { destination: self.destination.clone(), longest: self.longest };
        if body.size_hint().lower() > u64::try_from(self.longest).unwrap_or(u64::MAX) {
            return Err(too_long());
        }
        let reading = timeout_at(deadline, Limited::new(body, self.longest).collect()).await;
        let late = |_| CallError::Timeout { destination: self.destination.clone(), wait: self.wait };
        let body = reading.map_err(late)?.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(source) => CallError::Broken { destination: self.destination.clone(), source: *source },
            Err(_) => too_long(),
        })?;
        self.used = true;
        Ok(Answer { status: parts.status, headers: parts.headers, body: Secret::new(body.to_bytes()) })
    }
}

fn request(call: Call) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body));
    *request.method_mut() = call.method;
    *request.uri_mut() = Uri::from(call.url.target().clone());
    *request.headers_mut() = call.headers;
    if let Ok(host) = HeaderValue::try_from(call.url.destination().authority()) {
        request.headers_mut().insert(HOST, host);
    }
    request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
    request
}
