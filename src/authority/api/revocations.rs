//! Revoking and freezing, for administrators.

use http::Method;
use serde_json::{Value, json};

use super::access::schema::AGENT_NAME;
use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::{CONNECTION_IN_PATH, moment};
use super::endpoint::{Bucket, Endpoint, Handler, Schema, Shape};
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::Principal;
use crate::authority::{Ended, Freeze, Revocation, RevokeError, Target};
use crate::model::{ConnectionName, is_agent_name};

pub(super) fn endpoints() -> [Endpoint; 4] {
    const ADMIN: &[Role] = &[Role::Admin];
    let base = |path: &'static str, name: &'static str, summary: &'static str, answers, handler| Endpoint {
        method: Method::POST,
        path,
        name,
        surface: Surface::New,
        summary,
        parameters: Vec::new(),
        body: None,
        answers,
        bucket: Bucket::Requests,
        handler: Handler::Blocks(ADMIN, handler),
    };
    let frozen = || vec![(200, "What is so from now on", Some(Shape::Json(FREEZE)))];
    [
        Endpoint {
            parameters: vec![CONNECTION_IN_PATH],
            ..base(
                "/api/v2/connections/{connection}/revoke",
                "revokeConnection",
                "Revokes a connection for good; its provider is told afterwards",
                vec![(200, "It is revoked", Some(Shape::Json(REVOKED))), (404, "There is no such connection", None)],
                one,
            )
        },
        Endpoint {
            body: Some(REVOCATION),
            ..base(
                "/api/v2/revocations",
                "revoke",
                "Revokes a connection, what an agent may borrow, all of a provider, or all of the workspace",
                vec![
                    (200, "They are revoked", Some(Shape::Json(REVOCATIONS))),
                    (404, "There is no such connection, or none of such a provider", None),
                ],
                several,
            )
        },
        base("/api/v2/freeze", "freeze", "Lends nothing in this workspace until it is unfrozen", frozen(), freeze),
        base("/api/v2/unfreeze", "unfreeze", "Lends again in this workspace", frozen(), unfreeze),
    ]
}

const REVOKED: Schema = Schema { name: "RevokedConnection", of: revoked_schema };

fn revoked_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "name", "state", "revocation", "before"],
        "properties": {
            "id": { "type": "string" },
            "name": { "type": "string" },
            "state": { "type": "string", "enum": ["revoked"] },
            "revocation": {
                "type": "string",
                "enum": ["pending", "upstream", "local", "none"],
                "description": "How far its provider has taken the credentials back",
            },
            "valid_until": {
                "type": "string",
                "format": "date-time",
                "description": "When credentials that are revoked here alone end by themselves, where that is known",
            },
            "before": { "type": "boolean", "description": "It had been revoked before" },
        },
        "additionalProperties": false,
        "examples": [{
            "id": "6f1c1c1e-6d0e-4d1c-8f53-0c6f2b1f3a77", "name": "github", "state": "revoked",
            "revocation": "pending", "before": false,
        }],
    })
}

const REVOCATION: Schema = Schema { name: "Revocation", of: revocation_schema };

fn revocation_schema() -> Value {
    let only = |name: &str, schema: Value| {
        json!({
            "type": "object", "required": [name], "properties": { name: schema }, "additionalProperties": false,
        })
    };
    let name = || json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" });
    json!({
        "oneOf": [
            only("connection", name()),
            only("agent", json!({ "type": "string", "pattern": AGENT_NAME })),
            only("provider", name()),
            only("all", json!({ "type": "boolean", "const": true })),
        ],
        "examples": [{ "provider": "github" }],
    })
}

const REVOCATIONS: Schema = Schema { name: "Revocations", of: revocations_schema };

