use std::cell::OnceCell;
use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::glob::Glob;
use super::item::{Evidence, Item, Known};
use crate::config::{At, Protocol, SetName};
use crate::model::{ConnectionName, Destination, Host, HostPattern, Path, Scheme, Scope, Stub};

/// A rule, ready to be tried.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) at: At,
    /// Empty: every agent.
    pub(super) agents: Box<[String]>,
    /// Empty: every host, without naming one.
    pub(super) hosts: Box<[HostPattern]>,
    /// Empty: what the effect means without one.
    pub(super) ports: Box<[u16]>,
    pub(super) methods: Box<[Method]>,
    pub(super) paths: Box<[Glob]>,
    /// The paths in the spellings that a deny rule is matched in.
    pub(super) lenient_paths: Box<[Glob]>,
    /// Paths that an allowing rule leaves out, in the spellings that a deny rule is matched in.
    pub(super) not_paths: Box<[Glob]>,
    pub(super) items: Box<[Item]>,
    pub(super) strict_path: bool,
    pub(super) effect: Effect,
    pub(super) networks: Arc<[IpNet]>,
    pub(super) pass_headers: Arc<[HeaderName]>,
    /// Headers that carry keys at its hosts.
    pub(super) key_headers: Arc<[HeaderName]>,
    /// Calls that mint credentials are allowed too.
    pub(super) mints: bool,
    /// The permission set that it comes from.
    pub(super) uses: Option<SetName>,
}

/// What a rule does with what it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Inject { connection: ConnectionName, plaintext: bool, scope: Option<Scope> },
    Forward,
    Tunnel(Protocol),
    Deny,
    Stub(Stub),
}

/// A request, as the rules look at it.
pub(super) struct Asked<'a, E> {
    pub(super) agent: &'a str,
    pub(super) destination: &'a Destination,
    pub(super) method: &'a Method,
    pub(super) path: &'a Path,
    pub(super) evidence: E,
    readings: OnceCell<Vec<String>>,
}

/// What came of trying a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met<'r> {
    /// It matches.
    Yes,
    /// It matches but for a second reading of the path, which `strict_path` refuses.
    StrictPath,
    /// It does not match.
    No(Miss<'r>),
    /// It cannot be known any more.
    Unknown,
}

/// The first condition that was not met.
#[derive(Clone, Copy, Debug)]
pub(super) enum Miss<'r> {
    Agent,
    Host,
    Port,
    Method,
    Path,
    Item(&'r Item),
}

impl PartialEq for Miss<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for Miss<'_> {}

impl<'a, E> Asked<'a, E> {
    pub(super) fn new(
        agent: &'a str,
        destination: &'a Destination,
        method: &'a Method,
        path: &'a Path,
        evidence: E,
    ) -> Self {
        Self { agent, destination, method, path, evidence, readings: OnceCell::new() }
    }

    /// Tells whether some common reading of the path matches one of these lenient patterns. A
    /// server may also add a slash to a path that has none.
    fn any_reading(&self, globs: &[Glob]) -> bool {
        /// `Path::deny_readings` stops here; a path made to have more readings has all of them.
        const TOO_MANY: usize = 64;
        let readings = self.readings.get_or_init(|| {
            let mut readings = self.path.deny_readings();
            if readings.len() >= TOO_MANY {
                return Vec::new();
            }
            let open = readings.iter().filter(|reading| !reading.ends_with('/'));
            let closed: Vec<String> = open.map(|reading| format!("{reading}/")).collect();
            readings.extend(closed);
            readings
        });
        readings.is_empty() || globs.iter().any(|glob| readings.iter().any(|reading| glob.matches(reading)))
    }
}

impl Rule {
    /// Tells whether the rule can apply to a host.
    pub(super) fn applies_to(&self, host: &Host) -> bool {
        self.hosts.is_empty() || self.names(host)
    }

    /// Tells whether the rule names a host.
    pub(super) fn names(&self, host: &Host) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Tells whether the rule can apply to an agent.
    pub(super) fn is_for(&self, agent: &str) -> bool {
        self.agents.is_empty() || self.agents.iter().any(|name| name == agent)
    }

    /// Tells whether the rule looks at anything that CONNECT does not show.
    pub(super) fn looks_inside(&self) -> bool {
        !self.methods.is_empty() || !self.paths.is_empty() || !self.items.is_empty() || self.strict_path
    }

