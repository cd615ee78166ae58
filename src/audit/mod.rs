//! Records: one entry per request, an intent before anything leaves, one outcome at the end.

use std::path::PathBuf;

use crate::config::AuditConfig;
use crate::model::{Facts, IntentFacts, OutcomeFacts, Refusal, TraceId};

/// The log of this process, shared by everything that records.
#[derive(Clone)]
pub struct Audit {}

/// What keeps an audit from being opened.
#[derive(Debug, thiserror::Error)]
#[error("placeholder {path}")]
pub struct AuditError {
    path: PathBuf,
}

impl Audit {
    /// Opens a new file of the chain in `config.dir`, making folder and key on first use.
    pub fn open(_config: &AuditConfig) -> Result<Self, AuditError> {
        todo!()
    }

    /// Opens an entry: no slot, no request.
    pub fn entry(&self, _facts: Facts) -> Result<Entry, Refusal> {
        todo!()
    }

    /// Writes what is buffered and the head; what comes later is refused.
    pub fn close(&self) -> Result<(), AuditError> {
        todo!()
    }
}

/// One request's record. Dropped without an outcome, it says `aborted`.
pub struct Entry {}

impl Entry {
    /// The id that the answer carries.
    pub fn trace(&self) -> TraceId {
        todo!()
    }

    /// Writes, as `audit.mode` says, that an attempt is about to leave.
    pub async fn intent(&mut self, _facts: IntentFacts) -> Result<(), Refusal> {
        todo!()
    }

    /// Notes what the request asked for, for an entry that may be refused before any intent.
    pub fn asked(&mut self, _method: &http::Method, _target: &str) {
        todo!()
    }

    /// Writes how it ended.
    pub fn outcome(self, _facts: OutcomeFacts) {
        todo!()
    }
}
