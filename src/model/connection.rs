use std::fmt;
use std::sync::Arc;

use super::{Host, HostPattern, Strategy};

/// The tenant that every row, key, record and event carries.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workspace(Arc<str>);

impl Workspace {
    /// The only workspace of the embedded Authority.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// Reads a name: of the same form as that of a connection.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        ConnectionName::parse(text).map(|name| Self(name.0))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells whether a text can be the name of an agent: 1 to 100 printable ASCII characters, without
/// `:` (it is the user of a proxy URL) and `*`, and without blanks at its ends.
pub fn is_agent_name(text: &str) -> bool {
    let good = |b: u8| (0x20..0x7f).contains(&b) && b != b':' && b != b'*';
    (1..=100).contains(&text.len()) && text.bytes().all(good) && text.trim() == text
}

/// The name of a connection, as rules and commands say it: lower-case letters, digits, `.`,
/// `_` and `-`, 1 to 64 of them, starting with a letter or a digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionName(Arc<str>);

/// What makes a text no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit")]
pub struct NameError(pub String);

impl ConnectionName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if first && text.len() <= 64 && text.bytes().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of an execution contract: at these hosts, authenticate like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Where.
    pub hosts: Vec<HostPattern>,
    /// How.
    pub strategy: Strategy,
}

/// The execution contract of a connection: `hosts -> strategy`, first match. It is fixed when
/// the connection is made, sealed with it, and travels with every lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings(Vec<Binding>);

/// What makes a contract one that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// Nothing to bind to.
    #[error("a connection needs at least one host")]
    NoHosts,
    /// A reusable secret would go to whatever host turns up in a zone.
    #[error(
        "the wildcard {host} cannot take the strategy {strategy}, which sends a reusable secret: name the hosts, or say --owned if the zone is yours"
    )]
    WildcardSecret {
        /// The pattern.
        host: HostPattern,
        /// The strategy's type.
        strategy: &'static str,
    },
}

impl Bindings {
    /// Checks a contract. `owned` says that the zones of its wildcards are ours.
    pub fn new(bindings: Vec<Binding>, owned: bool) -> Result<Self, BindingError> {
        if bindings.is_empty() || bindings.iter().any(|binding| binding.hosts.is_empty()) {
            return Err(BindingError::NoHosts);
        }
        for binding in &bindings {
            let wildcard = binding.hosts.iter().find(|host| host.is_wildcard());
            if let (Some(host), false, true) = (wildcard, owned, binding.strategy.sends_reusable_secret()) {
                return Err(BindingError::WildcardSecret { host: host.clone(), strategy: binding.strategy.kind() });
            }
        }
        Ok(Self(bindings))
    }

    /// The strategy for a host, or `None` where the connection is not bound to it.
    pub fn strategy_for(&self, host: &Host) -> Option<&Strategy> {
        let binding = self.0.iter().find(|binding| binding.hosts.iter().any(|pattern| pattern.matches(host)));
        binding.map(|binding| &binding.strategy)
    }

    /// The lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.0.iter()
    }

    /// Every host pattern, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.0.iter().flat_map(|binding| &binding.hosts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["github", "acme.jira-2_x", "7up"] {
            assert!(ConnectionName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(ConnectionName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reusable_secret_needs_named_hosts() {
        let at = |host: &str, strategy| vec![Binding { hosts: vec![HostPattern::parse(host).unwrap()], strategy }];
        assert!(Bindings::new(at("api.*.example.com", Strategy::OAuth2), false).is_err());
        let binding = |strategy| at("*.example.com", strategy);
        let signed =
            Strategy::AwsSigV4 { service: None, region: None, allowed_services: vec![], allowed_regions: vec![] };
        assert!(Bindings::new(binding(Strategy::OAuth2), false).is_err());
        assert!(Bindings::new(binding(Strategy::OAuth2), true).is_ok());
        assert!(Bindings::new(binding(signed), false).is_ok());
        assert!(Bindings::new(vec![], true).is_err());
    }
}
