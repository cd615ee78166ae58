//! What a policy's rules do that a person should know of, told without a request.

use super::Policy;
use super::rule::Effect;
use crate::config::{At, Protocol};
use crate::model::{ConnectionName, HostPattern, Scope};

/// One rule, as far as it matters to whoever looks after a set-up.
#[derive(Clone, Copy, Debug)]
pub struct Surveyed<'p> {
    /// Its name.
    pub name: &'p str,
    /// Where it is written.
    pub at: &'p At,
    /// The hosts that it names; none: every host.
    pub hosts: &'p [HostPattern],
    /// The connection that it borrows.
    pub connection: Option<&'p ConnectionName>,
    /// What its lease is narrowed to.
    pub scope: Option<&'p Scope>,
    /// `plaintext: true`: the credential may go over plain HTTP.
    pub plaintext: bool,
    /// `protocol: any`: a tunnel in which TLS is not asked for.
    pub any_protocol: bool,
}

impl Policy {
    /// Every rule, in order.
    pub fn survey(&self) -> impl Iterator<Item = Surveyed<'_>> {
        self.rules.all().iter().map(|rule| {
            let (connection, plaintext) = match &rule.effect {
                Effect::Inject { connection, plaintext, .. } => (Some(connection), *plaintext),
                _ => (None, false),
            };
            let scope = rule.scope();
            let any_protocol = rule.effect == Effect::Tunnel(Protocol::Any);
            Surveyed { name: &rule.name, at: &rule.at, hosts: &rule.hosts, connection, scope, plaintext, any_protocol }
        })
    }

    /// Tells whether hosts that no rule names are tunnelled (`default: tunnel`).
    pub fn tunnels_by_default(&self) -> bool {
        self.default_tunnel.is_some()
    }
}
