//! The services that are sources, an Authority first: how each is reached and what it is shown.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, GatewayConfig, GatewayConnection, RemoteConfig, SourceAuth, secret_line};
use crate::dial::{DialSettings, Dialer};
use crate::lease::{GatewaySource, GatewayWire, NexusSource};
use crate::model::ConnectionName;
use crate::telemetry::Clock;
use crate::tls::{ClientIdentity, IdentityError, Roots, RootsError};

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
    /// The certificate that is shown to it.
    #[error("cannot show the source {name} who this sidecar is")]
    Identity {
        /// The source.
        name: String,
        /// Why not.
        #[source]
        source: IdentityError,
    },
}

/// The source of a configuration that names an Authority service. Nothing is asked yet; that its
/// key can be read is seen here, so that a mistake is told at the start.
pub fn remote_source(
    config: &Config,
    remote: &RemoteConfig,
    clock: Arc<dyn Clock>,
) -> Result<Arc<NexusSource>, RemoteError> {
    let dialer = dialer_as(config, &remote.name, &remote.auth, remote.ca_file.as_deref())?;
    Ok(Arc::new(NexusSource::new(remote, dialer, config.timeouts.lease, clock)))
}

/// The way to a Gateway or Broker, with the same care.
pub(super) fn gateway_source(
    config: &Config,
    gateway: &GatewayConfig,
    connections: Vec<(ConnectionName, GatewayConnection)>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<GatewaySource>, RemoteError> {
    let wire = gateway_wire(config, gateway)?;
    Ok(Arc::new(GatewaySource::new(&gateway.name, wire, connections, clock)))
}

/// How a Gateway or Broker is spoken to, for whoever asks it no more than how it is.
pub fn gateway_wire(config: &Config, gateway: &GatewayConfig) -> Result<GatewayWire, RemoteError> {
    let dialer = dialer_as(config, &gateway.name, &gateway.auth, gateway.ca_file.as_deref())?;
    Ok(GatewayWire::new(gateway, dialer, config.timeouts.lease))
}

/// The way to a source that knows this sidecar by a key or a certificate, both of which are looked
/// at here.
pub(super) fn dialer_as(
    config: &Config,
    name: &str,
    auth: &SourceAuth,
    ca_file: Option<&Path>,
) -> Result<Arc<Dialer>, RemoteError> {
    if let Some(file) = &auth.key_file {
        let failed = |source| RemoteError::Key { name: name.to_owned(), file: file.clone(), source };
        secret_line(file).map_err(failed)?;
    }
    let Some(client) = &auth.client else { return Ok(dialer(config, ca_file)?) };
    let identity = ClientIdentity::new(client.clone());
    identity.check().map_err(|source| RemoteError::Identity { name: name.to_owned(), source })?;
    Ok(Arc::new(plain(config, ca_file)?.showing(Arc::new(identity))))
}

/// The way to a source: its certificate leads to those of its own file, or else to the system's.
pub(super) fn dialer(config: &Config, ca_file: Option<&Path>) -> Result<Arc<Dialer>, RootsError> {
    plain(config, ca_file).map(Arc::new)
}

fn plain(config: &Config, ca_file: Option<&Path>) -> Result<Dialer, RootsError> {
    let roots = match ca_file {
        Some(file) => Roots::of_file(file)?,
        None => Roots::load(&config.upstream.ca_files)?,
    };
    let settings = DialSettings { hosts: config.upstream.hosts.clone(), timeout: config.timeouts.connect };
    Ok(Dialer::new(settings, Arc::new(roots)))
}
