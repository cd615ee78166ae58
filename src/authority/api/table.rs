//! The endpoints, each once.

use super::endpoint::Endpoint;
use super::{access, audit, connections, events, lease, policy, providers, refresh, revocations, service, token};

/// All of them. Router, scope check, document and tests read this and nothing else.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = Vec::new();
    all.extend(lease::endpoints());
    all.extend(token::endpoints());
    all.extend(refresh::endpoints());
    all.extend(policy::endpoints());
    all.extend(audit::endpoints());
    all.extend(service::endpoints());
    all.extend(providers::endpoints());
    all.extend(connections::endpoints());
    all.extend(revocations::endpoints());
    all.extend(events::endpoints());
    all.extend(access::endpoints());
    all
}
