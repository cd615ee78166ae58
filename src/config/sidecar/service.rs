//! What of `authority:` says how the Authority is served.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::access::{self, AccessConfig};
use super::reader::Reader;
use crate::config::document::network;
use crate::config::units;
use crate::config::yaml::{Content, Fields, Node};

/// `authority:` as `authority serve` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// TLS; none is for loopback addresses.
    pub tls: Option<ServiceTls>,
    /// `cleartext: true`: an address off loopback without TLS.
    pub cleartext: bool,
    /// How much of it one caller may use.
    pub limits: ServiceLimits,
    /// Who may use it, beside the keys of the store.
    pub access: AccessConfig,
    /// Networks beside the public ones where it may call what providers name, such as token
    /// endpoints; the embedded Authority too.
    pub networks: Vec<IpNet>,
}

/// `authority.tls:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTls {
    /// The certificate and those between it and its root, in PEM.
    pub cert_file: PathBuf,
    /// The certificate's key, in PEM.
    pub key_file: PathBuf,
    /// Who signs the certificates of clients; without it none is asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// `authority.limits:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Requests of one caller, but for leases.
    pub rate: Rate,
    /// Leases of one caller.
    pub leases: Rate,
    /// Requests of one address that does not say who it is.
    pub unauthenticated: Rate,
    /// Connections at once.
    pub connections: usize,
}

/// So many in a time, all of which may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 14110))];
        let (limits, access) = (ServiceLimits::default(), AccessConfig::default());
        Self { listen, tls: None, cleartext: false, limits, access, networks: Vec::new() }
    }
}

impl Default for ServiceLimits {
    /// A person's scripts and a busy console stay far below the first, a sidecar's thousands of leases
    /// a second below the next; the last is for probes.
    fn default() -> Self {
        let a_minute = |count| Rate { count, per: Duration::from_secs(60) };
        Self { rate: a_minute(6_000), leases: a_minute(1_200_000), unauthenticated: a_minute(600), connections: 4096 }
    }
}

/// Reads the keys of the service from the section's.
pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> ServiceConfig {
    let mut service = ServiceConfig::default();
    if let Some(node) = fields.get("listen") {
        service.listen = reader.addresses(node);
    }
    service.tls = fields.get("tls").and_then(|node| tls(node, reader));
    if let Some(node) = fields.get("cleartext") {
        service.cleartext = node.flag(reader.findings).unwrap_or_default();
    }
    if let Some(node) = fields.get("limits") {
        limits(node, &mut service.limits, reader);
    }
    service.access = access::read(fields, reader);
    let networks = fields.get("networks").map(|node| node.one_or_list(reader.findings));
    for node in networks.into_iter().flatten() {
        service.networks.extend(network(node, reader.findings).map(|network| network.value));
    }
    service
}

fn tls(node: &Node, reader: &mut Reader<'_>) -> Option<ServiceTls> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mut path = |key: &'static str, needed: bool, reader: &mut Reader<'_>| match fields.get(key) {
        Some(file) => reader.path(file),
        None if needed => reader.missing(node, key),
        None => None,
    };
    let cert_file = path("cert_file", true, reader);
    let key_file = path("key_file", true, reader);
    let client_ca_file = path("client_ca_file", false, reader);
    fields.finish(&[], reader.findings);
    Some(ServiceTls { cert_file: cert_file?, key_file: key_file?, client_ca_file })
}

fn limits(node: &Node, limits: &mut ServiceLimits, reader: &mut Reader<'_>) {
    let Some(mut fields) = Fields::open(node, reader.findings) else { return };
    for (key, set) in
        [("rate", &mut limits.rate), ("leases", &mut limits.leases), ("unauthenticated", &mut limits.unauthenticated)]
    {
        let Some(node) = fields.get(key) else { continue };
        let text = if let Content::Text(text) = &node.content { text.as_str() } else { "" };
        match units::rate(text) {
            Some((count, per)) => *set = Rate { count, per },
            None => reader.findings.with(node, "this must be a rate, such as 100/second, 6000/minute or 5/hour"),
        }
    }
    reader.count(fields.get("connections"), 1_000_000, &mut limits.connections);
    fields.finish(&[], reader.findings);
}
