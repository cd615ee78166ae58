use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{DialError, Stage};
use crate::model::{Destination, Host};

/// Verifies the destination's certificate for the destination's own host, and nothing else.
pub(super) async fn handshake(
    tcp: TcpStream,
    destination: &Destination,
    config: Arc<ClientConfig>,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, DialError> {
    let failed = |source| DialError::Tls { destination: destination.clone(), source };
    let name = match destination.host() {
        Host::Ip(ip) => ServerName::from(*ip),
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| failed(io::Error::other(error)))?,
    };
    match timeout_at(deadline, TlsConnector::from(config).connect(name, tcp)).await {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(DialError::Timeout { destination: destination.clone(), stage: Stage::Tls }),
    }
}
