use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A host in its one spelling: a lower-case ASCII (IDNA) name without a final dot, or an
/// address.
///
/// An IPv4 address is four decimal numbers without leading zeros (RFC 6943, section 3.1.1: the
/// octal, hexadecimal and shortened forms of `inet_aton` are refused, since two parsers may
/// read two addresses in them). IPv6 has no zone; an IPv4-mapped address stays as it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name, such as `api.example.com`.
    Name(Arc<str>),
    /// An address.
    Ip(IpAddr),
}

/// What makes a text no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// No name that IDNA maps to letters, digits and hyphens.
    #[error("the host is not a DNS name")]
    NotAName,
    /// Longer than DNS allows.
    #[error("the host is longer than 253 bytes, or one of its labels longer than 63")]
    TooLong,
    /// `0x7f.1`, `127.1`, `010.0.0.1` and their kin.
    #[error("the host looks like an address, but is not one in dotted-quad or RFC 5952 form")]
    AmbiguousAddress,
}

impl Host {
    /// Reads a host as it stands in an authority: IPv6 in brackets, names of any case, Unicode
    /// names mapped by IDNA (UTS 46), one final dot dropped.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::AmbiguousAddress)?;
            let ip: Ipv6Addr = inner.parse().map_err(|_| HostError::AmbiguousAddress)?;
            return Ok(Self::Ip(IpAddr::V6(ip)));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(IpAddr::V4(ip)));
        }
        Self::parse_name(text)
    }

    fn parse_name(text: &str) -> Result<Self, HostError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let name: Arc<str> = if plain && !text.contains("xn--") {
            text.into()
        } else {
            idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL)
                .map_err(|_| HostError::NotAName)?
                .into()
        };
        check_labels(&name)?;
        Ok(Self::Name(name))
    }

    /// The name, or `None` for an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The last two labels of a name that has them: what hosts are sorted by where few have a
    /// pattern in common.
    pub fn end(&self) -> Option<&str> {
        self.name().and_then(end)
    }

    /// The address, or `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }
}

/// The last two labels.
pub(super) fn end(labels: &str) -> Option<&str> {
    let (before, _) = labels.rsplit_once('.')?;
    Some(before.rfind('.').map_or(labels, |dot| &labels[dot + 1..]))
}

fn check_labels(name: &str) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > 253 {
        return Err(HostError::TooLong);
    }
    let mut last = "";
    for label in name.split('.') {
        if label.len() > 63 {
            return Err(HostError::TooLong);
        }
        let ends = label.starts_with('-') || label.ends_with('-');
        let odd = label.bytes().any(|b| !(b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'));
        if label.is_empty() || ends || odd {
            return Err(HostError::NotAName);
        }
        last = label;
    }
    // WHATWG URL, "ends in a number": such a name is an address to some parser.
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if number { Err(HostError::AmbiguousAddress) } else { Ok(()) }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (text, want) in [
            ("API.Example.COM", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(Host::parse(text).map(|h| h.to_string()).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_two_parsers_might_read_differently_is_no_host() {
        for text in [
            "",
            ".",
            "a..b",
            "-a.example",
            "a-.example",
            "127.1",
            "0x7f.0.0.1",
            "010.0.0.1",
            "2130706433",
            "1.2.3.4.5",
            "a.example.0x1f",
            "a b",
            "a/b",
            "a@b",
            "a:80",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "%61.example",
            "a\u{0}b",
            "*.example.com",
            "a.example..",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?} was accepted");
        }
        assert!(Host::parse(&format!("{}.example", "a".repeat(64))).is_err());
        assert!(Host::parse(&vec!["a".repeat(60); 5].join(".")).is_err());
    }
}
