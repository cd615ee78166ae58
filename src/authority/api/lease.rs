//! Leases: what a sidecar borrows for an agent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::moment;
use super::endpoint::{Bucket, Endpoint, Handler, Schema, Shape, Waiting};
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::{NotAllowed, Principal};
use crate::authority::lend::{Lending, Rule, Wanted};
use crate::lease::LendError;
use crate::model::{Binding, ConnectionName, Fields, Host};

/// The longest that a sidecar may use what it was lent without asking again.
const LONGEST: Duration = Duration::from_secs(600);

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint {
        method: Method::POST,
        path: "/api/v2/leases",
        name: "lend",
        surface: Surface::New,
        summary: "Lends an agent what it needs to authenticate with one connection at one host",
        parameters: Vec::new(),
        body: Some(WANTED),
        answers: vec![
            (200, "What was lent, until its end", Some(Shape::Json(LEASE))),
            (403, "The connection is not bound to this host", None),
            (404, "No such connection, or it is not this agent's to borrow, or the agent is not this key's", None),
            (409, "It has no credentials yet, or a person has to look", None),
            (410, "It was revoked, or has expired", None),
            (502, "What is stored cannot be used", None),
            (503, "Nothing can be lent at present", None),
        ],
        bucket: Bucket::Leases,
        handler: Handler::Waits(&[Role::Sidecar], lend),
    }]
}

const WANTED: Schema = Schema { name: "Wanted", of: wanted_schema };

