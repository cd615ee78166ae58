//! The destination of the sidecars' agents: it answers every request, whatever it asks.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::Failure;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Starts it on this runtime.
pub(crate) async fn start() -> Result<SocketAddr, Failure> {
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
