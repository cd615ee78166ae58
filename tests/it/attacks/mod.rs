//! Attacks by a hostile agent and a hostile destination, one file per direction. After each,
//! somebody else's good request still succeeds.

mod child;
mod frames;
mod h2;
mod origin;

mod reach;
mod timing;

use serde_json::json;

use crate::support::sidecar::Builder;
use crate::support::{Origin, Pki, Sidecar};

const SECRET: &str = "canary-b51d0c94e7a2";

/// A sidecar with a bearer token for `api.test`; `rule` goes on with the rule.
fn bearer(pki: &Pki, origin: &Origin, rule: &str) -> Builder {
    Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ name: api, host: api.test, port: {}, connection: api, networks: [127.0.0.0/8]{rule} }}\n",
            origin.port()
        ))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", SECRET)])
        .trusts(pki)
        .host("api.test", origin)
}
