use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::Method;

use super::deadline::{Bounds, Deadline};
use super::{Heard, LendError, Loan};
use crate::config::Catalogue;
use crate::model::{Binding, Bindings, Fields, Host, HostPattern, Refusal, RefusedAs, Strategy};
use crate::policy::{Grant, Permit};

/// What an attempt may be made with.
#[derive(Debug)]
pub enum Lent {
    /// Credentials for a grant.
    Lease(Lease),
    /// Nothing, as the permit says.
    Nothing(Permit),
}

/// Live credentials with a deadline, of a connection that is bound to the grant's host. Made
/// only here.
#[derive(Debug)]
pub struct Lease {
    grant: Grant,
    line: Arc<ContractLine>,
    shared: Arc<Shared>,
}

/// What every lease of one question has in common: the credentials, until they are renewed.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: Arc<str>,
    pub(super) version: u64,
    pub(super) deadline: Deadline,
    /// Whether there can be others, where a destination refuses these.
    pub(super) refreshable: bool,
    /// When this version came here first, since boot.
    pub(super) since: Duration,
    /// The source's count of changes under which it is known to hold.
    pub(super) generation: AtomicU64,
    /// A destination refused it, and another is being made.
    pub(super) shunned: AtomicBool,
    /// When a destination last took it, in milliseconds since boot.
    accepted: AtomicU64,
    /// When a destination first refused it, in milliseconds since boot.
    refused: AtomicU64,
    kept: Arc<Kept>,
}

/// What does not change when an unchanged version is renewed.
#[derive(Debug)]
struct Kept {
    contract: Contract,
    credentials: Fields,
    memo: Arc<Memo>,
}

/// What a strategy prepared once from credentials, for every lease of them; it ends with them.
pub type Memo = OnceLock<Box<dyn Any + Send + Sync>>;

impl Shared {
    /// Takes what a source lent, without the fields that no strategy uses. `None` where it has
    /// expired already. What was held `before` tells since when the version is here.
    pub(super) fn of(
        mut loan: Loan,
        before: Option<&Self>,
        generation: u64,
        heard: Option<Arc<Heard>>,
        bounds: &Bounds,
    ) -> Option<Arc<Self>> {
        loan.keep_what_is_used();
        let deadline = Deadline::of(loan.expires_at, heard, bounds)?;
        let Loan { id, version, bindings, credentials, refreshable, .. } = loan;
        let known = before.filter(|before| before.id == id && before.version == version);
        let kept = Kept { contract: Contract::new(&bindings), credentials, memo: Arc::default() };
        Some(Arc::new(Self {
            id,
            version,
            deadline,
            refreshable,
            since: known.map_or_else(|| bounds.clock.boot(), |before| before.since),
            generation: generation.into(),
            shunned: AtomicBool::new(false),
            accepted: known.map_or(0, |before| before.accepted.load(Ordering::Relaxed)).into(),
            refused: known.map_or(0, |before| before.refused.load(Ordering::Relaxed)).into(),
            kept: Arc::new(kept),
        }))
    }

    /// The same version for longer. `None` where it has expired already.
    pub(super) fn renewed(
        &self,
        expires_at: Option<SystemTime>,
        generation: u64,
        heard: Option<Arc<Heard>>,
        bounds: &Bounds,
    ) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            id: Arc::clone(&self.id),
            version: self.version,
            deadline: Deadline::of(expires_at, heard, bounds)?,
            refreshable: self.refreshable,
            since: self.since,
            generation: generation.into(),
            shunned: AtomicBool::new(false),
            accepted: self.accepted.load(Ordering::Relaxed).into(),
            refused: self.refused.load(Ordering::Relaxed).into(),
            kept: Arc::clone(&self.kept),
        }))
    }

    #[cfg(test)]
    pub(super) fn credentials(&self) -> &Fields {
        &self.kept.credentials
    }

    /// Notes that a destination refuses it, and tells whether one took it `within` this time though
    /// it had been refused before: then it is good, and something else is refused.
    pub(super) fn refused_though_good(&self, now: Duration, within: Duration) -> bool {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
        match self.refused.compare_exchange(0, millis, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => false,
            Err(first) => {
                self.accepted.load(Ordering::Relaxed) > first
                    && self.accepted_before(now).is_some_and(|ago| ago < within)
            }
        }
    }

    /// How long ago a destination last took it.
    pub(super) fn accepted_before(&self, now: Duration) -> Option<Duration> {
        let at = self.accepted.load(Ordering::Relaxed);
        (at > 0).then(|| now.saturating_sub(Duration::from_millis(at)))
    }
}