    /// What it narrows a lease to.
    pub(super) fn scope(&self) -> Option<&Scope> {
        match &self.effect {
            Effect::Inject { scope, .. } => scope.as_ref(),
            _ => None,
        }
    }

    /// Tells whether the rule turns `http` into `https`.
    fn upgrades(&self) -> bool {
        matches!(self.effect, Effect::Inject { plaintext: false, .. })
    }

    /// Where this rule would send a request for `came`.
    pub(super) fn sends(&self, came: &Destination) -> Destination {
        if self.upgrades() { came.upgraded() } else { came.clone() }
    }

    /// The port that the rule is tried against.
    pub(super) fn sent_port(&self, came: &Destination) -> u16 {
        if self.upgrades() && came.scheme() == Scheme::Http && came.port() == 80 { 443 } else { came.port() }
    }

    /// Tells whether the rule takes a port that a request under this scheme came to.
    fn takes_port(&self, port: u16, scheme: Scheme) -> bool {
        if !self.ports.is_empty() {
            return self.ports.contains(&port);
        }
        match self.effect {
            Effect::Deny => true,
            Effect::Tunnel(_) | Effect::Inject { plaintext: false, .. } => port == 443,
            Effect::Forward | Effect::Stub(_) | Effect::Inject { plaintext: true, .. } => port == scheme.default_port(),
        }
    }

    /// Tells whether everything inside a CONNECT to this port is the rule's, one that denies: what
    /// would be sent to another port is still to be asked for.
    pub(super) fn takes_all_of_connect(&self, port: u16) -> bool {
        !self.looks_inside() && self.takes_port(port, Scheme::Https)
    }

    /// Tells whether a request inside a CONNECT to this port, over TLS or in the clear, can be
    /// one of the rule's.
    pub(super) fn takes_connect(&self, port: u16) -> bool {
        let upgraded = self.upgrades() || self.effect == Effect::Deny;
        self.takes_port(port, Scheme::Https)
            || (!matches!(self.effect, Effect::Tunnel(_)) && self.takes_port(port, Scheme::Http))
            || (upgraded && port == 80 && self.takes_port(443, Scheme::Https))
    }

    /// Tries the rule on a request to a host that it applies to. `port` is the one that it is
    /// tried against, usually its own [`Rule::sent_port`].
    pub(super) fn tries<E: Evidence>(&self, asked: &Asked<'_, E>, port: u16) -> Met<'_> {
        if !self.is_for(asked.agent) {
            return Met::No(Miss::Agent);
        }
        if !self.takes_port(port, asked.destination.scheme()) {
            return Met::No(Miss::Port);
        }
        let denies = self.effect == Effect::Deny;
        if !self.takes_method(asked.method, denies) {
            return Met::No(Miss::Method);
        }
        let mut unknown = false;
        for item in &self.items {
            let known = if denies { asked.evidence.leniently(item) } else { asked.evidence.strictly(item) };
            match known {
                Known::Yes => {}
                Known::No => return Met::No(Miss::Item(item)),
                Known::Unknown => unknown = true,
            }
        }
        let met = self.tries_path(asked, denies);
        if unknown && met != Met::No(Miss::Path) { Met::Unknown } else { met }
    }

    fn takes_method(&self, method: &Method, denies: bool) -> bool {
        let same = |own: &Method| own == method || (denies && own.as_str().eq_ignore_ascii_case(method.as_str()));
        self.methods.is_empty() || self.methods.iter().any(same)
    }

    fn tries_path<E>(&self, asked: &Asked<'_, E>, denies: bool) -> Met<'_> {
        let matches = |glob: &Glob| glob.matches(asked.path.as_str());
        let exactly = self.paths.is_empty() || self.paths.iter().any(matches);
        if self.strict_path && asked.path.has_second_reading() && (exactly || asked.any_reading(&self.lenient_paths)) {
            return Met::StrictPath;
        }
        if exactly && !self.not_paths.is_empty() && asked.any_reading(&self.not_paths) {
            return Met::No(Miss::Path);
        }
        if exactly || (denies && asked.any_reading(&self.lenient_paths)) { Met::Yes } else { Met::No(Miss::Path) }
    }
}
