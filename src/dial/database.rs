//! The way to a database of the operator's: a socket of this machine, or TCP.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::{DialError, Word, connect, resolve, vetted};
use crate::model::{Destination, Host, Scheme};

/// A connection to a database.
pub enum DatabaseStream {
    /// Over the network.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
}

impl DatabaseStream {
    /// Connects to a host, on the operator's word: its addresses are taken as resolved.
    pub async fn tcp(host: &Host, port: u16, timeout: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        // Only errors show it, and those are told without it.
        let destination = Destination::new(Scheme::Https, host.clone(), port);
        let found = resolve::resolve(&destination, &BTreeMap::new(), deadline).await.map_err(plain)?;
        let vetted = vetted::vet(&destination, found, Word::Operator, &[]).map_err(plain)?;
        connect::connect(&destination, vetted, deadline).await.map(Self::Tcp).map_err(plain)
    }

    /// Connects to a socket of this machine.
    pub async fn unix(path: &Path, timeout: Duration) -> io::Result<Self> {
        match timeout_at(Instant::now() + timeout, UnixStream::connect(path)).await {
            Ok(result) => result.map(Self::Unix),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
        }
    }
}

/// The word of the system, without the name that the caller knows.
fn plain(error: DialError) -> io::Error {
    match error {
        DialError::Resolve { source, .. } | DialError::Connect { source, .. } | DialError::Tls { source, .. } => source,
        DialError::Timeout { .. } => io::ErrorKind::TimedOut.into(),
        // What an operator's word cannot meet.
        refused => io::Error::new(io::ErrorKind::PermissionDenied, refused.to_string()),
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl AsyncRead for DatabaseStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl AsyncWrite for DatabaseStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
