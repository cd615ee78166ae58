//! Leases that no source lent, for the tests of the rooms that are handed one.

use std::sync::Arc;
use std::time::Duration;

use super::deadline::Bounds;
use super::lent::Shared;
use super::{Ask, Lease, Loan};
use crate::model::{Binding, Bindings, ConnectionName, Fields, Host, HostPattern, Secret, Strategy, Workspace};
use crate::policy::Grant;
use crate::telemetry::{Clock, SystemClock};

impl Lease {
    /// A live lease, bound to the grant's host alone: `connection-1`, version 7.
    pub(crate) fn for_tests(grant: Grant, strategy: Strategy, credentials: &[(&str, &[u8])]) -> Self {
        let hosts = vec![HostPattern::Exact(grant.terms().destination().host().clone())];
        let mut fields = Fields::new();
        credentials.iter().for_each(|(name, value)| fields.insert(*name, Secret::new(*value)));
        let loan = Loan {
            id: "connection-1".into(),
            version: 7,
            bindings: Bindings::new(vec![Binding { hosts, strategy }], false).unwrap(),
            credentials: fields,
            expires_at: None,
            refreshable: false,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bounds = Bounds { max_age: Duration::from_secs(600), max_stale: Duration::from_secs(300), clock };
        Self::of(grant, Shared::of(loan, None, 0, None, &bounds).unwrap()).unwrap()
    }
}

/// What a source is asked for a connection and a host, by an agent of no consequence.
pub(super) fn ask(connection: &str, host: &str) -> Ask {
    Ask {
        workspace: Workspace::local(),
        agent: "agent".into(),
        connection: ConnectionName::parse(connection).unwrap(),
        host: Host::parse(host).unwrap(),
        scope: None,
        held: None,
    }
}
