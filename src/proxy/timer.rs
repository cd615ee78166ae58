//! A wait with an end, cheap where nothing has to be waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A deadline that costs a timer only where something has to be waited for: one sleep is kept
/// and, when it ends early, armed again for the rest.
#[derive(Debug, Default)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Starts the time if it is not running, and tells once it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + time);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                self.deadline = None;
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// What was waited for has come.
    pub(super) fn stop(&mut self) {
        self.deadline = None;
    }
}
