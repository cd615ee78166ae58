use std::net::{IpAddr, SocketAddr, UdpSocket};

use ipnet::IpNet;

use super::{DialError, Kind, Word};
use crate::model::{Destination, Scheme};

/// A resolved address that was classified and allowed; it and no other is dialled.
#[derive(Debug)]
pub struct Vetted(SocketAddr);

impl Vetted {
    /// Where to connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Keeps the addresses that this word allows, in order. Fails if none is left.
pub(super) fn vet(
    destination: &Destination,
    found: Vec<SocketAddr>,
    word: Word<'_>,
    own: &[SocketAddr],
) -> Result<Vec<Vetted>, DialError> {
    let mut first_refused = None;
    let mut vetted = Vec::with_capacity(found.len());
    for address in found {
        // A mapped address would be dialled over IPv4, so it is treated, and dialled, as that.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        match refuse(destination, address, word, own) {
            None => vetted.push(Vetted(address)),
            Some(why) => {
                first_refused.get_or_insert((address.ip(), why));
            }
        }
    }
    match first_refused {
        Some((ip, why)) if vetted.is_empty() => {
            let destination = destination.clone();
            Err(match why {
                Why::Kind(kind) => DialError::Forbidden { destination, ip, kind },
                Why::NotListed(kind) => DialError::NotListed { destination, ip, kind },
                Why::Cleartext => DialError::Cleartext { destination, ip },
                Why::Own => DialError::Own { destination, ip },
            })
        }
        _ => Ok(vetted),
    }
}

enum Why {
    Kind(Kind),
    NotListed(Kind),
    Cleartext,
    Own,
}

fn refuse(destination: &Destination, address: SocketAddr, word: Word<'_>, own: &[SocketAddr]) -> Option<Why> {
    let (Word::Rule(networks) | Word::Data(networks)) = word else { return None };
    if own.iter().any(|own| is_own(address, *own)) {
        return Some(Why::Own);
    }
    let kind = Kind::of(address.ip());
    let listed = match kind {
        // A wide network may hold a metadata address by accident; its own name may not.
        Kind::Metadata => networks.iter().any(|net| is_single(net) && holds(net, address.ip())),
        _ => networks.iter().any(|net| holds(net, address.ip())),
    };
    match (word, kind) {
        _ if listed => None,
        (Word::Data(_), Kind::Public) if destination.scheme() == Scheme::Http => Some(Why::Cleartext),
        (_, Kind::Public) => None,
        (Word::Data(_), kind) => Some(Why::NotListed(kind)),
        (_, kind) => Some(Why::Kind(kind)),
    }
}

fn is_single(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// Tells whether the network holds the address in either of its spellings.
fn holds(net: &IpNet, ip: IpAddr) -> bool {
    let mapped = match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    };
    net.contains(&ip) || net.contains(&mapped)
}

/// Tells whether a connection to `address` would reach a listener bound to `own`.
fn is_own(address: SocketAddr, own: SocketAddr) -> bool {
    if address.port() != own.port() {
        return false;
    }
    let (to, at) = (address.ip(), own.ip().to_canonical());
    // The system takes an unspecified target for loopback.
    to == at || to.is_unspecified() || (at.is_unspecified() && is_local(to))
}

