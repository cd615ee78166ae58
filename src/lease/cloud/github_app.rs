//! Tokens of a GitHub App's installation.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app>
//!
//! A token ends within the hour by itself. One that another took the place of is not revoked: a
//! request that streams may still go by it, and to revoke it later it would have to be kept.

use aws_lc_rs::rand::SystemRandom;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, json};

use super::calls::{Calls, Trouble, below, file, scope, unexpected};
use super::reply::Reply;
use crate::config::{GithubAppConnection, GithubAppSource, Installation, secret_file};
use crate::dial::{Answer, Call};
use crate::lease::{Ask, Asked, Fetch, Fetched};
use crate::model::{Fields, Secret};
use crate::sign::jwt::{RsaAlgorithm, RsaSigner};

/// The API takes an assertion of ten minutes at most, and its clock may be behind ours.
const BACK: i64 = 60;
const AHEAD: i64 = 540;

const ACCEPTED: HeaderValue = HeaderValue::from_static("application/vnd.github+json");
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));

/// Mints tokens of installations.
pub struct GithubAppFetch {
    source: GithubAppSource,
    calls: Calls,
}

impl GithubAppFetch {
    /// Mints with the key of an app.
    pub fn new(source: &GithubAppSource, calls: Calls) -> Self {
        Self { source: source.clone(), calls }
    }

    async fn mint(&self, place: &GithubAppConnection, ask: &Ask) -> Result<Fetched, Trouble> {
        let narrowed = place.narrowed(&scope(ask)).map_err(Trouble::Unusable)?;
        let app = self.assertion().await?;
        let id = match &narrowed.installation {
            Installation::Id(id) => *id,
            Installation::Owner(owner) => self.find(owner, &app).await?,
        };
        let mut wanted = Map::new();
        if !narrowed.repositories.is_empty() {
            wanted.insert("repositories".to_owned(), json!(narrowed.repositories));
        }
        if !narrowed.permissions.is_empty() {
            wanted.insert("permissions".to_owned(), json!(narrowed.permissions));
        }
        let url = below(&self.source.url, &format!("/app/installations/{id}/access_tokens"))?;
        let body = Secret::new(serde_json::Value::Object(wanted).to_string());
        let answer = self.call(Call::post(url, "application/json", body), &app).await?;
        match answer.status {
            StatusCode::CREATED => {}
            StatusCode::NOT_FOUND => return Err(Trouble::Unusable(format!("the app has no installation {id}"))),
            StatusCode::UNPROCESSABLE_ENTITY => return Err(refused(&narrowed)),
            _ => return Err(common(&answer)),
        }
        let reply =
            Reply::parse(&answer.body).ok_or_else(|| Trouble::unusable("what GitHub answers is no JSON object"))?;
        let token = reply.text("token").ok_or_else(|| Trouble::unusable("GitHub gives no token"))?;
        let end =
            reply.text("expires_at").ok_or_else(|| Trouble::unusable("GitHub does not say when the token ends"))?;
        let mut fields = Fields::new();
        fields.insert("token", Secret::new(token));
        Ok(Fetched { fields, expires_at: Some(self.calls.until(end)?), refreshable: true })
    }

    /// The installation at an organisation or a user, whichever the name is.
    async fn find(&self, owner: &str, app: &HeaderValue) -> Result<u64, Trouble> {
        for kind in ["orgs", "users"] {
            let url = below(&self.source.url, &format!("/{kind}/{owner}/installation"))?;
            let answer = self.call(Call::get(url), app).await?;
            match answer.status {
                StatusCode::OK => {
                    let id = Reply::parse(&answer.body).and_then(|reply| reply.count("id"));
                    return id.ok_or_else(|| Trouble::unusable("GitHub says no installation's id"));
                }
                StatusCode::NOT_FOUND => {}
                _ => return Err(common(&answer)),
            }
        }
        Err(Trouble::Unusable(format!(
            "the app is not installed at {owner}: install it there, or name the installation"
        )))
    }

    /// What the app shows who it is by, read anew: its key may have been exchanged.
    async fn assertion(&self) -> Result<HeaderValue, Trouble> {
        let pem = file(&self.source.key_file, secret_file).await?;
        let wrong = |error: &dyn std::fmt::Display| {
            Trouble::Unusable(format!("cannot sign with {}: {error}", self.source.key_file.display()))
        };
        let signer = RsaSigner::from_pem(&pem).map_err(|error| wrong(&error))?;
        let now = self.calls.unix();
        let claims = json!({ "iss": self.source.app_id, "iat": now - BACK, "exp": now + AHEAD });
        let claims = claims.as_object().cloned().unwrap_or_default();
        let token = signer.sign(RsaAlgorithm::Rs256, &Map::new(), &claims, &SystemRandom::new());
        bearer(&token.map_err(|error| wrong(&error))?)
    }

    async fn call(&self, call: Call, app: &HeaderValue) -> Result<Answer, Trouble> {
        let call = call.header(AUTHORIZATION, app.clone()).header(ACCEPT, ACCEPTED);
        self.calls.call(call.header(VERSION.0, VERSION.1)).await
    }
}

/// `Authorization` with a token.
pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, Trouble> {
    let text = zeroize::Zeroizing::new([b"Bearer ", token.expose()].concat());
    let mut value =
        HeaderValue::from_bytes(&text).map_err(|_| Trouble::unusable("a token that is no header's value"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// 422: what was asked for is not the installation's to give.
fn refused(narrowed: &GithubAppConnection) -> Trouble {
    let repositories: Vec<&str> = narrowed.repositories.iter().map(String::as_str).collect();
    let permissions: Vec<String> =
        narrowed.permissions.iter().map(|(what, level)| format!("{what}: {level}")).collect();
    let asked = [("repositories", repositories.join(", ")), ("permissions", permissions.join(", "))];
    let asked = asked.iter().filter(|(_, names)| !names.is_empty());
    let asked: Vec<String> = asked.map(|(kind, names)| format!("the {kind} {names}")).collect();
    let asked = if asked.is_empty() { "what it was asked for".to_owned() } else { asked.join(" and ") };
    Trouble::Unusable(format!("the installation does not have {asked}"))
}

/// What answers of every call mean.
fn common(answer: &Answer) -> Trouble {
    let limited = answer.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
        || answer.headers.contains_key(http::header::RETRY_AFTER);
    match answer.status {
        StatusCode::UNAUTHORIZED => {
            Trouble::unusable("GitHub answers 401: look at `app_id`, its key, and the clock of this machine")
        }
        StatusCode::FORBIDDEN if limited => {
            Trouble::Unavailable("GitHub answers 403: the rate limit is used up".into())
        }
        // The installation is suspended, or the app is.
        StatusCode::FORBIDDEN => Trouble::Attention,
        status => unexpected("GitHub", status, None),
    }
}

impl Fetch for GithubAppFetch {
    type Place = GithubAppConnection;

    fn fetch<'a>(&'a self, place: &'a GithubAppConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async { self.mint(place, ask).await.map_err(|trouble| trouble.of(&ask.connection)) })
    }

    fn narrows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
