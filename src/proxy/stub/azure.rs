//! The instance metadata service of Azure, of the tokens of a managed identity.
//!
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>

use http::{Method, StatusCode};
use serde_json::json;

use super::reply::{Reply, seconds};
use super::{Asked, LIFE, jwt};
use crate::model::placeholder::AZURE_SIGNATURE;

/// The tenant, and the application, that callers of stubs seem to be.
pub(super) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

pub(super) fn answer(asked: &Asked<'_>) -> Reply {
    if *asked.method != Method::GET {
        return Reply::method();
    }
    if asked.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) || asked.is_relayed() {
        return error("the header Metadata: true is missing, or it was relayed");
    }
    if asked.item("api-version").is_none_or(|version| version.is_empty()) {
        return error("api-version is missing");
    }
    match asked.path {
        "/metadata/identity/oauth2/token" => token(asked),
        "/metadata/instance" | "/metadata/instance/compute" => {
            let compute = json!({ "azEnvironment": "AzurePublicCloud", "location": "eastus", "vmId": NOBODY });
            let whole = asked.path == "/metadata/instance";
            Reply::json(&if whole { json!({ "compute": compute }) } else { compute })
        }
        _ => Reply::unknown(),
    }
}

fn token(asked: &Asked<'_>) -> Reply {
    let Some(resource) = asked.item("resource").filter(|resource| !resource.is_empty()) else {
        return error("a token is for one resource, which is missing");
    };
    let client = asked.item("client_id").unwrap_or_else(|| NOBODY.to_owned());
    // All of them are texts, numbers too.
    Reply::json(&json!({
        "access_token": access(asked, &resource, NOBODY, &client),
        "client_id": client,
        "expires_in": LIFE.as_secs().to_string(),
        "expires_on": seconds(asked.end()).to_string(),
        "ext_expires_in": LIFE.as_secs().to_string(),
        "not_before": seconds(asked.now).to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
}

/// An access token for a resource.
pub(super) fn access(asked: &Asked<'_>, audience: &str, tenant: &str, client: &str) -> String {
    let claims = json!({
        "aud": audience,
        "appid": client,
        "exp": seconds(asked.end()),
        "iat": seconds(asked.now),
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "nbf": seconds(asked.now),
        "oid": NOBODY,
        "sub": NOBODY,
        "tid": tenant,
        "ver": "1.0",
    });
    jwt::unsigned(&claims, AZURE_SIGNATURE)
}

fn error(why: &str) -> Reply {
    let body = json!({ "error": "invalid_request", "error_description": format!("nexus-sidecar: {why}") });
    Reply::json(&body).with_status(StatusCode::BAD_REQUEST)
}
