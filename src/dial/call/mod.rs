//! Calls of our own: one HTTP/1.1 request and its answer, over a connection of this room.
//!
//! For token endpoints, key sets, hooks and other Authorities. It never follows a redirect (a
//! 3xx is an answer like any other, so that no secret goes where its sender did not send it),
//! never asks a proxy, never waits without an end, never reads an answer without one, and tells
//! nothing of what was said in its errors. Next: [`Caller`] for a call on a connection of its
//! own, [`Line`] and [`Kept`] for connections that last, [`Streamed`] for answers that do.

mod error;
mod kept;
mod line;
mod streamed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use tokio::time::Instant;

use super::{Dialer, Offer, Word};
use crate::model::{Destination, Scheme, Secret, Url};

pub use error::CallError;
pub use kept::Kept;
pub use line::Line;
pub use streamed::Streamed;

/// For a whole call, unless said otherwise: connecting, asking, and the last byte of the answer.
const WAIT: Duration = Duration::from_secs(20);

/// The longest answer that is read, unless said otherwise.
const LONGEST: usize = 256 * 1024;

/// Calls on somebody's word, within bounds.
#[derive(Clone)]
pub struct Caller {
    dialer: Arc<Dialer>,
    /// The networks beside the public ones; none where the operator's own word counts.
    networks: Option<Arc<[IpNet]>>,
    cleartext: bool,
    wait: Duration,
    longest: usize,
}

/// One request. It is sent as it is, with `host`, `content-length` and, unless it has its own,
/// `user-agent`.
#[derive(Clone)]
pub struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    repeatable: bool,
}

/// A whole answer, whatever its status. It prints as its status alone.
pub struct Answer {
    /// The status; a redirect's too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, which may hold tokens: wiped when dropped.
    pub body: Secret,
}

impl Caller {
    /// Calls addresses that came as data: public ones, and those in these networks.
    pub fn for_data(dialer: Arc<Dialer>, networks: Arc<[IpNet]>) -> Self {
        Self { dialer, networks: Some(networks), cleartext: false, wait: WAIT, longest: LONGEST }
    }

    /// Calls addresses that stand in the operator's configuration, wherever they are.
    pub fn for_operator(dialer: Arc<Dialer>) -> Self {
        Self { dialer, networks: None, cleartext: false, wait: WAIT, longest: LONGEST }
    }

    /// Lets `http` addresses through. Those that came as data are called in the listed networks
    /// alone: nothing goes in cleartext to a public address on the word of data.
    #[must_use]
    pub fn in_cleartext_too(mut self) -> Self {
        self.cleartext = true;
        self
    }

    /// For each whole call: connecting, asking, and the last byte of the answer (20 s).
    #[must_use]
    pub fn within(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The longest answer that is read, in bytes (256 KiB); one that is longer is an error.
    #[must_use]
    pub fn reading_up_to(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }

    /// One call on a connection of its own, which ends with it.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let deadline = self.deadline();
        let mut line = self.open_until(call.url.destination(), deadline).await?;
        line.call_until(call, deadline).await
    }

    /// A call whose answer streams, on a connection of its own: [`Caller::within`] bounds the
    /// time until its head, and `idle` each wait for a piece of its body.
    pub async fn stream(&self, call: Call, idle: Duration) -> Result<Streamed, CallError> {
        let deadline = self.deadline();
        let line = self.open_until(call.url.destination(), deadline).await?;
        line.stream_until(call, deadline, idle).await
    }

    /// A connection for several calls, one after the other.
    pub async fn open(&self, destination: &Destination) -> Result<Line, CallError> {
        self.open_until(destination, self.deadline()).await
    }

    async fn open_until(&self, destination: &Destination, deadline: Instant) -> Result<Line, CallError> {
        let word = match &self.networks {
            Some(networks) => Word::Data(networks),
            None => Word::Operator,
        };
        let opening = async {
            match destination.scheme() {
                Scheme::Https => {
                    let stream = self.dialer.tls(destination, word, Offer::Http1).await?;
                    Line::start(destination, stream, self.wait, self.longest).await
                }
                Scheme::Http if self.cleartext => {
                    let stream = self.dialer.tcp(destination, word).await?;
                    Line::start(destination, stream, self.wait, self.longest).await
                }
                Scheme::Http => Err(CallError::Cleartext { destination: destination.clone() }),
            }
        };
        let late = |_| CallError::Timeout { destination: destination.clone(), wait: self.wait };
        tokio::time::timeout_at(deadline, opening).await.map_err(late)?
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.wait
    }
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = method.is_safe();
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), repeatable }
    }

    /// `GET`.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// `POST`, its body wiped once it is sent.
    pub fn post(url: Url, media_type: &'static str, body: Secret) -> Self {
        Self::new(Method::POST, url).body(media_type, body)
    }

    /// A body, which is wiped once it is sent.
    #[must_use]
    pub fn body(mut self, media_type: &'static str, body: Secret) -> Self {
        self.body = Bytes::from_owner(Wiped(body));
        self.header(http::header::CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    /// Sets a header, replacing what was there.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Says that to be heard twice does no harm, as `GET` does by itself: [`Kept`] sends it again
    /// where a connection that had served before died without an answer.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Says that to be heard twice does harm, whatever the method: some services make something at
    /// a `GET`.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests;
