use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::deadline::Deadline;
use super::{LendError, Loan};
use crate::model::{Bindings, Fields, Host, HostPattern, Refusal, Strategy};
use crate::policy::{Grant, Permit};
use crate::telemetry::Clock;

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
    strategy: Arc<Strategy>,
    shared: Arc<Shared>,
}

/// What every lease of one connection has in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: Arc<str>,
    pub(super) version: u64,
    contract: Contract,
    pub(super) credentials: Fields,
    pub(super) deadline: Deadline,
    memo: Arc<Memo>,
}

/// What a strategy prepared once from credentials, for every lease of them; it ends with them.
pub type Memo = OnceLock<Box<dyn Any + Send + Sync>>;

impl Shared {
    /// Takes what a source lent, without the fields that no strategy uses. `None` where it has
    /// expired already.
    pub(super) fn of(mut loan: Loan, clock: &Arc<dyn Clock>) -> Option<Arc<Self>> {
        loan.keep_what_is_used();
        let deadline = Deadline::of(loan.expires_at, clock)?;
        let Loan { id, version, bindings, credentials, .. } = loan;
        Some(Arc::new(Self {
            id,
            version,
            contract: Contract::new(&bindings),
            credentials,
            deadline,
            memo: Arc::default(),
        }))
    }
}

/// Bindings whose strategies can be handed to many leases.
#[derive(Debug)]
struct Contract(Vec<(Vec<HostPattern>, Arc<Strategy>)>);

impl Contract {
    fn new(bindings: &Bindings) -> Self {
        Self(bindings.iter().map(|one| (one.hosts.clone(), Arc::new(one.strategy.clone()))).collect())
    }

    fn strategy_for(&self, host: &Host) -> Option<&Arc<Strategy>> {
        let line = self.0.iter().find(|(hosts, _)| hosts.iter().any(|pattern| pattern.matches(host)));
        line.map(|(_, strategy)| strategy)
    }
}

impl Lent {
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
        match shared.contract.strategy_for(host) {
            Some(strategy) => Ok(Self { strategy: Arc::clone(strategy), grant, shared }),
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
        &self.strategy
    }

    /// What to authenticate with.
    pub fn credentials(&self) -> &Fields {
        &self.shared.credentials
    }

    /// A place for what is prepared once from the credentials.
    pub fn memo(&self) -> &Arc<Memo> {
        &self.shared.memo
    }

    /// The connection's id.
    pub fn id(&self) -> &Arc<str> {
        &self.shared.id
    }

    /// The version of the credentials.
    pub fn version(&self) -> u64 {
        self.shared.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Binding;
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
        let kind = |host| contract.strategy_for(&Host::parse(host).unwrap()).map(|strategy| strategy.kind());
        assert_eq!(kind("api.github.com"), Some("oauth2"));
        assert_eq!(kind("github.com"), Some("basic_auth"));
        for other in ["gist.github.com", "github.com.evil.example", "evilgithub.com", "127.0.0.1"] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
