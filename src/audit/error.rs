use std::io;
use std::path::{Path, PathBuf};

/// What keeps an audit from being opened, closed or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The folder.
    #[error("cannot make the audit folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no folder.
    #[error("there is no audit in {path}: nothing was recorded there, or it was moved away")]
    Nothing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The chain's key cannot be read or made.
    #[error("cannot {action} the audit key {path}")]
    Key {
        /// What was being done.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others could forge lines.
    #[error("the audit key {path} can be read by others than its owner: make its mode 0600")]
    KeyMode {
        /// Which.
        path: PathBuf,
    },
    /// It is something else.
    #[error("the audit key {path} is not 32 bytes in base64")]
    KeyForm {
        /// Which.
        path: PathBuf,
    },
    /// A file of the audit cannot be written.
    #[error("cannot write the audit file {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file or the folder of the audit cannot be read.
    #[error("cannot read {path} of the audit")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process holds the lock for longer than an append takes.
    #[error("the audit index {path} is locked by another process")]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// Nothing can be chained to it.
    #[error("the last line of the audit index {path} is not one of ours: see what 'audit verify' says of it")]
    Index {
        /// Which.
        path: PathBuf,
    },
    /// The thread that writes what is buffered.
    #[error("cannot start the thread of the audit")]
    Thread {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It was closed before.
    #[error("the audit is closed")]
    Closed,
}

impl AuditError {
    pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}
