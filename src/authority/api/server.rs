//! The Authority's listeners: accept, TLS, HTTP/1.1 and h2, and the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Api;
use super::handle::{Peer, handle};

/// Streams at once on one h2 connection.
const STREAMS: u32 = 128;

/// The longest head.
const HEAD: usize = 32 << 10;

/// Between two h2 pings, and how long an answer to one may take.
const PING: Duration = Duration::from_secs(30);

/// What the listeners share.
pub(super) struct Front {
    pub(super) api: Arc<Api>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) places: Arc<Semaphore>,
    pub(super) stop: watch::Receiver<bool>,
    /// Cloned into every connection: the drain is over once the last is gone.
    pub(super) alive: mpsc::Sender<()>,
}

impl Front {
    /// Accepts until the stop. At the limit of connections callers wait in the kernel's queue.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut stop = self.stop.clone();
        loop {
            let place = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                place = Arc::clone(&self.places).acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let (front, alive) = (Arc::clone(&self), self.alive.clone());
                    tokio::spawn(async move {
                        front.welcome(stream, remote, place).await;
                        drop(alive);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: accepting again at once would spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn welcome(&self, stream: TcpStream, remote: SocketAddr, _place: OwnedSemaphorePermit) {
        let _ = stream.set_nodelay(true);
        // A reader that takes nothing holds its place no longer than this.
        let stalled = u32::try_from(self.api.waits.stalled.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, stalled);
        let address = remote.ip();
        let Some(tls) = &self.tls else {
            return self.serve_h1(stream, Peer { address, certificate: None }).await;
        };
        let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
        let mut stop = self.stop.clone();
        let shaken = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            shaken = timeout(self.api.waits.handshake, handshake) => shaken,
        };
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        };
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let peer = Peer { address, certificate: shown.map(|leaf| Arc::from(leaf.as_ref())) };
        if session.alpn_protocol() == Some(b"h2") {
            self.serve_h2(stream, peer).await;
        } else {
            self.serve_h1(stream, peer).await;
        }
    }

    async fn serve_h1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, peer: Peer) {
        let service = service_fn(|request: Request<Incoming>| async {
            Ok::<_, Infallible>(handle(&self.api, &peer, request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.api.waits.header)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, |connection| connection.graceful_shutdown()).await;
    }

    async fn serve_h2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, peer: Peer) {
        let (api, peer) = (Arc::clone(&self.api), Arc::new(peer));
        let service = service_fn(move |request: Request<Incoming>| {
            let (api, peer) = (Arc::clone(&api), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(handle(&api, &peer, request).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(PING))
            .keep_alive_timeout(PING)
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, |connection| connection.graceful_shutdown()).await;
    }

    /// Serves until the connection ends. At the stop, what is under way is answered, and no more.
    async fn drive<C>(&self, connection: C, end: impl FnOnce(Pin<&mut C>) + Send)
    where
        C: Future<Output = Result<(), hyper::Error>> + Send,
    {
        let mut connection = std::pin::pin!(connection);
        let mut stop = self.stop.clone();
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stopped(&mut stop) => {
                end(connection.as_mut());
                tokio::select! {
                    result = connection.as_mut() => result,
                    () = tokio::time::sleep(self.api.waits.drain) => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// Waits for the stop, and holds on to nothing of it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
