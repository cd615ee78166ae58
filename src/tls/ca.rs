use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::sign::Sealer;

/// Our interception CA: its certificate, and its key, which signs leaves and nothing else.
pub struct Ca {}

/// What keeps a CA from being made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file system.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What is on disk is no CA of ours, or is sealed under another key.
    #[error("{path} is not usable as our CA: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate library.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
}

impl Ca {
    /// A CA for one run, in memory alone.
    pub fn ephemeral(_now: SystemTime) -> Result<Self, CaError> {
        todo!()
    }

    /// The CA of `ca.dir`, made on first use, its key sealed; renewed ahead of its end.
    pub fn load_or_make(_dir: &Path, _sealer: &Sealer, _now: SystemTime) -> Result<Self, CaError> {
        todo!()
    }

    /// What clients must trust: the certificate, and its successor once there is one.
    pub fn trust_pem(&self) -> String {
        todo!()
    }
}
