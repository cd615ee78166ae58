//! Tells one thing that is alive to end, and why.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::model::Refusal;

/// Closed once, by anyone; waited for by the one task that serves the thing.
#[derive(Debug, Default)]
pub(super) struct Closer {
    why: OnceLock<Refusal>,
    waiting: Mutex<Option<Waker>>,
}

impl Closer {
    /// Closes it. A second reason is not heard.
    pub(super) fn close(&self, why: Refusal) {
        if self.why.set(why).is_ok()
            && let Some(waker) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waker.wake();
        }
    }

    /// Waits until it is closed.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<&Refusal> {
        if let Some(why) = self.why.get() {
            return Poll::Ready(why);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        drop(waiting);
        self.why.get().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until it is closed, and answers why.
    pub(super) async fn closed(&self) -> Refusal {
        std::future::poll_fn(|cx| self.poll(cx).map(Clone::clone)).await
    }
}