fn revocations_schema() -> Value {
    json!({
        "type": "object",
        "required": ["revoked", "before"],
        "properties": {
            "revoked": { "type": "integer", "minimum": 0, "description": "Connections that were revoked now" },
            "before": { "type": "integer", "minimum": 0, "description": "Those that had been revoked before" },
            "agent": {
                "type": "object",
                "required": ["name", "before", "known", "grants", "keys"],
                "properties": {
                    "name": { "type": "string" },
                    "before": { "type": "boolean" },
                    "known": { "type": "boolean" },
                    "grants": { "type": "integer", "minimum": 0 },
                    "keys": { "type": "integer", "minimum": 0 },
                },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
        "examples": [{ "revoked": 12, "before": 0 }],
    })
}

const FREEZE: Schema = Schema { name: "Freeze", of: freeze_schema };

fn freeze_schema() -> Value {
    json!({
        "type": "object",
        "required": ["frozen", "changed"],
        "properties": {
            "frozen": { "type": "boolean" },
            "since": { "type": "string", "format": "date-time" },
            "changed": { "type": "boolean", "description": "It was not so before" },
        },
        "additionalProperties": false,
        "examples": [{ "frozen": true, "since": "2027-01-15T08:00:00Z", "changed": true }],
    })
}

fn one(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let target = Target::Connection(call.text(CONNECTION_IN_PATH.name).to_owned());
    let revoked = call.authority(caller).revoke(&target)?;
    let (ended, before) = match (revoked.connections.first(), revoked.before.first()) {
        (Some(ended), _) => (ended, false),
        (None, Some(ended)) => (ended, true),
        (None, None) => return Err(Problem::internal("a revocation of one connection revoked none")),
    };
    Ok(Answer::json(&view(ended, before)))
}

fn view(ended: &Ended, before: bool) -> Value {
    let mut view = json!({
        "id": ended.id,
        "name": ended.name,
        "state": "revoked",
        "revocation": ended.revocation.as_str(),
        "before": before,
    });
    if let Revocation::Local { until: Some(until) } = ended.revocation {
        view["valid_until"] = moment(until).into();
    }
    view
}

fn several(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let revoked = call.authority(caller).revoke(&target(call)?)?;
    let mut answer = json!({ "revoked": revoked.connections.len(), "before": revoked.before.len() });
    if let Some(agent) = revoked.agent {
        answer["agent"] = json!({
            "name": agent.name,
            "before": agent.before,
            "known": !agent.unknown,
            "grants": agent.grants,
            "keys": agent.keys,
        });
    }
    Ok(Answer::json(&answer))
}

fn target(call: &Call) -> Result<Target, Problem> {
    let mut members = call.members()?;
    let named =
        [members.text_or_none("connection")?, members.text_or_none("agent")?, members.text_or_none("provider")?];
    let all = members.flag("all", false)?;
    let target = match named {
        [Some(which), None, None] if !all => Target::Connection(which),
        [None, Some(name), None] if !all => Target::Agent(name),
        [None, None, Some(name)] if !all => Target::Provider(name),
        [None, None, None] if all => Target::All,
        _ => return Err(Problem::invalid("say one of connection, agent, provider and all: true")),
    };
    let good = match &target {
        Target::Connection(name) => ConnectionName::parse(name).is_ok().then_some(()).ok_or("connection"),
        Target::Provider(name) => ConnectionName::parse(name).is_ok().then_some(()).ok_or("provider"),
        Target::Agent(name) => is_agent_name(name).then_some(()).ok_or("agent"),
        Target::All => Ok(()),
    };
    good.map_err(|member| members.wrong(member, "cannot be such a name"))?;
    members.finish()?;
    Ok(target)
}

fn freeze(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    Ok(frozen(call.authority(caller).freeze()?))
}

fn unfreeze(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    Ok(frozen(call.authority(caller).unfreeze()?))
}

fn frozen(freeze: Freeze) -> Answer {
    let mut answer = json!({ "frozen": freeze.since.is_some(), "changed": freeze.changed });
    if let Some(since) = freeze.since {
        answer["since"] = moment(since).into();
    }
    Answer::json(&answer)
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::NoConnection(which) => {
                Self::new(ApiCode::ConnectionNotFound, format!("there is no connection {which}"))
            }
            RevokeError::NoneOfProvider(name) => {
                Self::new(ApiCode::NotFound, format!("there is no connection of a provider {name}"))
            }
            RevokeError::Store(error) => error.into(),
            RevokeError::Wipe { .. } | RevokeError::Edge(_) => Self::internal(error),
        }
    }
}
