//! What goes on beside requests: sweeping, revocation, and the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::proxy::Pipeline;

/// Sources have this long to give back what they hold.
const CLOSE: Duration = Duration::from_secs(3);

/// Between two sweeps of the pool.
const CHORES: Duration = Duration::from_secs(5);

/// Drops idle upstream connections, for as long as it is polled.
pub(super) async fn chores(pipeline: Arc<Pipeline>) {
    loop {
        tokio::time::sleep(CHORES).await;
        pipeline.sweep();
    }
}

/// Follows the changes of every source and closes what uses a connection that is gone; and what its
/// source has to be listened to for.
pub(super) async fn sources(pipeline: Arc<Pipeline>) {
    let mut all = JoinSet::new();
    for source in pipeline.leases.sources() {
        all.spawn(revocations(Arc::clone(&pipeline), source.lender.changes()));
        all.spawn(gone(Arc::clone(&pipeline), source.lender.changes()));
        let lender = Arc::clone(&source.lender);
        all.spawn(async move { lender.follow().await });
    }
    while all.join_next().await.is_some() {}
}

async fn revocations(pipeline: Arc<Pipeline>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        pipeline.close_revoked().await;
    }
}

/// Closes at once what needs no question, so that no slow answer about one connection keeps
/// another open.
async fn gone(pipeline: Arc<Pipeline>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        pipeline.close_gone();
    }
}

/// Stops accepting, lets what is alive end, and closes the rest once `timeouts.drain` is over.
pub(super) async fn drain(pipeline: &Pipeline, stop: &watch::Sender<bool>, mut all_gone: mpsc::Receiver<()>) {
    stop.send_replace(true);
    let gone = async { while all_gone.recv().await.is_some() {} };
    let mut gone = std::pin::pin!(gone);
    if tokio::time::timeout(pipeline.timeouts.drain, &mut gone).await.is_ok() {
        return;
    }
    let (requests, tunnels) = pipeline.alive();
    tracing::warn!(requests, tunnels, "the drain is over: closing what is still alive");
    pipeline.close_all();
    // What was told to close needs a moment to write its outcome.
    let _ = tokio::time::timeout(Duration::from_secs(1), gone).await;
}

/// Lets every source give back what it holds elsewhere. What is not given back in time ends by
/// itself.
pub(super) async fn close(pipeline: &Pipeline) {
    let mut all = JoinSet::new();
    for source in pipeline.leases.sources() {
        let lender = Arc::clone(&source.lender);
        all.spawn(async move { lender.close().await });
    }
    let closed = async { while all.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSE, closed).await.is_err() {
        tracing::warn!("a source did not take back in time what was borrowed of it");
    }
}
