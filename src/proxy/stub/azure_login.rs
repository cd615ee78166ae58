//! Microsoft Entra ID, of what MSAL asks of it: which clouds there are, what a tenant's endpoints
//! are, and a token.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-protocols>

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::oauth::{self, Grant};
use super::reply::{Reply, seconds};
use super::{Asked, LIFE, azure, once};
use crate::model::Query;
use crate::model::placeholder::OAUTH_REFRESH;

/// The names of the public cloud, which MSAL takes for one.
const ALIASES: [&str; 4] = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

pub(super) fn answer(asked: &Asked<'_>) -> Reply {
    let segments: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    let tenant = segments.first().copied().unwrap_or_default();
    if tenant.is_empty() || !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Reply::unknown();
    }
    match (asked.method, segments.get(1..).unwrap_or_default()) {
        (&Method::GET, ["discovery", "instance"]) => discovery(asked),
        (&Method::GET, ["v2.0", ".well-known", "openid-configuration"]) => configuration(asked, tenant, "/v2.0"),
        (&Method::GET, [".well-known", "openid-configuration"]) => configuration(asked, tenant, ""),
        (&Method::POST, ["oauth2", "v2.0", "token"]) => token(asked, tenant, true),
        (&Method::POST, ["oauth2", "token"]) => token(asked, tenant, false),
        _ => Reply::unknown(),
    }
}

fn discovery(asked: &Asked<'_>) -> Reply {
    let tenant = asked.item("authorization_endpoint");
    let tenant = tenant.as_deref().and_then(|url| url.split('/').nth(3)).unwrap_or("common");
    Reply::json(&json!({
        "api-version": "1.1",
        "tenant_discovery_endpoint":
            format!("https://{}/{tenant}/v2.0/.well-known/openid-configuration", asked.authority),
        "metadata": [{
            "aliases": ALIASES,
            "preferred_cache": "login.windows.net",
            "preferred_network": "login.microsoftonline.com",
        }],
    }))
}

fn configuration(asked: &Asked<'_>, tenant: &str, version: &str) -> Reply {
    let at = |path: &str| format!("https://{}/{tenant}/{path}", asked.authority);
    let endpoint = |name: &str| at(&format!("oauth2{version}/{name}"));
    Reply::json(&json!({
        "authorization_endpoint": endpoint("authorize"),
        "device_authorization_endpoint": endpoint("devicecode"),
        "end_session_endpoint": endpoint("logout"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": at(version.trim_start_matches('/')),
        "jwks_uri": at(&format!("discovery{version}/keys")),
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "token_endpoint": endpoint("token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
    }))
}

fn token(asked: &Asked<'_>, tenant: &str, second: bool) -> Reply {
    let (form, grant) = match oauth::grant(asked) {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let audience = audience(&form, second);
    let Some(audience) = audience.filter(|audience| !audience.is_empty()) else {
        let what = if second { "scope is missing" } else { "resource is missing" };
        return oauth::error(StatusCode::BAD_REQUEST, "invalid_request", what);
    };
    let client = once(&form, "client_id").unwrap_or_else(|| azure::NOBODY.to_owned());
    let mut answer = json!({
        "access_token": azure::access(asked, &audience, tenant, &client),
        "token_type": "Bearer",
    });
    if second {
        answer["expires_in"] = LIFE.as_secs().into();
        answer["ext_expires_in"] = LIFE.as_secs().into();
    } else {
        answer["expires_in"] = LIFE.as_secs().to_string().into();
        answer["expires_on"] = seconds(asked.end()).to_string().into();
        answer["not_before"] = seconds(asked.now).to_string().into();
        answer["resource"] = Value::from(audience);
    }
    if grant == Grant::RefreshToken {
        answer["refresh_token"] = OAUTH_REFRESH.into();
    }
    Reply::json(&answer)
}

/// The resource that a token is for: said, or what stands before `/.default` of a scope.
fn audience(form: &Query, second: bool) -> Option<String> {
    if !second {
        return once(form, "resource");
    }
    let scope = once(form, "scope")?;
    let first = scope.split(' ').find(|scope| !["openid", "profile", "offline_access"].contains(scope))?;
    Some(first.strip_suffix("/.default").unwrap_or(first).to_owned())
}
