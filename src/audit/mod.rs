//! Records: one entry per request, an intent before anything leaves, one outcome at the end.
//!
//! Start with [`Entry`]. Its lines go to the `log` of this process, which chains them by MAC
//! (`chain`), writes them to a `file`, and keeps `head` and `index` so that [`verify()`]
//! finds what was edited or removed. It never sees a secret: facts are plain values of `model`.
//!
//! What a crash can take: the process's own, the outcomes of its last 20 ms; the machine's, in
//! other modes than `durable`, what the system had not put on disk yet.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use self::file::{Folder, MakeSink};
use self::log::Log;
use crate::config::{AuditConfig, AuditMode};
use crate::model::{Facts, Refusal};
use crate::telemetry::Clock;

mod chain;
mod entry;
mod error;
mod file;
mod head;
mod index;
mod key;
mod line;
mod log;
mod mask;
mod record;
mod report;
mod requests;
mod scan;
mod sink;
mod snapshot;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod worker;

pub use entry::Entry;
pub use error::AuditError;
pub use head::{Head, HeadError};
pub use record::{Join, Record, Told};
pub use report::{FileReport, Finding, LIMITS, Report};
pub use requests::{Damage, Requests};
pub use tail::Tail;
pub use verify::verify;

/// The log of this process, shared by everything that records. Dropped for the last time, it is
/// closed.
#[derive(Clone)]
pub struct Audit(Arc<Handle>);

struct Handle {
    log: Arc<Log>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    /// Opens a new file of the chain in `config.dir`, making folder and key on first use.
    pub fn open(config: &AuditConfig, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        Self::open_with(config, clock, |file| Arc::new(file))
    }

    fn open_with(config: &AuditConfig, clock: Arc<dyn Clock>, make_sink: MakeSink) -> Result<Self, AuditError> {
        make_folder(&config.dir)?;
        let key = key::read_or_make(&config.key_file)?;
        let durable = config.mode == AuditMode::Durable;
        let folder = Folder { dir: config.dir.clone(), key, durable, make_sink };
        let log = Arc::new(Log::new(config.mode, config.max_file, clock, folder)?);
        let worker = Mutex::new(Some(worker::start(&log)?));
        Ok(Self(Arc::new(Handle { log, worker })))
    }

    /// Opens an entry: no slot, no request. While lines cannot be written, the modes that need
    /// them refuse here, before anything else is done.
    pub fn entry(&self, facts: Facts) -> Result<Entry, Refusal> {
        match self.0.log.ready() {
            Err(unwritten) if self.0.log.mode != AuditMode::BestEffort => Err(entry::refusal(unwritten)),
            _ => Ok(Entry::new(self.clone(), facts)),
        }
    }

    /// How many writes have failed since the start.
    pub fn failures(&self) -> u64 {
        self.0.log.failures()
    }

    /// Writes what is buffered and the head; what comes later is refused.
    pub fn close(&self) -> Result<(), AuditError> {
        self.0.close()
    }
}

impl Handle {
    fn close(&self) -> Result<(), AuditError> {
        let result = self.log.close();
        if let Some(worker) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It ends by itself; one that panicked has been reported by the hook.
            let _ = worker.join();
        }
        result
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the audit was not closed");
        }
    }
}

/// A time as lines have it (RFC 3339, UTC, microseconds): the order of texts is that of times.
pub fn time_stamp(time: SystemTime) -> String {
    String::from_utf8_lossy(&line::stamp(time)).into_owned()
}

fn make_folder(dir: &Path) -> Result<(), AuditError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| AuditError::Folder { path: dir.to_owned(), source })
}
