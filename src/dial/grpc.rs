//! Calls in gRPC over a Unix socket (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): what
//! an agent of this machine is asked. Messages are bytes here; each is wiped when it is dropped.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::model::Secret;

/// The longest message that is read.
const LONGEST: usize = 1 << 20;
/// Before each message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Where an agent listens.
#[derive(Clone, Debug)]
pub struct GrpcSocket {
    path: PathBuf,
    wait: Duration,
}

/// What keeps a call from being answered. Nothing of what was heard is in it.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Nobody is there.
    #[error("cannot connect to {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The time is over.
    #[error("{path} did not answer within {wait:?}")]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        wait: Duration,
    },
    /// The connection broke, or what came is not HTTP/2.
    #[error("cannot hear the answer of {path}: {source}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: hyper::Error,
    },
    /// What came is not gRPC, or longer than is read.
    #[error("the answer of {path} is none in gRPC")]
    Garbled {
        /// The socket.
        path: PathBuf,
    },
    /// The agent answered with a status other than 0.
    #[error("{path} answered with status {code}")]
    Status {
        /// The socket.
        path: PathBuf,
        /// `grpc-status`.
        code: u32,
    },
}

/// A stream of messages; dropping it closes its connection.
pub struct GrpcStream {
    path: PathBuf,
    body: Incoming,
    head: HeaderMap,
    read: Zeroizing<Vec<u8>>,
    _running: Running,
}

/// The task that moves the connection's bytes; it ends with its owner.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl GrpcSocket {
    /// The socket at a path; `wait` bounds a call, and the time until a stream begins.
    pub fn new(path: &Path, wait: Duration) -> Self {
        Self { path: path.to_owned(), wait }
    }

    /// One message there, one back, over a connection of its own.
    pub async fn call(
        &self,
        method: &'static str,
        header: (HeaderName, HeaderValue),
        message: &[u8],
    ) -> Result<Secret, GrpcError> {
        let calling = async {
            let mut stream = self.open(method, header, message).await?;
            let message = stream.next().await?.ok_or_else(|| self.garbled())?;
            // The status stands behind it.
            match stream.next().await? {
                None => Ok(message),
                Some(_) => Err(self.garbled()),
            }
        };
        timeout(self.wait, calling).await.map_err(|_| self.late())?
    }

    /// One message there, and those that come back.
    pub async fn stream(
        &self,
        method: &'static str,
        header: (HeaderName, HeaderValue),
        message: &[u8],
    ) -> Result<GrpcStream, GrpcError> {
        timeout(self.wait, self.open(method, header, message)).await.map_err(|_| self.late())?
    }

    async fn open(
        &self,
        method: &'static str,
        (name, value): (HeaderName, HeaderValue),
        message: &[u8],
    ) -> Result<GrpcStream, GrpcError> {
        let connect = |source| GrpcError::Connect { path: self.path.clone(), source };
        let broken = |source| GrpcError::Broken { path: self.path.clone(), source };
        let stream = UnixStream::connect(&self.path).await.map_err(connect)?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(broken)?;
        let running = Running(tokio::spawn(async move { drop(connection.await) }).abort_handle());
        let length = u32::try_from(message.len()).map_err(|_| self.garbled())?;
        let body = [&[0], &length.to_be_bytes()[..], message].concat();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority("localhost")
            .path_and_query(method)
            .build()
            .map_err(|_| self.garbled())?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(name, value);
        let response = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if head.status != StatusCode::OK || !kind.starts_with(b"application/grpc") {
            return Err(self.garbled());
        }
        let read = Zeroizing::new(Vec::new());
        Ok(GrpcStream { path: self.path.clone(), body, head: head.headers, read, _running: running })
    }

    fn garbled(&self) -> GrpcError {
        GrpcError::Garbled { path: self.path.clone() }
    }

    fn late(&self) -> GrpcError {
        GrpcError::Timeout { path: self.path.clone(), wait: self.wait }
    }
}

impl GrpcStream {
    /// The next message, or `None` where all were sent.
    ///
    /// # Errors
    /// A status other than 0 too: it is where an agent says why it gives nothing.
    pub async fn next(&mut self) -> Result<Option<Secret>, GrpcError> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else {
                // Without a message, the status may stand in the head.
                return self.ended(&self.head.clone());
            };
            let frame = frame.map_err(|source| GrpcError::Broken { path: self.path.clone(), source })?;
            match frame.into_data() {
                Ok(piece) => self.read.extend_from_slice(&piece),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return self.ended(&trailers);
                }
            }
        }
    }

    /// The message that is there from its first byte to its last.
    fn whole(&mut self) -> Result<Option<Secret>, GrpcError> {
        let Some((prefix, rest)) = self.read.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if compressed != 0 || length > LONGEST {
            return Err(GrpcError::Garbled { path: self.path.clone() });
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let message = Secret::new(message);
        let rest = Zeroizing::new(rest.get(length..).unwrap_or_default().to_vec());
        self.read = rest;
        Ok(Some(message))
    }

    fn ended(&self, trailers: &HeaderMap) -> Result<Option<Secret>, GrpcError> {
        let status = trailers.get(STATUS).and_then(|status| status.to_str().ok()?.parse().ok());
        match status {
            Some(0) if self.read.is_empty() => Ok(None),
            Some(code @ 1..) => Err(GrpcError::Status { path: self.path.clone(), code }),
            _ => Err(GrpcError::Garbled { path: self.path.clone() }),
        }
    }
}