/// Bindings whose strategies can be handed to many leases.
#[derive(Debug)]
struct Contract(Vec<Arc<ContractLine>>);

#[derive(Debug)]
struct ContractLine {
    hosts: Vec<HostPattern>,
    strategy: Strategy,
    refused: RefusedAs,
}

impl Contract {
    fn new(bindings: &Bindings) -> Self {
        let line = |one: &Binding| ContractLine {
            hosts: one.hosts.clone(),
            strategy: one.strategy.clone(),
            refused: Catalogue::built_in().refused_as(one),
        };
        Self(bindings.iter().map(|one| Arc::new(line(one))).collect())
    }

    fn line_for(&self, host: &Host) -> Option<&Arc<ContractLine>> {
        self.0.iter().find(|line| line.hosts.iter().any(|pattern| pattern.matches(host)))
    }
}

impl Lent {
    /// Whether a request with it may have to be sent once more, with others: they can be made, and
    /// sending it again does no harm.
    pub fn may_be_replaced(&self, method: &Method) -> bool {
        match self {
            Self::Lease(lease) => {
                lease.is_refreshable() && (method.is_idempotent() || lease.refused_as().before_effect)
            }
            Self::Nothing(_) => false,
        }
    }

    /// Tells whether it may still be used.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Lease(lease) => lease.is_live(),
            Self::Nothing(_) => true,
        }
    }
}

impl Lease {
    /// The one door: credentials go to a host that their connection is bound to, or nowhere.
    pub(super) fn of(grant: Grant, shared: Arc<Shared>) -> Result<Self, Refusal> {
        let host = grant.terms().destination().host();
        match shared.kept.contract.line_for(host) {
            Some(line) => Ok(Self { line: Arc::clone(line), grant, shared }),
            None => {
                let unbound = LendError::Unbound { name: grant.connection().clone(), host: host.clone() };
                Err(Refusal::from(unbound).with_rule(&**grant.terms().rule()))
            }
        }
    }

    /// Tells whether it may still be used: neither clock has reached its deadline.
    pub fn is_live(&self) -> bool {
        self.shared.deadline.is_ahead()
    }

    /// The grant that it was borrowed for.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// How to authenticate at the grant's host.
    pub fn strategy(&self) -> &Strategy {
        &self.line.strategy
    }

    /// What to authenticate with.
    pub fn credentials(&self) -> &Fields {
        &self.shared.kept.credentials
    }

    /// A place for what is prepared once from the credentials.
    pub fn memo(&self) -> &Arc<Memo> {
        &self.shared.kept.memo
    }

    /// The connection's id.
    pub fn id(&self) -> &Arc<str> {
        &self.shared.id
    }

    /// The version of the credentials.
    pub fn version(&self) -> u64 {
        self.shared.version
    }

    /// What the destination answers where it refuses them.
    pub fn refused_as(&self) -> &RefusedAs {
        &self.line.refused
    }

    /// Whether there can be others where a destination refuses these.
    pub fn is_refreshable(&self) -> bool {
        self.shared.refreshable
    }

    /// A destination took it, at this time since boot.
    pub fn accepted(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.shared.accepted.store(now.max(1), Ordering::Relaxed);
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_line_that_names_the_host_holds() {
        let line = |host: &str, kind: serde_json::Value| Binding {
            hosts: vec![HostPattern::parse(host).unwrap()],
            strategy: Strategy::from_json(&kind).unwrap(),
        };
        let basic = json!({"type": "basic_auth", "config": {"username": "x-access-token"}});
        let lines = vec![line("api.github.com", json!({"type": "oauth2"})), line("github.com", basic)];
        let contract = Contract::new(&Bindings::new(lines, false).unwrap());
        let kind = |host| contract.line_for(&Host::parse(host).unwrap()).map(|line| line.strategy.kind());
        assert_eq!(kind("api.github.com"), Some("oauth2"));
        assert_eq!(kind("github.com"), Some("basic_auth"));
        for other in ["gist.github.com", "github.com.evil.example", "evilgithub.com", "127.0.0.1"] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