/// Tells whether an address is one of this machine's: only those can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Host;

    fn destination() -> Destination {
        Destination::new(Scheme::Https, Host::parse("api.test").unwrap(), 443)
    }

    fn allowed(ips: &[&str], networks: &[&str]) -> Vec<String> {
        let found = ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect();
        let networks: Vec<IpNet> = networks.iter().map(|net| net.parse().unwrap()).collect();
        match vet(&destination(), found, Word::Rule(&networks), &[]) {
            Ok(vetted) => vetted.iter().map(|one| one.address().ip().to_string()).collect(),
            Err(_) => vec![],
        }
    }

    #[test]
    fn special_addresses_need_a_network() {
        assert_eq!(allowed(&["1.1.1.1", "10.0.0.1"], &[]), ["1.1.1.1"]);
        assert_eq!(allowed(&["10.0.0.1"], &[]), [""; 0]);
        assert_eq!(allowed(&["10.0.0.1", "10.1.0.1"], &["10.0.0.0/16"]), ["10.0.0.1"]);
        assert_eq!(allowed(&["::ffff:10.0.0.1"], &["10.0.0.0/16"]), ["10.0.0.1"]);
        assert_eq!(allowed(&["10.0.0.1"], &["::ffff:10.0.0.0/112"]), ["10.0.0.1"]);
        assert_eq!(allowed(&["64:ff9b::a00:1"], &["10.0.0.0/8"]), [""; 0]);
        assert_eq!(allowed(&["64:ff9b::a00:1"], &["64:ff9b::/96"]), ["64:ff9b::a00:1"]);
    }

    #[test]
    fn metadata_must_be_named_alone() {
        assert_eq!(allowed(&["169.254.169.254"], &["169.254.0.0/16", "0.0.0.0/1", "128.0.0.0/1"]), [""; 0]);
        assert_eq!(allowed(&["169.254.169.254"], &["169.254.169.254/31"]), [""; 0]);
        assert_eq!(allowed(&["169.254.169.254"], &["169.254.169.254/32"]), ["169.254.169.254"]);
        assert_eq!(allowed(&["fd00:ec2::254"], &["fd00::/8"]), [""; 0]);
        assert_eq!(allowed(&["fd00:ec2::254"], &["fd00:ec2::254/128"]), ["fd00:ec2::254"]);
        assert_eq!(allowed(&["64:ff9b::a9fe:a9fe"], &["64:ff9b::/96"]), [""; 0]);
    }

    #[test]
    fn data_reaches_public_addresses_over_tls_and_else_what_is_listed() {
        let networks: Vec<IpNet> =
            ["10.0.0.0/16", "9.9.9.0/24", "169.254.0.0/16"].iter().map(|net| net.parse().unwrap()).collect();
        let https = destination();
        let http = Destination::new(Scheme::Http, Host::parse("api.test").unwrap(), 80);
        let ask = |destination: &Destination, ips: &[&str], own: &[SocketAddr]| {
            let found = ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), destination.port())).collect();
            match vet(destination, found, Word::Data(&networks), own) {
                Ok(vetted) => vetted.iter().map(|one| one.address().ip().to_string()).collect::<Vec<_>>().join(" "),
                Err(DialError::NotListed { kind, .. }) => format!("not listed: {kind}"),
                Err(DialError::Cleartext { .. }) => "cleartext".to_owned(),
                Err(DialError::Own { .. }) => "own".to_owned(),
                Err(other) => other.to_string(),
            }
        };
        for (ips, over_tls, plain) in [
            (&["1.1.1.1"][..], "1.1.1.1", "cleartext"),
            (&["9.9.9.9"], "9.9.9.9", "9.9.9.9"),
            (&["10.0.0.1"], "10.0.0.1", "10.0.0.1"),
            (&["10.1.0.1"], "not listed: private", "not listed: private"),
            (&["127.0.0.1"], "not listed: loopback", "not listed: loopback"),
            (&["169.254.169.254"], "not listed: cloud metadata", "not listed: cloud metadata"),
            (&["127.0.0.1", "1.1.1.1", "10.0.0.1"], "1.1.1.1 10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(
                (ask(&https, ips, &[]), ask(&http, ips, &[])),
                (over_tls.to_owned(), plain.to_owned()),
                "{ips:?}"
            );
        }
        assert_eq!(ask(&https, &["10.0.0.1"], &["10.0.0.1:443".parse().unwrap()]), "own");
    }

    #[test]
    fn an_operator_goes_anywhere_and_nobody_goes_nowhere() {
        let found = vec!["10.0.0.1:443".parse().unwrap()];
        assert_eq!(vet(&destination(), found, Word::Operator, &[]).unwrap().len(), 1);
        assert!(vet(&destination(), vec![], Word::Rule(&[]), &[]).unwrap().is_empty());
    }

    #[test]
    fn our_own_listeners_are_never_dialled() {
        let networks = ["127.0.0.0/8".parse().unwrap(), "::/8".parse().unwrap(), "0.0.0.0/8".parse().unwrap()];
        let own = |to: &str, at: &str| {
            let result = vet(&destination(), vec![to.parse().unwrap()], Word::Rule(&networks), &[at.parse().unwrap()]);
            matches!(result, Err(DialError::Own { .. }))
        };
        for (to, at, want) in [
            ("127.0.0.1:14101", "127.0.0.1:14101", true),
            ("[::ffff:127.0.0.1]:14101", "127.0.0.1:14101", true),
            ("127.0.0.1:14101", "[::ffff:127.0.0.1]:14101", true),
            ("127.0.0.1:14102", "127.0.0.1:14101", false),
            ("127.0.0.2:14101", "127.0.0.1:14101", false),
            ("127.0.0.2:14101", "0.0.0.0:14101", true),
            ("127.0.0.2:14101", "[::]:14101", true),
            ("[::1]:14101", "[::]:14101", true),
            ("0.0.0.0:14101", "127.0.0.1:14101", true),
            ("[::]:14101", "[::1]:14101", true),
            ("1.1.1.1:14101", "0.0.0.0:14101", false),
        ] {
            assert_eq!(own(to, at), want, "{to} at {at}");
        }
    }
}
