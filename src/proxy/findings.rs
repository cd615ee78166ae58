//! What the head reader and the service behind hyper tell each other about one connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::head::Malformed;

/// What the reader found, for the service behind hyper: which head was malformed, and why.
#[derive(Debug)]
pub(super) struct Findings {
    malformed: OnceLock<(u64, Malformed)>,
    served: AtomicU64,
    answered: AtomicU64,
    opened: Instant,
    /// When the last answer ended, in microseconds after `opened`.
    last_over: AtomicU64,
    /// Who waits for the answer to a CONNECT.
    waiting: Mutex<Option<Waker>>,
    /// When each answer under way was last asked for a piece of its body.
    pulled: Mutex<HashMap<u64, Instant>>,
    turns: AtomicU64,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            malformed: OnceLock::new(),
            served: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            opened: Instant::now(),
            last_over: AtomicU64::new(0),
            waiting: Mutex::default(),
            pulled: Mutex::default(),
            turns: AtomicU64::new(0),
        }
    }
}

impl Findings {
    /// Counts a request that hyper hands over; answers why it is refused, if it stands for a
    /// malformed head.
    pub(super) fn next_request(&self) -> Option<Malformed> {
        let number = self.served.fetch_add(1, Ordering::AcqRel);
        self.malformed.get().filter(|(at, _)| *at == number).map(|(_, why)| *why)
    }

    /// Notes that the head of this number, or the body behind it, is malformed. Nothing is examined
    /// after it, so that a second finding cannot come.
    pub(super) fn note(&self, number: u64, why: Malformed) {
        let _ = self.malformed.set((number, why));
    }

    /// Why the body of a request that is under way broke off, if its framing was at fault.
    pub(super) fn broken_body(&self) -> Option<Malformed> {
        self.found().filter(|why| *why == Malformed::Chunk)
    }

    /// What was malformed, wherever it was.
    pub(super) fn found(&self) -> Option<Malformed> {
        self.malformed.get().map(|(_, why)| *why)
    }

    /// A request was answered to its last byte, or given up.
    pub(super) fn request_over(&self) {
        let now = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_over.store(now, Ordering::Release);
        self.answered.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// A number that no other answer of this connection has.
    pub(super) fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// An answer's body is asked for a piece.
    pub(super) fn pulled(&self, answer: u64) {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).insert(answer, Instant::now());
    }

    /// An answer's body is over.
    pub(super) fn pulled_last(&self, answer: u64) {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).remove(&answer);
    }

    /// Some answer was not asked for a piece for so long: its agent gives its stream no window.
    pub(super) fn is_stalled(&self, time: Duration) -> bool {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).values().any(|last| last.elapsed() > time)
    }

    /// Waits until so many requests are answered.
    pub(super) fn poll_answered(&self, cx: &Context<'_>, count: u64) -> Poll<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.answered() >= count {
            return Poll::Ready(());
        }
        *waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How long nothing was asked.
    pub(super) fn idle_for(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_micros(self.last_over.load(Ordering::Acquire)))
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// A request is being answered.
    pub(super) fn busy(&self) -> bool {
        self.served() > self.answered()
    }

    /// How many requests hyper has handed over.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Acquire)
    }
}
