//! What the Authority does by itself: a thread of this process with a runtime of its own, so that it
//! goes on whatever the process is busy with.

use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

/// How long a process that ends waits for what was begun: a refresh token that was renewed and not
/// kept is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Work in the background. Dropped, it begins nothing more, and ends once what was begun has.
pub(super) struct Background {
    stop: watch::Sender<bool>,
    ended: Mutex<Receiver<()>>,
}

impl Background {
    /// Starts a thread that does this until it is told to stop; `None` where there can be none.
    pub(super) fn start<F, W>(name: &str, work: W) -> Option<Self>
    where
        W: FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = sync_channel::<()>(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.inspect_err(|error| tracing::error!(%error, "cannot start a runtime: {name}")).ok()?;
        let run = move || {
            let _alive = alive;
            runtime.block_on(work(stopped));
        };
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        started.inspect_err(|error| tracing::error!(%error, "cannot start a thread: {name}")).ok()?;
        Some(Self { stop, ended: Mutex::new(ended) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("work in the background did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_was_begun_is_ended_before_the_process_is() {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let work = |mut stop: watch::Receiver<bool>| async move {
            stop.wait_for(|stop| *stop).await.unwrap();
            tokio::task::yield_now().await;
            told.store(true, Ordering::SeqCst);
        };
        drop(Background::start("test", work));
        assert!(ended.load(Ordering::SeqCst));
    }

    #[test]
    fn one_that_panicked_keeps_nobody() {
        drop(Background::start("test", |_| async { panic!("on purpose") }));
    }
}
