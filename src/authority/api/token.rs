//! The token calls of the reference's Gateway and Broker, for clients that know no other: a key of
//! the scope `lease` takes the credentials of the connections that were granted to it.
//!
//! What renews credentials is never among them. The answers are those that the reference gives,
//! but for its faults; every refusal has a body.

use std::time::SystemTime;

use http::Method;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::moment;
use super::endpoint::{Bucket, Endpoint, Handler, Kind, Parameter, Place, Schema, Shape, Waiting};
use super::lease::secret;
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::{NotAllowed, Principal, Taker};
use crate::authority::lend::{Lending, Rule, Wanted};
use crate::authority::states::Standing;
use crate::model::{BasicUser, ConnectionName, Fields, Strategy};

const CALLERS: &[Role] = &[Role::Lease];
/// Who may read a state, which holds no credential.
const READERS: &[Role] = &[Role::Admin, Role::Sidecar, Role::Lease, Role::Agent];

pub(super) fn endpoints() -> [Endpoint; 3] {
    let call = |path, name, summary, schema, handler| Endpoint {
        method: Method::GET,
        path,
        name,
        surface: Surface::Old,
        summary,
        parameters: vec![CONNECTION],
        body: None,
        answers: vec![
            (200, "Its credentials, and how to use them", Some(Shape::Json(schema))),
            (403, "It is not active, or this call is not for the caller's scope", None),
            (404, "No such connection, or it is not the caller's to take", None),
            (409, "A person has to look", None),
            (500, "Its credentials cannot be read", None),
        ],
        bucket: Bucket::Leases,
        handler,
    };
    [
        call(
            "/v1/token/{connection}",
            "token",
            "Takes credentials, as the Gateway gives them",
            TOKEN,
            Handler::Waits(CALLERS, gateway),
        ),
        call(
            "/connections/{connection}/token",
            "brokerToken",
            "Takes credentials, as the Broker gives them",
            TOKEN,
            Handler::Waits(CALLERS, broker),
        ),
        Endpoint {
            method: Method::GET,
            path: "/v1/check-connection/{connection}",
            name: "checkConnection",
            surface: Surface::Old,
            summary: "Tells whether the token call would answer 200",
            // What is no id is as good as failed.
            parameters: vec![Parameter { kind: Kind::Any, ..CONNECTION }],
            body: None,
            answers: vec![(200, "Its status", Some(Shape::Json(STATUS)))],
            bucket: Bucket::Requests,
            handler: Handler::Blocks(READERS, check),
        },
    ]
}

/// A UUID in the spellings that the reference takes, as far as a pattern can say it.
pub(super) const UUID: Kind = Kind::Told {
    pattern: "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32})$",
    example: "0f885f3f-72de-42b2-b8ed-6baa01234567",
};

pub(super) const CONNECTION: Parameter = Parameter {
    name: "connection",
    place: Place::Path,
    kind: UUID,
    says: "The connection's id, a UUID in any spelling",
};

const TOKEN: Schema = Schema { name: "Token", of: token_schema };

fn token_schema() -> Value {
    json!({
        "type": "object",
        "required": ["strategy", "credentials"],
        "properties": {
            "strategy": { "type": "object", "required": ["type"], "properties": { "type": { "type": "string" } } },
            "credentials": { "type": "object" },
            "access_token": { "type": "string" },
            "token_type": { "type": "string" },
            "expires_in": { "type": "integer", "minimum": 0 },
            "expires_at": { "type": "string", "format": "date-time" },
            "expiry": { "type": "string", "format": "date-time" },
            "expired": { "type": "boolean" },
        },
        "additionalProperties": false,
        "examples": [{
            "strategy": { "type": "oauth2" },
            "credentials": { "access_token": "…", "token_type": "Bearer" },
            "access_token": "…",
            "token_type": "Bearer",
        }],
    })
}

const STATUS: Schema = Schema { name: "Status", of: status_schema };

fn status_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status"],
        "properties": { "status": { "type": "string", "enum": ["active", "pending", "failed"] } },
        "additionalProperties": false,
        "examples": [{ "status": "active" }],
    })
}

fn gateway(call: Call, principal: Principal) -> Waiting {
    Box::pin(async move {
        let (lending, now) = take(&call, &principal).await?;
        Token::of(&lending, now, false)?.answer()
    })
}

fn broker(call: Call, principal: Principal) -> Waiting {
    Box::pin(async move {
        let (lending, now) = take(&call, &principal).await?;
        Token::of(&lending, now, true)?.answer()
    })
}

/// The id that is asked for, if it is the caller's to take.
pub(super) fn taken(call: &Call, principal: &Principal) -> Result<Taker, Problem> {
    let id = uuid(call.text("connection")).ok_or_else(not_an_id)?;
    principal.take(&id).map_err(|why| match why {
        NotAllowed::Hidden => no_such_connection(),
        NotAllowed::Scope => why.into(),
    })
}

pub(super) async fn take(call: &Call, principal: &Principal) -> Result<(Lending, SystemTime), Problem> {
    let taker = taken(call, principal)?;
    let wanted = Wanted {
        workspace: taker.workspace().clone(),
        agent: None,
        connection: ConnectionName::parse(taker.connection()).map_err(|_| not_an_id())?,
        host: None,
        held: None,
    };
    let authority = call.authority(principal);
    let desk = &authority.desk;
    let lending = desk.lend(taker.actor(), wanted, Rule::Taken).await;
    let lending = lending.map_err(|error| match Problem::from(error) {
        // The reference's words: whatever is not active is not allowed.
        problem if matches!(problem.code.status().as_u16(), 410) => problem.under(ApiCode::NotActive),
        problem if problem.code == ApiCode::ConnectionNotReady => problem.under(ApiCode::NotActive),
        problem if problem.code == ApiCode::CredentialUnusable => problem.under(ApiCode::Internal),
        problem => problem,
    })?;
    Ok((lending, desk.clock.wall()))
}