fn wanted_schema() -> Value {
    json!({
        "type": "object",
        "required": ["agent", "connection", "host"],
        "properties": {
            "agent": { "type": "string", "minLength": 1, "maxLength": 128 },
            "connection": {
                "type": "string",
                "description": "Its name, or its id",
                "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$",
            },
            "host": { "type": "string", "description": "The destination", "minLength": 1, "maxLength": 253 },
            "scope": {
                "type": "object",
                "description": "What the credentials are narrowed to; nothing that is kept here can be narrowed",
                "maxProperties": 0,
            },
            "held": {
                "type": "object",
                "description": "What the asker has already: where it is still that, it is not sent again",
                "required": ["id", "version"],
                "properties": {
                    "id": { "type": "string", "maxLength": 128 },
                    "version": { "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64 },
                },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
        "examples": [{ "agent": "triage-bot", "connection": "github", "host": "api.github.com" }],
    })
}

const LEASE: Schema = Schema { name: "Lease", of: lease_schema };

fn lease_schema() -> Value {
    let strategy = json!({ "type": "object", "required": ["type", "config"], "properties": {
        "type": { "type": "string" }, "config": { "type": "object" },
    } });
    let hosts = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    json!({
        "type": "object",
        "required": ["id", "name", "version", "owned", "strategy", "hosts", "bindings", "unchanged",
            "refreshable", "expires_at", "expires_in", "event"],
        "properties": {
            "id": { "type": "string" },
            "name": { "type": "string" },
            "version": { "type": "integer", "minimum": 1 },
            "owned": { "type": "boolean", "description": "The zones of wildcard hosts are the operator's own" },
            "strategy": strategy,
            "hosts": hosts,
            "bindings": { "type": "array", "items": {
                "type": "object",
                "required": ["hosts", "strategy"],
                "properties": { "hosts": hosts, "strategy": strategy },
            } },
            "credentials": {
                "type": "object",
                "description": "Left out where the asker has them already",
                "additionalProperties": { "type": "string" },
            },
            "unchanged": { "type": "boolean", "description": "It is the version that the asker has already" },
            "refreshable": { "type": "boolean", "description": "There can be others, made on demand" },
            "expires_at": { "type": "string", "format": "date-time" },
            "expires_in": { "type": "integer", "minimum": 0 },
            "event": { "type": "integer", "minimum": 0, "description": "The last event that this answer saw" },
        },
        "examples": [{
            "id": "0f885f3f-72de-42b2-b8ed-6baa01234567",
            "name": "tickets",
            "version": 3,
            "owned": false,
            "strategy": { "type": "oauth2", "config": {} },
            "hosts": ["api.tickets.example"],
            "bindings": [
                { "hosts": ["api.tickets.example"], "strategy": { "type": "oauth2", "config": {} } },
            ],
            "credentials": { "access_token": "…" },
            "unchanged": false,
            "refreshable": true,
            "expires_at": "2026-05-05T10:30:00Z",
            "expires_in": 600,
            "event": 812,
        }],
    })
}

fn lend(call: Call, principal: Principal) -> Waiting {
    Box::pin(async move {
        let mut members = call.members()?;
        let (agent, connection) = (members.text("agent")?, members.text("connection")?);
        let host = members.text("host")?;
        let narrowing = members.object("scope")?.map(super::json::Members::rest).unwrap_or_default();
        let host = Host::parse(&host).map_err(|error| members.wrong("host", error))?;
        let connection = ConnectionName::parse(&connection).map_err(|error| members.wrong("connection", error))?;
        let held = members.object("held")?.map(held).transpose()?;
        members.finish()?;
        let speaker = principal.speak_for(&agent).map_err(|why| match why {
            NotAllowed::Hidden => super::token::no_such_connection(),
            NotAllowed::Scope => why.into(),
        })?;
        if !narrowing.is_empty() {
            let message = "the credentials of this connection are kept as they are, and cannot be narrowed";
            return Err(Problem::invalid(message).with("member", "scope"));
        }
        let wanted = Wanted {
            workspace: speaker.workspace().clone(),
            agent: Some(speaker.agent().into()),
            connection,
            host: Some(host.clone()),
            held,
        };
        let authority = call.authority(&principal);
        let desk = &authority.desk;
        let lending = desk.lend(speaker.actor(), wanted, Rule::Granted).await?;
        Leased::answer(&lending, &host, desk.clock.wall())
    })
}

/// What the asker has already.
fn held(mut members: super::json::Members) -> Result<(Arc<str>, u64), Problem> {
    let (id, version) = (members.text("id")?, members.number_or_none("version")?);
    let version = version.ok_or_else(|| members.wrong("version", "is missing"))?;
    members.finish()?;
    Ok((id.into(), version))
}

/// What a sidecar reads. It borrows what it says, so that no copy of a credential is left behind.
#[derive(Serialize)]
struct Leased<'a> {
    id: &'a str,
    name: &'a str,
    version: u64,
    owned: bool,
    strategy: Value,
    hosts: Vec<String>,
    bindings: Vec<Value>,
    /// Left out where it is what the asker has already.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "values_if_any")]
    credentials: Option<&'a Fields>,
    unchanged: bool,
    refreshable: bool,
    expires_at: String,
    expires_in: u64,
    event: i64,
}

impl Leased<'_> {
    fn answer(lending: &Lending, host: &Host, now: SystemTime) -> Result<Answer, Problem> {
        let loan = &lending.loan;
        let matching = |binding: &&Binding| binding.hosts.iter().any(|pattern| pattern.matches(host));
        let binding =
            loan.bindings.iter().find(matching).ok_or_else(|| Problem::internal("lent for a host unbound"))?;
        let left = loan.expires_at.map_or(LONGEST, |end| end.duration_since(now).unwrap_or_default().min(LONGEST));
        secret(&Leased {
            id: &loan.id,
            name: &lending.name,
            version: loan.version,
            owned: lending.owned,
            strategy: binding.strategy.to_json(),
            hosts: hosts(binding),
            bindings: loan
                .bindings
                .iter()
                .map(|binding| json!({ "hosts": hosts(binding), "strategy": binding.strategy.to_json() }))
                .collect(),
            credentials: (!lending.unchanged).then_some(&loan.credentials),
            unchanged: lending.unchanged,
            refreshable: loan.refreshable,
            expires_at: moment(now + left),
            expires_in: left.as_secs(),
            event: lending.event,
        })
    }
}

fn hosts(binding: &Binding) -> Vec<String> {
    binding.hosts.iter().map(ToString::to_string).collect()
}

fn values_if_any<S: Serializer>(fields: &Option<&Fields>, serializer: S) -> Result<S::Ok, S::Error> {
    match fields {
        Some(fields) => values(fields, serializer),
        None => serializer.serialize_none(),
    }
}

/// Fields as a JSON object.
pub(super) fn values<S: Serializer>(fields: &&Fields, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (name, value) in fields.iter() {
        map.serialize_entry(name, value.expose_str().ok_or_else(|| serde::ser::Error::custom("a value is no text"))?)?;
    }
    map.end()
}

/// 200 with JSON whose bytes are wiped once they were sent.
pub(super) fn secret(value: &impl Serialize) -> Result<Answer, Problem> {
    // Sized once, twice what most need: a vector that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(measured(value)?));
    serde_json::to_writer(&mut *bytes, value).map_err(Problem::internal)?;
    Ok(Answer::bytes("application/json", Bytes::from_owner(Wiped(bytes))))
}

/// How many bytes a value is as JSON.
fn measured(value: &impl Serialize) -> Result<usize, Problem> {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_err(Problem::internal)?;
    Ok(count.0)
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<LendError> for Problem {
    fn from(error: LendError) -> Self {
        let message = match &error {
            // Why is for the log alone: it may tell what the store is like.
            LendError::Unusable { name, .. } => format!("the credentials of the connection {name} cannot be used"),
            LendError::Later { name, .. } | LendError::Unavailable { name, .. } => {
                format!("the connection {name} cannot be lent at present")
            }
            _ => error.to_string(),
        };
        let (code, old) = match &error {
            LendError::NotFound(_) => (ApiCode::ConnectionNotFound, "connection_not_found"),
            LendError::NotReady(_) => (ApiCode::ConnectionNotReady, "connection_not_active"),
            LendError::Attention(_) => (ApiCode::AttentionRequired, "attention_required"),
            LendError::Revoked(_) => (ApiCode::ConnectionRevoked, "connection_not_active"),
            LendError::Expired(_) => (ApiCode::ConnectionExpired, "connection_not_active"),
            LendError::Unbound { .. } => (ApiCode::PolicyDenied, "host_not_bound"),
            LendError::Unusable { .. } => (ApiCode::CredentialUnusable, "decrypt_failed"),
            LendError::Frozen(_) => (ApiCode::AuthorityFrozen, "frozen"),
            LendError::Later { .. } | LendError::Unavailable { .. } => (ApiCode::AuthorityUnavailable, "unavailable"),
        };
        let problem = Self::new(code, message).known_as(old);
        match error {
            LendError::Unusable { .. } | LendError::Later { .. } | LendError::Unavailable { .. } => {
                problem.with_log(error)
            }
            _ => problem,
        }
    }
}
