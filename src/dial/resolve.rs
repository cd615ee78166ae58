use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::time::{Instant, timeout_at};

use super::{DialError, Stage};
use crate::model::{Destination, Host};

/// The addresses of a destination: itself, the operator's word for it, or the system resolver's
/// answer, in the resolver's order. Never empty.
pub(super) async fn resolve(
    destination: &Destination,
    hosts: &BTreeMap<Host, IpAddr>,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, DialError> {
    let port = destination.port();
    if let Some(ip) = hosts.get(destination.host()) {
        return Ok(vec![SocketAddr::new(*ip, port)]);
    }
    let name = match destination.host() {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => name,
    };
    let failed = |source| DialError::Resolve { destination: destination.clone(), source };
    let answer = timeout_at(deadline, tokio::net::lookup_host((&**name, port)))
        .await
        .map_err(|_| DialError::Timeout { destination: destination.clone(), stage: Stage::Resolve })?
        .map_err(failed)?;
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in answer {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}
