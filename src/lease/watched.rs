use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::FileSet;
use crate::telemetry::Clock;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// Files that credentials are in: one that was exchanged is noticed within a second.
pub(super) struct Watched {
    files: Mutex<FileSet>,
    moved: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

impl Watched {
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { files: Mutex::new(FileSet::new(files)), moved: watch::Sender::new(0), clock }
    }

    /// Moves when one of them did.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Looks at them, for as long as it is polled.
    pub(super) async fn look(&self) {
        loop {
            self.clock.sleep(LOOK).await;
            if self.files.lock().unwrap_or_else(PoisonError::into_inner).moved() {
                self.moved.send_modify(|moved| *moved += 1);
            }
        }
    }
}
