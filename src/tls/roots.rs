use std::path::PathBuf;
use std::sync::Arc;

/// The certificates that destinations must chain to: the system's and those of
/// `upstream.ca_files`, without any that carries our marker or key.
pub struct Roots {}

/// What keeps roots from being read.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file of `upstream.ca_files`.
    #[error("cannot read the certificates of {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing to trust.
    #[error("no trusted certificate was found: install the system's CA certificates or name some in upstream.ca_files")]
    Empty,
}

impl Roots {
    /// Reads the system's roots and the given files. Fails on a file that is unreadable, is a
    /// folder, or holds no certificate.
    pub fn load(_ca_files: &[PathBuf]) -> Result<Self, RootsError> {
        todo!()
    }

    /// A client that verifies against them and offers these protocols, in order. No session is
    /// resumed across connections of different callers: resumption is off.
    pub fn client_config(&self, _alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
        todo!()
    }

    /// Every certificate as PEM, for a child's bundle.
    pub fn bundle_pem(&self) -> String {
        todo!()
    }
}
