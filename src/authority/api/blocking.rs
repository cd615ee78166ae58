//! Where the domain's work is done: threads that may block, so many at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::problem::{ApiCode, Problem};

/// Work at once. More would only queue up at the store.
const PLACES: usize = 32;

/// Calls that may wait for a place. Past that the Authority says so instead of keeping them all.
const QUEUE: usize = 4096;

/// Hands work to threads that may block.
#[derive(Clone)]
pub(in crate::authority) struct Blocking {
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Blocking {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), queue: Arc::new(Semaphore::new(QUEUE)) }
    }

    /// Does the work. Once begun it goes on to its end, whether or not anyone waits for it.
    pub(in crate::authority) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let full =
            || Problem::new(ApiCode::Unavailable, "the Authority has more to do than it can: try again").retry_after(1);
        let waiting = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| full())?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| full())?;
        drop(waiting);
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|_| Problem::internal("a handler made this program panic"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_leaves_its_place() {
        let blocking = Blocking::new();
        for _ in 0..PLACES * 2 {
            let result = blocking.run(|| -> u8 { panic!("on purpose") }).await;
            assert_eq!(result.unwrap_err().code, ApiCode::Internal);
        }
        assert_eq!(blocking.run(|| 7).await, Ok(7));
    }
}
