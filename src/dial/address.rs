use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for: the IANA special-purpose registries (RFC 6890 and its updates), and
/// the addresses where clouds hand out credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reachable from anywhere.
    Public,
    /// `0.0.0.0` and `::`, which many systems take for loopback.
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `169.254.0.0/16` and `fe80::/10`.
    LinkLocal,
    /// Behind a carrier's NAT: `100.64.0.0/10` (RFC 6598).
    CarrierNat,
    /// A metadata or credential service of a cloud or its container platform.
    Metadata,
    /// Examples in texts (RFC 5737, 3849, 9637).
    Documentation,
    /// Benchmarks of networks (RFC 2544, 5180).
    Benchmarking,
    /// Multicast.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Not assigned, or kept by the IETF for protocols.
    Reserved,
    /// Unique local: `fc00::/7` (RFC 4193).
    UniqueLocal,
    /// `fec0::/10`, out of use (RFC 3879).
    SiteLocal,
    /// IPv4 in IPv6 by a translation that leads to networks unknown: NAT64 of local use
    /// (RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), IPv4-compatible and IPv4-translated.
    Translated,
    /// Cryptographic identifiers that are no place: ORCHID (RFC 4843, 7343).
    Orchid,
    /// Black holes: `100::/64` (RFC 6666).
    Discard,
}

impl Kind {
    /// Classifies an address; one that embeds an IPv4 address is what that one is, unless that
    /// one is public and the form itself is not.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) => of_v6(ip),
        }
    }

    /// The words of the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::CarrierNat => "carrier-grade NAT",
            Self::Metadata => "cloud metadata",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::UniqueLocal => "unique local",
            Self::SiteLocal => "site-local",
            Self::Translated => "translated IPv4",
            Self::Orchid => "ORCHID",
            Self::Discard => "discard-only",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Services that give credentials or identity to whoever connects.
const METADATA_V4: &[Ipv4Addr] = &[
    // AWS, Google Cloud, Azure, DigitalOcean, Oracle Cloud and most others.
    Ipv4Addr::new(169, 254, 169, 254),
    // Amazon ECS task credentials; EKS pod identity.
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    // Tencent Cloud; Scaleway.
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(169, 254, 42, 42),
    // Alibaba Cloud; Oracle Cloud Classic.
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    // Azure's host (WireServer), although the address is a public one.
    Ipv4Addr::new(168, 63, 129, 16),
];

