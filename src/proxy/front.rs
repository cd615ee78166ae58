//! The agents' side: what every accepted connection shares, and the accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::lifeline::Lifeline;
use super::pipeline::Pipeline;
use super::strict::StreamLimits;
use crate::tls::Leaves;

/// What listeners and connections share.
pub(crate) struct Front {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) leaves: Arc<Leaves>,
    pub(super) shutdown: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    /// Cloned into every task; the drain is over once the last clone is gone.
    tasks: mpsc::Sender<()>,
}

impl Front {
    /// Puts it together. `tasks` is the sender whose receiver the drain waits on.
    pub(crate) fn new(
        pipeline: Arc<Pipeline>,
        leaves: Arc<Leaves>,
        shutdown: watch::Receiver<bool>,
        tasks: mpsc::Sender<()>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(pipeline.limits.connections));
        Self { pipeline, leaves, shutdown, places, tasks }
    }

    pub(super) fn stream_limits(&self) -> StreamLimits {
        let (limits, timeouts) = (&self.pipeline.limits, &self.pipeline.timeouts);
        StreamLimits {
            head: limits.header,
            header: timeouts.header,
            keep_alive: timeouts.keep_alive,
            write: timeouts.body,
        }
    }

    /// Runs a task that the drain waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alive = self.tasks.clone();
        tokio::spawn(async move {
            task.await;
            drop(alive);
        });
    }

    /// Accepts until the shutdown. At the limit of connections it stops accepting: callers wait
    /// in the kernel's queue.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut shutdown = self.shutdown.clone();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&self.places).acquire_owned() => place,
                _ = shutdown.wait_for(|down| *down) => return,
            };
            let Ok(place) = place else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|down| *down) => return,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let front = Arc::clone(&self);
                    self.spawn(front.welcome(stream, remote, place));
                }
                Err(error) => {
                    // Out of descriptors, most likely: accepting again at once would spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn welcome(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, place: OwnedSemaphorePermit) {
        // 44 ms of every new connection, where it is missing.
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else { return };
        let line = Arc::new(Lifeline::holding(place));
        super::serve::explicit(self, stream, crate::identity::Peer { remote, local }, line).await;
    }
}
