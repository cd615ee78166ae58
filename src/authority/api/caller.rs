//! Who calls: what a scope is called in the table, and how a caller is let in.

use super::endpoint::Endpoint;
use super::problem::{ApiCode, Problem, Surface, chain};
use crate::authority::Authority;
use crate::authority::access::{Access, Denied, NotAllowed, Presented, Principal, Scope};

/// A scope as the table names it: whom or what it is about stands in the [`Principal`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::authority) enum Role {
    Admin,
    Sidecar,
    Lease,
    App,
    Agent,
}

impl Role {
    pub(in crate::authority) fn of(principal: &Principal) -> Self {
        match principal.scope() {
            Scope::Admin => Self::Admin,
            Scope::Sidecar { .. } => Self::Sidecar,
            Scope::Lease { .. } => Self::Lease,
            Scope::App => Self::App,
            Scope::Agent { .. } => Self::Agent,
        }
    }

    pub(in crate::authority) const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Sidecar => "sidecar",
            Self::Lease => "lease",
            Self::App => "app",
            Self::Agent => "agent",
        }
    }
}

/// Settles who calls. It may block.
pub(in crate::authority) trait Gate: Send + Sync {
    fn admit(&self, presented: &Presented) -> Result<Principal, Denied>;
}

/// The keys of the store, and what the configuration admits beside them.
pub(super) struct Doors {
    pub(super) access: Access,
    pub(super) authority: Authority,
}

impl Gate for Doors {
    fn admit(&self, presented: &Presented) -> Result<Principal, Denied> {
        self.access.admit(presented, |hash| self.authority.known_key(hash), &*self.authority.desk.clock)
    }
}

/// A caller who is not let in, in the words of the surface. Old clients know no key that has ended.
pub(super) fn refused(why: &Denied, endpoint: &Endpoint) -> Problem {
    let old = endpoint.surface == Surface::Old;
    match why {
        Denied::Missing => {
            let how = "this call needs a key: send it as Authorization: Bearer KEY, or as X-API-Key: KEY";
            Problem::new(ApiCode::Unauthenticated, how).known_as("missing_api_key")
        }
        Denied::Store(_) | Denied::NoKeys => {
            let what = "it cannot be looked up at present who calls";
            Problem::new(ApiCode::Unavailable, what).with_log(chain(why)).retry_after(1)
        }
        Denied::Revoked if !old => Problem::new(ApiCode::KeyRevoked, why.to_string()),
        Denied::Expired if !old => Problem::new(ApiCode::KeyExpired, why.to_string()),
        _ => {
            // The reference's Broker says 403. To a client of its Gateway, that is a connection that is
            // not active yet.
            let broker = old && !endpoint.path.starts_with("/v1/");
            let code = if broker { ApiCode::PermissionDenied } else { ApiCode::Unauthenticated };
            Problem::new(code, why.to_string()).known_as("invalid_api_key")
        }
    }
}

impl From<NotAllowed> for Problem {
    fn from(why: NotAllowed) -> Self {
        match why {
            NotAllowed::Scope => Self::new(ApiCode::PermissionDenied, why.to_string()),
            NotAllowed::Hidden => Self::new(ApiCode::NotFound, why.to_string()),
        }
    }
}
