//! Tells one thing that is alive to end, and why.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::model::Refusal;

/// Closed once, by anyone; waited for by the one task that serves the thing.
#[derive(Debug, Default)]
pub(super) struct Closer {
    why: OnceLock<Refusal>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    waker: Option<Waker>,
    /// It has ended: nobody is left to be told.
    over: bool,
}

impl Closer {
    /// Closes it, and says whether someone is there who was not told before. A second reason is
    /// not heard.
    pub(super) fn close(&self, why: Refusal) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.over || self.why.set(why).is_err() {
            return false;
        }
        let waker = waiting.waker.take();
        drop(waiting);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// It has ended. Answers whether it had been told to.
    pub(super) fn end(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.why.get().is_some()
    }

    /// Why it was closed, if it was.
    pub(super) fn why(&self) -> Option<&Refusal> {
        self.why.get()
    }

    /// Waits until it is closed.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<&Refusal> {
        if let Some(why) = self.why.get() {
            return Poll::Ready(why);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            waiting.waker = Some(cx.waker().clone());
        }
        drop(waiting);
        self.why.get().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until it is closed, and answers why.
    pub(super) async fn closed(&self) -> Refusal {
        std::future::poll_fn(|cx| self.poll(cx).map(Clone::clone)).await
    }
}