const METADATA_V6: &[Ipv6Addr] = &[
    // AWS: instance metadata, EKS pod identity.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    // Google Cloud; Scaleway; OpenStack.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

fn of_v4(ip: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&ip) {
        return Kind::Metadata;
    }
    match ip.octets() {
        [0, 0, 0, 0] => Kind::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] => Kind::CarrierNat,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [198, 18..=19, ..] => Kind::Benchmarking,
        [224..=239, ..] => Kind::Multicast,
        [255, 255, 255, 255] => Kind::Broadcast,
        // This network, protocol assignments, relays of 6to4, and class E.
        [0, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> Kind {
    if METADATA_V6.contains(&ip) {
        return Kind::Metadata;
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        // IPv4-compatible and IPv4-translated (RFC 2765).
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => translated(high, low),
        // The well-known prefix of NAT64 is how hosts with IPv6 alone reach public IPv4 ones.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of_v4(embedded(high, low)),
        [0x64, 0xff9b, 1, _, _, _, high, low] => translated(high, low),
        [0x2002, high, low, ..] => translated(high, low),
        // Teredo keeps the client's address inverted.
        [0x2001, 0, server_high, server_low, _, _, high, low] => match translated(!high, !low) {
            Kind::Translated => translated(server_high, server_low),
            kind => kind,
        },
        [0x100, 0, 0, 0 | 1, ..] => Kind::Discard,
        [0x2001, 2, 0, ..] => Kind::Benchmarking,
        [0x2001, 0x10..=0x2f, ..] => Kind::Orchid,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Documentation,
        [0x2001, 0..=0x1ff, ..] => Kind::Reserved,
        [0xfc00..=0xfdff, ..] => Kind::UniqueLocal,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        [0xfec0..=0xfeff, ..] => Kind::SiteLocal,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        [0x2000..=0x3fff, ..] => Kind::Public,
        // Global unicast is 2000::/3; nothing else was ever given out.
        _ => Kind::Reserved,
    }
}

fn translated(high: u16, low: u16) -> Kind {
    match of_v4(embedded(high, low)) {
        Kind::Public => Kind::Translated,
        kind => kind,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::Kind::*;
    use super::*;

    #[test]
    fn every_range_of_ipv4_at_its_edges() {
        check(&[
            ("0.0.0.0", Unspecified),
            ("0.0.0.1", Reserved),
            ("1.1.1.1", Public),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.0", CarrierNat),
            ("100.100.100.200", Metadata),
            ("100.127.255.255", CarrierNat),
            ("100.128.0.0", Public),
            ("126.255.255.255", Public),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("128.0.0.0", Public),
            ("168.63.129.16", Metadata),
            ("168.63.129.17", Public),
            ("169.253.255.255", Public),
            ("169.254.0.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.169.253", LinkLocal),
            ("169.254.170.2", Metadata),
            ("169.255.0.0", Public),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.0.0.1", Reserved),
            ("192.0.0.192", Metadata),
            ("192.0.1.0", Public),
            ("192.0.2.1", Documentation),
            ("192.88.99.1", Reserved),
            ("192.167.255.255", Public),
            ("192.168.0.0", Private),
            ("192.169.0.0", Public),
            ("198.17.255.255", Public),
            ("198.18.0.0", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("198.20.0.0", Public),
            ("198.51.100.7", Documentation),
            ("203.0.113.7", Documentation),
            ("223.255.255.255", Public),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.254", Reserved),
            ("255.255.255.255", Broadcast),
        ]);
    }

    #[test]
    fn every_range_of_ipv6_at_its_edges() {
        check(&[
            ("::", Unspecified),
            ("::1", Loopback),
            ("::2", Reserved),
            ("::7f00:1", Loopback),
            ("::101:101", Translated),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:1.1.1.1", Public),
            ("::ffff:0:10.0.0.1", Private),
            ("::ffff:0:1.1.1.1", Translated),
            ("64:ff9b::1.1.1.1", Public),
            ("64:ff9b::10.0.0.1", Private),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b::1:1.1.1.1", Reserved),
            ("64:ff9b:1::1.1.1.1", Translated),
            ("64:ff9b:1::169.254.169.254", Metadata),
            ("100::1", Discard),
            ("100:0:0:1::1", Discard),
            ("100:0:0:2::1", Reserved),
            ("2001::1", Reserved),
            ("2001:0:102:304::fefe:fefe", Translated),
            ("2001:0:7f00:1::fefe:fefe", Loopback),
            ("2001:0:102:304::5601:5601", Metadata),
            ("2001:1::1", Reserved),
            ("2001:2::1", Benchmarking),
            ("2001:2:1::1", Reserved),
            ("2001:10::1", Orchid),
            ("2001:2f::1", Orchid),
            ("2001:30::1", Reserved),
            ("2001:1ff::1", Reserved),
            ("2001:200::1", Public),
            ("2001:db7::1", Public),
            ("2001:db8::1", Documentation),
            ("2001:db9::1", Public),
            ("2002:a00:1::1", Private),
            ("2002:a9fe:a9fe::1", Metadata),
            ("2002:101:101::1", Translated),
            ("2003::1", Public),
            ("2606:4700:4700::1111", Public),
            ("3ffe::1", Public),
            ("3fff::1", Documentation),
            ("3fff:1000::1", Public),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            ("fbff::1", Reserved),
            ("fc00::1", UniqueLocal),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::255", UniqueLocal),
            ("fd20:ce::254", Metadata),
            ("fe7f::1", Reserved),
            ("fe80::1", LinkLocal),
            ("fe80::a9fe:a9fe", Metadata),
            ("febf::1", LinkLocal),
            ("fec0::1", SiteLocal),
            ("ff02::1", Multicast),
        ]);
    }

    proptest::proptest! {
        #[test]
        fn no_spelling_makes_a_special_address_public(bits: u32) {
            let plain = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = plain.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let kind = Kind::of(plain.into());
            assert_eq!(Kind::of(plain.to_ipv6_mapped().into()), kind);
            for ip in [
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0x102, 0x304, 0, 0, !high, !low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            ] {
                let wrapped = Kind::of(ip.into());
                assert!(wrapped == kind || (kind == Public && wrapped == Translated), "{ip}: {wrapped}, not {kind}");
            }
        }

        #[test]
        fn only_global_unicast_and_nat64_are_public(bits: u128) {
            let ip = Ipv6Addr::from_bits(bits);
            let first = ip.segments()[0];
            if Kind::of(ip.into()) == Public {
                assert!((0x2000..0x4000).contains(&first) || ip.to_ipv4_mapped().is_some() || first == 0x64);
            }
        }
    }

    fn check(rows: &[(&str, Kind)]) {
        for (text, want) in rows {
            assert_eq!(Kind::of(text.parse().unwrap()), *want, "{text}");
        }
    }
}
