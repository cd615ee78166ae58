use std::fmt;

use super::{Host, HostError};

/// The two schemes that exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Reads a scheme regardless of case (RFC 3986, section 3.1).
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else {
            None
        }
    }
}

/// What makes a text no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The host part.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Not 1 to 65535 in plain digits.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A target of CONNECT names its port.
    #[error("the port is missing")]
    NoPort,
    /// `user:password@host` is refused, never cut off.
    #[error("the authority carries user information")]
    UserInfo,
}

/// A host with a port that may be absent: `Host`, `:authority`, a target of CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, if one was written.
    pub port: Option<u16>,
}

impl HostPort {
    /// Reads `host`, `host:port` or `[v6]:port`. An empty port (`host:`) counts as absent
    /// (RFC 3986, section 6.2.3).
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        if text.contains('@') {
            return Err(DestinationError::UserInfo);
        }
        let split = match text.rfind(']') {
            Some(bracket) => text[bracket..].find(':').map(|colon| bracket + colon),
            None => text.find(':'),
        };
        let (host, port) = match split {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, None),
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) => Some(parse_port(digits)?),
        };
        Ok(Self { host: Host::parse(host)?, port })
    }

    /// The destination under a scheme, its default port filled in.
    pub fn with_scheme(&self, scheme: Scheme) -> Destination {
        Destination { scheme, host: self.host.clone(), port: self.port.unwrap_or(scheme.default_port()) }
    }

    /// Tells whether it names this destination, a missing port standing for the scheme's own.
    pub fn names(&self, destination: &Destination) -> bool {
        self.host == destination.host && self.port.unwrap_or(destination.scheme.default_port()) == destination.port
    }
}

fn parse_port(digits: &str) -> Result<u16, DestinationError> {
    if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DestinationError::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(DestinationError::Port),
        Ok(port) => Ok(port),
    }
}

/// Where a request goes: scheme, host and port, each in its one spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl Destination {
    /// Puts checked parts together.
    pub fn new(scheme: Scheme, host: Host, port: u16) -> Self {
        Self { scheme, host, port }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, always there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same place over TLS: port 80 becomes 443, every other port stays.
    #[must_use]
    pub fn upgraded(&self) -> Self {
        match (self.scheme, self.port) {
            (Scheme::Https, _) => self.clone(),
            (Scheme::Http, 80) => Self { scheme: Scheme::Https, host: self.host.clone(), port: 443 },
            (Scheme::Http, port) => Self { scheme: Scheme::Https, host: self.host.clone(), port },
        }
    }

    /// The value of `Host` and `:authority`: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let read = |text: &str| HostPort::parse(text).map(|hp| (hp.host.to_string(), hp.port));
        assert_eq!(read("Example.com:8443"), Ok(("example.com".into(), Some(8443))));
        assert_eq!(read("example.com:"), Ok(("example.com".into(), None)));
        assert_eq!(read("[::1]:80"), Ok(("[::1]".into(), Some(80))));
        assert_eq!(read("[::1]"), Ok(("[::1]".into(), None)));
        for bad in ["a:b@c", "a:0", "a:65536", "a:+80", "a: 80", "::1:80", "[::1]x:80", "a:80:80", ":80"] {
            assert!(HostPort::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_upgrade_keeps_a_port_that_was_chosen() {
        let at = |port| HostPort { host: Host::parse("a.example").unwrap(), port }.with_scheme(Scheme::Http);
        assert_eq!(at(None).upgraded().to_string(), "https://a.example");
        assert_eq!(at(Some(8080)).upgraded().to_string(), "https://a.example:8080");
        assert_eq!(at(Some(8080)).authority(), "a.example:8080");
    }
}
