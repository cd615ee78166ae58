//! The signals that end a service.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::failure::Failure;

/// SIGTERM and SIGINT: the first asks for a drain, the second ends it.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Runs a service, which is told to drain by what it is handed. Answers what it ended with; nothing
    /// where a second signal ended the drain.
    pub(super) async fn serve<F>(
        mut self,
        run: impl FnOnce(oneshot::Receiver<()>) -> F,
    ) -> Result<Option<F::Output>, Failure>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (drain, drained) = oneshot::channel();
        let mut serving = tokio::spawn(run(drained));
        let ended = tokio::select! {
            ended = &mut serving => ended.map(Some),
            () = self.asked() => {
                tracing::info!("draining");
                let _ = drain.send(());
                tokio::select! {
                    ended = &mut serving => ended.map(Some),
                    () = self.asked() => {
                        tracing::warn!("a second signal ends the drain");
                        Ok(None)
                    }
                }
            }
        };
        ended.map_err(|_| Failure::failed("the service stopped serving; the log has the reason"))
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