fn check(call: &Call, principal: &Principal) -> Result<Answer, Problem> {
    // Any refusal counts as failed, one for another's connection too: nobody learns which there are.
    let standing = match uuid(call.text("connection")) {
        Some(id) => call.authority(principal).standing(&id, &principal.sight())?,
        None => Standing::Refused,
    };
    let status = match standing {
        Standing::Lendable => "active",
        Standing::Refused => "failed",
        Standing::NotNow => "pending",
    };
    Ok(Answer::json(&json!({ "status": status })))
}

pub(super) fn not_an_id() -> Problem {
    Problem::invalid("the id of a connection is a UUID").known_as("invalid_connection_id")
}

pub(super) fn no_such_connection() -> Problem {
    Problem::new(ApiCode::ConnectionNotFound, "there is no such connection")
}

/// An id as it is stored, of any spelling that the reference takes: upper case, without hyphens, in
/// braces, after `urn:uuid:`.
pub(super) fn uuid(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix("urn:uuid:").unwrap_or(&text);
    let text = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let hyphens = [8, 13, 18, 23];
    let digits: String = match text.len() {
        36 if hyphens.iter().all(|at| text.as_bytes()[*at] == b'-') => text.split('-').collect(),
        32 => text.to_owned(),
        _ => return None,
    };
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

/// The payload of the reference. It borrows what it says.
struct Token<'a> {
    strategy: Value,
    /// A user name that the contract has, where the reference expects a field.
    username: Option<&'a str>,
    fields: &'a Fields,
    /// The end: as a moment, and in seconds from now.
    end: Option<(String, u64)>,
    is_oauth: bool,
    whole: bool,
}

impl<'a> Token<'a> {
    fn of(lending: &'a Lending, now: SystemTime, whole: bool) -> Result<Self, Problem> {
        let loan = &lending.loan;
        let strategy =
            &loan.bindings.iter().next().ok_or_else(|| Problem::internal("a connection without hosts"))?.strategy;
        let left = |end: SystemTime| (moment(end), end.duration_since(now).unwrap_or_default().as_secs());
        let username = match strategy {
            Strategy::BasicAuth { user: BasicUser::Literal(name), .. } => Some(name.as_str()),
            _ => None,
        };
        Ok(Self {
            strategy: told(strategy),
            username,
            fields: &loan.credentials,
            end: loan.expires_at.map(left),
            is_oauth: matches!(strategy, Strategy::OAuth2),
            whole,
        })
    }

    fn answer(&self) -> Result<Answer, Problem> {
        secret(self)
    }

    fn end<M: SerializeMap>(&self, map: &mut M, whole: bool) -> Result<(), M::Error> {
        let Some((at, seconds)) = &self.end else { return Ok(()) };
        if whole {
            map.serialize_entry("expires_in", seconds)?;
            map.serialize_entry("expires_at", at)?;
            return map.serialize_entry("expired", &false);
        }
        map.serialize_entry("expiry", at)
    }
}

impl Serialize for Token<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("strategy", &self.strategy)?;
        map.serialize_entry("credentials", &Credentials(self))?;
        // The reference's Gateway keeps these of an OAuth token alone, the Broker all.
        if let (true, Some(token)) = (self.is_oauth, self.fields.get("access_token")) {
            map.serialize_entry("access_token", token.expose_str().unwrap_or_default())?;
            map.serialize_entry("token_type", "Bearer")?;
            self.end(&mut map, self.whole)?;
        }
        map.end()
    }
}

struct Credentials<'a>(&'a Token<'a>);

impl Serialize for Credentials<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Token { fields, username, is_oauth, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in fields.iter() {
            let text = value.expose_str().ok_or_else(|| serde::ser::Error::custom("a value is no text"))?;
            map.serialize_entry(name, text)?;
        }
        if let Some(name) = username {
            map.serialize_entry("username", name)?;
        }
        if *is_oauth {
            map.serialize_entry("token_type", "Bearer")?;
        }
        self.0.end(&mut map, true)?;
        map.end()
    }
}

/// A strategy in the reference's words.
fn told(strategy: &Strategy) -> Value {
    match strategy {
        Strategy::OAuth2 => json!({ "type": "oauth2" }),
        Strategy::BasicAuth { user: BasicUser::Literal(_), password_field } => json!({
            "type": "basic_auth",
            "config": { "username_field": "username", "password_field": password_field },
        }),
        _ => strategy.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_id_is_one_id() {
        let id = "0f885f3f-72de-42b2-b8ed-6baa01234567";
        for spelling in
            [id.to_owned(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}")]
        {
            assert_eq!(uuid(&spelling).as_deref(), Some(id), "{spelling}");
        }
        for wrong in [
            "",
            "none",
            "0f885f3f-72de-42b2-b8ed-6baa0123456",
            "0f885f3f-72de-42b2-b8ed-6baa0123456g",
            "{0f885f3f-72de-42b2-b8ed-6baa01234567",
            "0f885f3f72de-42b2-b8ed-6baa0123456789",
            "ä885f3f-72de-42b2-b8ed-6baa01234567",
        ] {
            assert_eq!(uuid(wrong), None, "{wrong}");
        }
    }
}
