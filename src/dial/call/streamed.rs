use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::CallError;
use super::line::Running;
use crate::model::Destination;

/// An answer whose body is read piece by piece, such as a stream of events; dropping it closes
/// its connection.
pub struct Streamed {
    /// The status; a redirect's too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    destination: Destination,
    idle: Duration,
    _running: Running,
}

impl Streamed {
    pub(super) fn new(
        response: Response<Incoming>,
        destination: Destination,
        running: Running,
        idle: Duration,
    ) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, destination, idle, _running: running }
    }

    /// The next piece, never empty, or `None` where the answer is complete. A silence longer than
    /// the idle time is a [`CallError::Timeout`].
    ///
    /// Whoever stops waiting (in a `select!`) loses nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let late = |_| CallError::Timeout { destination: self.destination.clone(), wait: self.idle };
            let frame = match timeout(self.idle, self.body.frame()).await.map_err(late)? {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(source)) => {
                    return Err(CallError::Broken { destination: self.destination.clone(), source });
                }
            };
            match frame.into_data() {
                Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
                // Trailers.
                _ => {}
            }
        }
    }
}
