//! The Authority service as a part: its source, and the policy that it hands out.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, RemoteConfig, secret_line};
use crate::dial::{DialSettings, Dialer};
use crate::lease::NexusSource;
use crate::telemetry::Clock;
use crate::tls::{Roots, RootsError};

/// What keeps a source with a `url` from being asked at all.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The file of its key.
    #[error("cannot use the key of the source {name} in {file}")]
    Key {
        /// The source.
        name: String,
        /// The file.
        file: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its certificates.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// The source of a configuration that names an Authority service. Nothing is asked yet; that its
/// key can be read is seen here, so that a mistake is told at the start.
pub fn remote_source(
    config: &Config,
    remote: &RemoteConfig,
    clock: Arc<dyn Clock>,
) -> Result<Arc<NexusSource>, RemoteError> {
    let failed = |source| RemoteError::Key { name: remote.name.clone(), file: remote.bearer_file.clone(), source };
    secret_line(&remote.bearer_file).map_err(failed)?;
    let dialer = dialer(config, remote.ca_file.as_deref())?;
    Ok(Arc::new(NexusSource::new(remote, dialer, config.timeouts.lease, clock)))
}

/// The way to a source: its certificate leads to those of its own file, or else to the system's.
pub(super) fn dialer(config: &Config, ca_file: Option<&Path>) -> Result<Arc<Dialer>, RootsError> {
    let roots = match ca_file {
        Some(file) => Roots::of_file(file)?,
        None => Roots::load(&config.upstream.ca_files)?,
    };
    let settings = DialSettings { hosts: config.upstream.hosts.clone(), timeout: config.timeouts.connect };
    Ok(Arc::new(Dialer::new(settings, Arc::new(roots))))
}
