//! What a secret looks like in Vault's answers (api-docs/secret/kv/kv-v2, kv-v1).

use std::collections::BTreeMap;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Failed;
use crate::config::VaultConnection;
use crate::lease::Fetched;
use crate::lease::secret_json::SecretJson;
use crate::model::Fields;

/// Credentials that are kept there. A versioned engine has them below `data.data`, beside
/// `data.metadata`; the other one right below `data`.
pub(super) fn kept(secret: &SecretJson, place: &VaultConnection, now: SystemTime) -> Result<Fetched, Failed> {
    let Some(version) = secret.count(&["data", "metadata", "version"]) else {
        if place.version.is_some() {
            let why =
                format!("{} has no versions: leave `version` out, or name a path of a versioned engine", place.path);
            return Err(Failed::Unusable(why));
        }
        let fields = fields(secret.at(&["data"]), place);
        return Ok(Fetched { fields, expires_at: None, refreshable: true });
    };
    if let Some(gone) = gone(secret, place, Some(now)) {
        return Err(gone);
    }
    if place.version.is_some_and(|wanted| wanted != version) {
        return Err(Failed::Unavailable(format!("{}: Vault answered with version {version}", place.path)));
    }
    let fields = fields(secret.at(&["data", "data"]), place);
    // One that is to be deleted at a moment ends then.
    Ok(Fetched { fields, expires_at: deletion(secret), refreshable: place.version.is_none() })
}

/// Why there is nothing, by the body of a 404.
pub(super) fn missing(body: &[u8], place: &VaultConnection) -> Failed {
    let Ok(answer) = SecretJson::parse(body) else { return Failed::Missing };
    if let Some(gone) = gone(&answer, place, None) {
        return gone;
    }
    match answer.at(&["warnings"]) {
        // It says so of a path of a versioned engine without `data/`, whatever is there.
        Some(_) if !place.path.contains("/data/") => Failed::Unusable(format!(
            "there is nothing at {}; of a versioned engine the path has data/ behind its mount",
            place.path
        )),
        _ => Failed::Missing,
    }
}

/// Says of a version that it was taken away: marked as deleted, or destroyed.
fn gone(secret: &SecretJson, place: &VaultConnection, now: Option<SystemTime>) -> Option<Failed> {
    let number = secret.count(&["data", "metadata", "version"])?;
    let how = match () {
        () if secret.is_true(&["data", "metadata", "destroyed"]) => "destroyed",
        () if deletion(secret).is_some_and(|at| now.is_none_or(|now| at <= now)) => "deleted",
        () if secret.at(&["data", "data"]).is_none_or(|data| data.members().is_none()) => "deleted",
        () => return None,
    };
    let remedy = if place.version.is_some() { "name another `version`" } else { "write a new version there" };
    Some(Failed::Unusable(format!("version {number} of {} was {how} in Vault: {remedy}", place.path)))
}

fn deletion(secret: &SecretJson) -> Option<SystemTime> {
    let text = secret.text(&["data", "metadata", "deletion_time"])?;
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// The texts of an object, by the names that strategies say.
pub(super) fn fields(data: Option<&SecretJson>, place: &VaultConnection) -> Fields {
    let none = BTreeMap::new();
    let data = data.and_then(SecretJson::members).unwrap_or(&none);
    let mut fields = Fields::new();
    let mut give = |name: &str, key: &str| {
        if let Some(SecretJson::Text(secret)) = data.get(key) {
            fields.insert(name, secret.duplicate());
        }
    };
    match &place.fields {
        Some(keys) => keys.iter().for_each(|(name, key)| give(name, key)),
        None => {
            // What AWS calls a session token, Vault's engine for AWS does not.
            give("session_token", "security_token");
            data.keys().for_each(|key| give(key, key));
        }
    }
    fields
}
