//! Refreshes that somebody asks for: at most one a minute for each connection, whoever asks.

use http::Method;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::{CONNECTION_IN_PATH, moment, named};
use super::endpoint::{Bucket, Endpoint, Handler, Schema, Shape, Waiting};
use super::lease::secret;
use super::problem::{ApiCode, Problem, Surface};
use super::token::{CONNECTION, no_such_connection, take, taken};
use crate::authority::access::Principal;
use crate::authority::lend::Lending;
use crate::authority::{Connection, Forced, RefreshError, State};

pub(super) fn endpoints() -> [Endpoint; 3] {
    let old = |path, name, summary, handler| Endpoint {
        method: Method::POST,
        path,
        name,
        surface: Surface::Old,
        summary,
        parameters: vec![CONNECTION],
        body: None,
        answers: vec![
            (200, "The tokens that hold from now on", Some(Shape::Json(TOKENS))),
            (404, "No such connection, it is not active, or it is not the caller's to take", None),
            (409, "A person has to look", None),
            (502, "The provider gave no tokens", None),
        ],
        bucket: Bucket::Requests,
        handler: Handler::Waits(&[Role::Lease], handler),
    };
    [
        old("/v1/refresh/{connection}", "refresh", "Gets new tokens, and answers as the Gateway does", gateway),
        old(
            "/connections/{connection}/refresh",
            "brokerRefresh",
            "Gets new tokens, and answers as the Broker does",
            broker,
        ),
        Endpoint {
            method: Method::POST,
            path: "/api/v2/connections/{connection}/refresh",
            name: "refreshConnection",
            surface: Surface::New,
            summary: "Gets new tokens from the provider now",
            parameters: vec![CONNECTION_IN_PATH],
            body: None,
            answers: vec![
                (200, "Whether it was refreshed, and what it is now", Some(Shape::Json(REFRESHED))),
                (404, "There is no such connection", None),
                (409, "It is not ready, or a person has to look", None),
                (410, "It was revoked, or has expired", None),
                (502, "The provider gave no tokens", None),
            ],
            bucket: Bucket::Requests,
            handler: Handler::Waits(&[Role::Admin, Role::Sidecar], refresh),
        },
    ]
}

const TOKENS: Schema = Schema { name: "Tokens", of: tokens_schema };

fn tokens_schema() -> Value {
    json!({
        "type": "object",
        "required": ["access_token", "token_type"],
        "properties": {
            "access_token": { "type": "string" },
            "token_type": { "type": "string" },
            "expires_in": { "type": "integer", "minimum": 0 },
            "expiry": { "type": "string", "format": "date-time" },
        },
        "additionalProperties": false,
        "examples": [{ "access_token": "…", "token_type": "Bearer", "expiry": "2026-05-05T10:30:00Z" }],
    })
}

const REFRESHED: Schema = Schema { name: "Refreshed", of: refreshed_schema };

fn refreshed_schema() -> Value {
    json!({
        "type": "object",
        "required": ["refreshed", "id", "name", "version", "expires_at"],
        "properties": {
            "refreshed": { "type": "boolean", "description": "False: it was less than a minute ago" },
            "id": { "type": "string" },
            "name": { "type": "string" },
            "version": { "type": "integer", "minimum": 1 },
            "expires_at": { "type": ["string", "null"], "format": "date-time" },
        },
        "additionalProperties": false,
        "examples": [{
            "refreshed": true,
            "id": "0f885f3f-72de-42b2-b8ed-6baa01234567",
            "name": "tickets",
            "version": 4,
            "expires_at": "2026-05-05T10:30:00Z",
        }],
    })
}

fn gateway(call: Call, principal: Principal) -> Waiting {
    Box::pin(async move { tokens(&call, &principal, false).await })
}

fn broker(call: Call, principal: Principal) -> Waiting {
    Box::pin(async move { tokens(&call, &principal, true).await })
}

async fn tokens(call: &Call, principal: &Principal, whole: bool) -> Result<Answer, Problem> {
    let taker = taken(call, principal)?;
    call.authority(principal).force_refresh(taker.connection()).await.map_err(|error| match error {
        // The reference's words: what is not active is not found.
        RefreshError::NotFound(_) | RefreshError::NotActive { .. } => no_such_connection(),
        error => error.into(),
    })?;
    let (lending, now) = take(call, principal).await?;
    let left = lending.loan.expires_at.map(|end| end.duration_since(now).unwrap_or_default().as_secs());
    secret(&Tokens { lending: &lending, left, whole })
}

/// The provider's answer as the reference passes it on, without what renews it.
struct Tokens<'a> {
    lending: &'a Lending,
    left: Option<u64>,
    whole: bool,
}

impl Serialize for Tokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let loan = &self.lending.loan;
        let mut map = serializer.serialize_map(None)?;
        let token = loan.credentials.get("access_token").and_then(|token| token.expose_str());
        map.serialize_entry("access_token", token.unwrap_or_default())?;
        map.serialize_entry("token_type", "Bearer")?;
        match (self.whole, self.left, loan.expires_at) {
            (true, Some(left), _) => map.serialize_entry("expires_in", &left)?,
            (false, _, Some(end)) => map.serialize_entry("expiry", &moment(end))?,
            _ => {}
        }
        map.end()
    }
}

fn refresh(call: Call, principal: Principal) -> Waiting {
    Box::pin(async move {
        let which = named(&call)?;
        let authority = call.authority(&principal);
        let (asked, looking) = (principal.clone(), authority.clone());
        let see = move || looking.seen(which.as_str(), &asked.sight());
        let seen = call.api.blocking.run(see).await?.map_err(Problem::from)?.ok_or_else(no_such_connection)?;
        let (refreshed, now) = match authority.force_refresh(&seen.id).await? {
            Forced::Refreshed(connection) => (true, connection),
            Forced::Recent(connection) => (false, connection),
        };
        Ok(Answer::json(&view(&now, refreshed)))
    })
}

fn view(connection: &Connection, refreshed: bool) -> Value {
    json!({
        "refreshed": refreshed,
        "id": connection.id,
        "name": connection.name.as_str(),
        "version": connection.version,
        "expires_at": connection.expires_at.map(moment),
    })
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        let said = error.to_string();
        match error {
            RefreshError::NotFound(_) => no_such_connection(),
            RefreshError::Static(_) => Self::invalid(said).known_as("static_token"),
            RefreshError::NotActive { state, .. } => Self::new(
                match state {
                    State::Revoked => ApiCode::ConnectionRevoked,
                    State::Expired => ApiCode::ConnectionExpired,
                    _ => ApiCode::ConnectionNotReady,
                },
                said,
            ),
            RefreshError::Attention { .. } => Self::new(ApiCode::AttentionRequired, said),
            RefreshError::Later(_) => {
                Self::new(ApiCode::UpstreamFailed, said).known_as("upstream_error").retry_after(60)
            }
            RefreshError::Offline => Self::new(ApiCode::Unavailable, said),
            RefreshError::Connection(error) => error.into(),
        }
    }
}
