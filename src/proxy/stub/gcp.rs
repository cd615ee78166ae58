//! The metadata server of Google Cloud, of what client libraries ask of it.
//!
//! <https://cloud.google.com/compute/docs/metadata/querying-metadata>

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::reply::{Reply, seconds};
use super::{Asked, LIFE, jwt};
use crate::model::placeholder::{GCP_ACCESS, GCP_SIGNATURE};

const FLAVOR: &str = "metadata-flavor";

/// Whose project it seems to be; clients that care are told elsewhere (`GOOGLE_CLOUD_PROJECT`).
const PROJECT: &str = "nexus-sidecar";
const EMAIL: &str = "placeholder@nexus-sidecar.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

pub(super) fn answer(asked: &Asked<'_>) -> Reply {
    ask(asked).with(FLAVOR, "Google").with("server", "Metadata Server for VM")
}

fn ask(asked: &Asked<'_>) -> Reply {
    if *asked.method != Method::GET {
        return Reply::method();
    }
    if asked.is_relayed() {
        return Reply::refuse(StatusCode::FORBIDDEN, "nothing is told of what was relayed");
    }
    // Whoever looks for the server does so without the header.
    if asked.path == "/" {
        return Reply::text("computeMetadata/\n");
    }
    if asked.header(FLAVOR).is_none_or(|flavor| !flavor.eq_ignore_ascii_case("google")) {
        return Reply::refuse(StatusCode::FORBIDDEN, "the header Metadata-Flavor: Google is missing");
    }
    let Some(path) = asked.path.strip_prefix("/computeMetadata/v1") else { return Reply::unknown() };
    match path.trim_matches('/') {
        "" => Reply::text("instance/\nproject/\nuniverse/\n"),
        "project/project-id" => Reply::text(PROJECT),
        "project/numeric-project-id" => Reply::text("0"),
        "universe/universe-domain" => Reply::text("googleapis.com"),
        "instance/id" => Reply::text("0"),
        "instance/zone" => Reply::text("projects/0/zones/us-central1-a"),
        "instance/region" => Reply::text("projects/0/regions/us-central1"),
        "instance/service-accounts" if recursive(asked) => {
            Reply::json(&json!({ "default": account(), EMAIL: account() }))
        }
        "instance/service-accounts" => Reply::text(format!("default/\n{EMAIL}/\n")),
        path => match path.strip_prefix("instance/service-accounts/").map(|rest| rest.split_once('/')) {
            Some(named) => of_account(asked, named, path),
            None => Reply::unknown(),
        },
    }
}

fn of_account(asked: &Asked<'_>, named: Option<(&str, &str)>, path: &str) -> Reply {
    let alone = path.trim_start_matches("instance/service-accounts/");
    let (account_name, what) = named.unwrap_or((alone, ""));
    if account_name != "default" && account_name != EMAIL {
        return Reply::unknown();
    }
    match what {
        "" if recursive(asked) => Reply::json(&account()),
        "" => Reply::text("aliases\nemail\nidentity\nscopes\ntoken\n"),
        "aliases" => Reply::text("default\n"),
        "email" => Reply::text(EMAIL),
        "scopes" => Reply::text(format!("{SCOPE}\n")),
        "token" => Reply::json(&json!({
            "access_token": GCP_ACCESS,
            "expires_in": LIFE.as_secs(),
            "token_type": "Bearer",
        })),
        "identity" => match asked.item("audience") {
            Some(audience) if !audience.is_empty() => Reply::text(identity(asked, &audience)),
            _ => Reply::refuse(StatusCode::BAD_REQUEST, "an ID token is for one audience, which is missing"),
        },
        _ => Reply::unknown(),
    }
}

fn recursive(asked: &Asked<'_>) -> bool {
    asked.item("recursive").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn account() -> Value {
    json!({ "aliases": ["default"], "email": EMAIL, "scopes": [SCOPE] })
}

/// An ID token for an audience.
pub(super) fn identity(asked: &Asked<'_>, audience: &str) -> String {
    let claims = json!({
        "aud": audience,
        "azp": "0",
        "email": EMAIL,
        "email_verified": true,
        "exp": seconds(asked.end()),
        "iat": seconds(asked.now),
        "iss": "https://accounts.google.com",
        "sub": "0",
    });
    jwt::unsigned(&claims, GCP_SIGNATURE)
}
