use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Where a store leaves the news that something may have been committed. Who gives them holds it
/// weakly, and ends when it has gone.
#[derive(Default)]
pub(in crate::authority) struct Hints {
    given: Mutex<bool>,
    moved: Condvar,
}

impl Hints {
    /// Something may have been committed.
    pub(in crate::authority) fn give(&self) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.moved.notify_all();
    }

    /// Waits for a hint, at most this long, and takes it.
    pub(in crate::authority) fn wait(&self, most: Duration) {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.moved.wait_timeout_while(given, most, |given| !*given);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}
