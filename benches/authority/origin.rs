//! The destination of the sidecars' agents: it answers every request, whatever it asks.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::Failure;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Where it listens. A sidecar has upstream connections for each of its connections, and closes those
/// of one that was revoked: to one port, 200 sidecars would soon have used up all of their own.
const PORTS: usize = 8;

/// The destination's ports, of which each connection has one.
#[derive(Clone)]
pub(crate) struct Origin(Vec<SocketAddr>);

impl Origin {
    /// Starts it on this runtime.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let mut ports = Vec::with_capacity(PORTS);
        for _ in 0..PORTS {
            ports.push(listen().await?);
        }
        Ok(Self(ports))
    }

    /// The port for a connection.
    pub(crate) fn of(&self, connection: usize) -> SocketAddr {
        self.0[connection % self.0.len()]
    }
}

async fn listen() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::with_capacity(2048);
                // A sidecar that closes its connection is done with it.
                while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    while let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                        bytes.drain(..end + 4);
                        if stream.write_all(ANSWER).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok(address)
}
