//! Cuts an agent's connection whose requests were told to end and cannot.
//!
//! A request that is closed ends when its answer's body is next asked for. While an agent does not
//! read, nobody asks: the destination, the credential on its way there and the record would stay
//! open for as long as the agent likes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

/// The time that what was closed has to end by itself.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// Shared by a connection and the requests on it.
#[derive(Debug, Default)]
pub(super) struct Lifeline {
    /// Requests that were told to end and have not.
    owed: AtomicI64,
    told: Notify,
    /// Counts against `limits.connections`, whatever became of the connection: a tunnel is one too.
    _place: Option<OwnedSemaphorePermit>,
}

impl Lifeline {
    /// Of an accepted connection, with its place among them.
    pub(super) fn holding(place: OwnedSemaphorePermit) -> Self {
        Self { _place: Some(place), ..Self::default() }
    }

    /// A request on this connection was told to end.
    pub(super) fn owe(&self) {
        self.owed.fetch_add(1, Ordering::AcqRel);
        self.told.notify_one();
    }

    /// One that was told has ended.
    pub(super) fn settle(&self) {
        self.owed.fetch_sub(1, Ordering::AcqRel);
    }

    /// Waits until a request that was told to end has had its time and is still there.
    pub(super) async fn overdue(&self) {
        loop {
            self.told.notified().await;
            tokio::time::sleep(GRACE).await;
            if self.owed.load(Ordering::Acquire) > 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_stays_is_overdue() {
        let line = Lifeline::default();
        line.owe();
        line.settle();
        assert!(tokio::time::timeout(GRACE * 2, line.overdue()).await.is_err());
        line.owe();
        assert!(tokio::time::timeout(GRACE * 2, line.overdue()).await.is_ok());
    }
}
