//! Reaches out: resolve, classify the address, connect to that address, TLS. The only place that
//! opens outbound sockets.
//!
//! It never connects to an address that was not vetted in the same call, never resolves a name a
//! second time, never skips the verification of a certificate, and reads no proxy variable of
//! the environment. Next: `address` for what is public, `vetted` for who may go elsewhere, `call`
//! for requests of our own.

mod address;
mod call;
mod client;
mod connect;
mod database;
mod error;
#[cfg(test)]
pub(crate) mod for_tests;
mod grpc;
mod names;
mod probe;
mod resolve;
mod vetted;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::model::{Destination, Host};
use crate::tls::{ClientIdentity, Roots};

pub use address::Kind;
pub use call::{Answer, Call, CallError, Caller, Kept, Line, Streamed};
pub use database::DatabaseStream;
pub use error::{DialError, Stage};
pub use grpc::{GrpcError, GrpcSocket, GrpcStream};
pub use names::resolve_without_plugins;
pub use probe::probe;
pub use vetted::Vetted;

/// On whose word a connection is opened.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// A rule's: public addresses, and the networks that the rule lists.
    Rule(&'a [IpNet]),
    /// The operator's configuration: as resolved.
    Operator,
    /// Data's, such as a provider's token endpoint: public addresses over TLS, and the networks
    /// that the operator lists for such calls.
    Data(&'a [IpNet]),
}

/// The protocols offered to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// `h2`, then `http/1.1`.
    Any,
    /// `http/1.1` alone.
    Http1,
}

/// How a dialer reaches out.
#[derive(Clone, Debug, Default)]
pub struct DialSettings {
    /// Names that stand for an address.
    pub hosts: BTreeMap<Host, IpAddr>,
    /// For resolving, connecting and the TLS handshake together.
    pub timeout: Duration,
}

/// Opens connections.
pub struct Dialer {
    settings: DialSettings,
    any: Arc<rustls::ClientConfig>,
    http1: Arc<rustls::ClientConfig>,
    own: ArcSwap<Vec<SocketAddr>>,
    identity: Option<Arc<ClientIdentity>>,
}

impl Dialer {
    /// A dialer over these roots.
    pub fn new(settings: DialSettings, roots: Arc<Roots>) -> Self {
        Self {
            settings,
            any: roots.client_config(&[b"h2", b"http/1.1"]),
            http1: roots.client_config(&[b"http/1.1"]),
            own: ArcSwap::default(),
            identity: None,
        }
    }

    /// Shows a certificate to whoever asks for one: for calls of our own to one service.
    #[must_use]
    pub fn showing(mut self, identity: Arc<ClientIdentity>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Says where we listen ourselves, so that no request is sent back to us. It is the whole
    /// list: what was said before is forgotten.
    pub fn forbid(&self, own: &[SocketAddr]) {
        self.own.store(Arc::new(own.to_vec()));
    }

    /// Connects over TCP (TCP_NODELAY), trying each vetted address in turn.
    ///
    /// A name that resolves to allowed and other addresses is tried at the allowed ones alone.
    pub async fn tcp(&self, destination: &Destination, word: Word<'_>) -> Result<TcpStream, DialError> {
        self.tcp_until(destination, word, self.deadline()).await
    }

    /// Connects and verifies the destination's certificate, offering these protocols.
    ///
    /// What was agreed on is in the stream's connection (`get_ref().1.alpn_protocol()`).
    pub async fn tls(
        &self,
        destination: &Destination,
        word: Word<'_>,
        offer: Offer,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let deadline = self.deadline();
        let base = match offer {
            Offer::Any => &self.any,
            Offer::Http1 => &self.http1,
        };
        let config = match &self.identity {
            None => Arc::clone(base),
            // Before anything is opened: without its certificate nothing is said to a service.
            Some(identity) => identity
                .shown_by(base)
                .map_err(|source| DialError::Identity { destination: destination.clone(), source })?,
        };
        let tcp = self.tcp_until(destination, word, deadline).await?;
        client::handshake(tcp, destination, config, deadline).await
    }

    async fn tcp_until(
        &self,
        destination: &Destination,
        word: Word<'_>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let found = resolve::resolve(destination, &self.settings.hosts, deadline).await?;
        let vetted = vetted::vet(destination, found, word, &self.own.load())?;
        connect::connect(destination, vetted, deadline).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }
}

#[cfg(test)]
mod tests;
