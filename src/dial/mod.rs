//! Reaches out: resolve, classify, connect to that address, TLS. The only place that opens
//! outbound sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::model::{Destination, Host, Refusal};
use crate::tls::Roots;

mod probe;

pub use probe::probe;

/// On whose word a connection is opened.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// A rule's: public addresses, and the networks that the rule lists.
    Rule(&'a [IpNet]),
    /// The operator's configuration: as resolved.
    Operator,
}

/// A resolved address that was classified and allowed; it and no other is dialled.
#[derive(Debug)]
pub struct Vetted(#[allow(dead_code)] SocketAddr);

/// What keeps a destination from being reached.
#[derive(Debug, thiserror::Error)]
#[error("placeholder")]
pub struct DialError {}

impl From<DialError> for Refusal {
    fn from(_error: DialError) -> Self {
        todo!()
    }
}

/// Opens connections.
pub struct Dialer {}

/// How a dialer reaches out.
#[derive(Clone, Debug, Default)]
pub struct DialSettings {
    /// Names that stand for an address.
    pub hosts: BTreeMap<Host, IpAddr>,
    /// For resolving, connecting and the TLS handshake together.
    pub timeout: Duration,
}

impl Dialer {
    /// A dialer over these roots.
    pub fn new(_settings: DialSettings, _roots: Arc<Roots>) -> Self {
        todo!()
    }

    /// Says where we listen ourselves, so that no request is sent back to us.
    pub fn forbid(&self, _own: &[SocketAddr]) {
        todo!()
    }

    /// Connects over TCP (TCP_NODELAY), trying each vetted address in turn.
    pub async fn tcp(&self, _destination: &Destination, _word: Word<'_>) -> Result<TcpStream, DialError> {
        todo!()
    }

    /// Connects and verifies the destination's certificate, offering these protocols.
    pub async fn tls(
        &self,
        _destination: &Destination,
        _word: Word<'_>,
        _offer: Offer,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        todo!()
    }
}

/// The protocols offered to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// `h2`, then `http/1.1`.
    Any,
    /// `http/1.1` alone.
    Http1,
}
