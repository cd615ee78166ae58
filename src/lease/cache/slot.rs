use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use crate::lease::LendError;
use crate::lease::breaker::Breaker;
use crate::lease::lent::Shared;

/// What is held for one question, and the one time that it is being asked.
pub(super) struct Slot {
    /// Tells it from all others of this process.
    pub(super) number: u64,
    current: ArcSwapOption<Shared>,
    /// Whether somebody wanted it since it was lent last.
    used: AtomicBool,
    wanted: Notify,
    state: Mutex<State>,
}

/// What is looked at by those who ask, and by nobody who finds it held.
#[derive(Default)]
pub(super) struct State {
    /// The question that is open.
    pub(super) flight: Option<Flight>,
    /// Whether a task looks after its renewal.
    pub(super) kept: bool,
    /// Others that were made since a destination refused some, and were refused too, in a row.
    pub(super) in_vain: u32,
    /// The version that was refused last though it was new.
    pub(super) judged: Option<u64>,
    /// Before this time since boot no others are made for a destination's refusal.
    pub(super) not_before: Duration,
    /// Of this question alone.
    pub(super) breaker: Breaker,
}

/// What was answered.
pub(super) type Answer = Result<Arc<Shared>, LendError>;

/// A question that is open, for whoever waits for its answer.
#[derive(Clone)]
pub(super) struct Flight {
    answer: watch::Receiver<Option<Answer>>,
    given_up: LendError,
    /// The version whose refusal by a destination the source was told of.
    pub(super) refused: Option<u64>,
}

impl Flight {
    /// A question, and where its answer goes; dropped without one, it was given up for this reason.
    pub(super) fn open(given_up: LendError, refused: Option<u64>) -> (Self, watch::Sender<Option<Answer>>) {
        let (sender, answer) = watch::channel(None);
        (Self { answer, given_up, refused }, sender)
    }

    pub(super) async fn answer(mut self) -> Answer {
        match self.answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(Err(self.given_up)),
            Err(_) => Err(self.given_up),
        }
    }

    fn is_open(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }
}

impl Default for Slot {
    fn default() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            current: ArcSwapOption::empty(),
            used: AtomicBool::new(false),
            wanted: Notify::new(),
            state: Mutex::default(),
        }
    }
}

impl Slot {
    /// What is held, unless it ended, or was refused and is being replaced. Notes that it is wanted.
    pub(super) fn held(&self) -> Option<Arc<Shared>> {
        let current = self.current.load();
        let shared = current.as_ref().filter(|shared| shared.deadline.is_ahead())?;
        if shared.shunned.load(Ordering::Relaxed) {
            return None;
        }
        if !self.used.load(Ordering::Relaxed) {
            self.mark_used();
        }
        Some(Arc::clone(shared))
    }

    /// The same, though it ended or is being replaced.
    pub(super) fn last(&self) -> Option<Arc<Shared>> {
        self.current.load_full()
    }

    pub(super) fn hold(&self, shared: &Arc<Shared>) {
        self.current.store(Some(Arc::clone(shared)));
        // Who looks after it plans anew.
        self.wanted.notify_one();
    }

    /// Forgets, and once nobody uses it any more wipes, what is held.
    pub(super) fn forget(&self) {
        self.current.store(None);
    }

    /// Notes that it is wanted.
    pub(super) fn mark_used(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// The same, for who wakes nobody by it.
    pub(super) fn still_wanted(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Waits until it is wanted, or something new is held.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Tells whether it was wanted since this was asked last.
    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether nothing of it needs to be remembered.
    pub(super) fn is_blank(&self) -> bool {
        !self.kept && self.judged.is_none() && self.open().is_none() && self.breaker.is_blank()
    }

    /// The question that is open, if one is.
    pub(super) fn open(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| flight.is_open())
    }
}
