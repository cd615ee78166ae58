//! The policy that sidecars follow: read by them, set by administrators.

use http::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::moment;
use super::endpoint::{Bucket, Endpoint, Handler, Schema, Shape};
use super::page::{CURSOR, LIMIT, Page};
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::Principal;
use crate::authority::policies::{PolicyError, PolicyVersion};

pub(super) fn endpoints() -> [Endpoint; 3] {
    let base = |method: Method, name: &'static str, summary: &'static str, handler| Endpoint {
        method,
        path: "/api/v2/policy",
        name,
        surface: Surface::New,
        summary,
        parameters: Vec::new(),
        body: None,
        answers: vec![(200, "The policy and its version", Some(Shape::Json(POLICY))), (404, "No policy was set", None)],
        bucket: Bucket::Requests,
        handler,
    };
    [
        base(
            Method::GET,
            "showPolicy",
            "Shows the policy of the workspace",
            Handler::Blocks(&[Role::Admin, Role::Sidecar], show),
        ),
        Endpoint {
            body: Some(NEW),
            answers: vec![
                (200, "The policy, if it was set already", Some(Shape::Json(POLICY))),
                (201, "The policy, in its new version", Some(Shape::Json(POLICY))),
                (409, "Another version was set meanwhile", None),
            ],
            ..base(
                Method::PUT,
                "setPolicy",
                "Sets the policy, once it was checked",
                Handler::Blocks(&[Role::Admin], set),
            )
        },
        Endpoint {
            path: "/api/v2/policy/history",
            parameters: vec![LIMIT, CURSOR],
            answers: vec![(200, "A page of versions, newest first", Some(Shape::Json(HISTORY)))],
            ..base(
                Method::GET,
                "listPolicies",
                "Lists the versions of the policy",
                Handler::Blocks(&[Role::Admin], history),
            )
        },
    ]
}

const POLICY: Schema = Schema { name: "Policy", of: policy_schema };

fn policy_schema() -> Value {
    json!({
        "type": "object",
        "required": ["version", "document", "set_by", "at"],
        "properties": {
            "version": { "type": "integer", "minimum": 1 },
            "document": { "type": "string", "description": "YAML" },
            "set_by": { "type": "string" },
            "at": { "type": "string", "format": "date-time" },
        },
        "additionalProperties": false,
        "examples": [{ "version": 7, "document": "version: 1\nrules: []\n", "set_by": "command-line",
            "at": "2026-05-05T10:30:00Z" }],
    })
}

const HISTORY: Schema = Schema { name: "PolicyHistory", of: history_schema };

fn history_schema() -> Value {
    json!({
        "type": "object",
        "required": ["policies", "next_cursor", "has_more"],
        "properties": {
            "policies": { "type": "array", "items": { "$ref": "#/components/schemas/Policy" } },
            "next_cursor": { "type": ["string", "null"] },
            "has_more": { "type": "boolean" },
        },
        "additionalProperties": false,
        "examples": [{ "policies": [], "next_cursor": null, "has_more": false }],
    })
}

const NEW: Schema = Schema { name: "NewPolicy", of: new_schema };

fn new_schema() -> Value {
    json!({
        "type": "object",
        "required": ["document"],
        "properties": {
            "document": { "type": "string", "description": "YAML that `policy check` accepts", "maxLength": 524_288 },
            "after": { "type": ["integer", "null"], "description": "The version that it follows; another is a 409", "minimum": 0 },
        },
        "additionalProperties": false,
        "examples": [{ "document": "version: 1\nrules: []\n", "after": 6 }],
    })
}

fn view(policy: &PolicyVersion) -> Value {
    json!({
        "version": policy.version,
        "document": policy.document,
        "set_by": policy.set_by,
        "at": moment(policy.at),
    })
}

fn show(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let found = call.authority(caller).policy()?;
    let found = found.ok_or_else(|| Problem::new(ApiCode::NotFound, "no policy was set in this workspace"))?;
    Ok(Answer::json(&view(&found)))
}

fn set(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let mut members = call.members()?;
    let document = members.text("document")?;
    let after = members.number_or_none("after")?;
    members.finish()?;
    let (policy, new) = call.authority(caller).set_policy(&document, after)?;
    Ok(if new { Answer::created("/api/v2/policy".to_owned(), &view(&policy)) } else { Answer::json(&view(&policy)) })
}

fn history(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let before = page.after.0.parse().unwrap_or(u64::MAX);
    let found = call.authority(caller).policies_before(before, page.wanted())?;
    let item = |policy: &PolicyVersion| (policy.version.to_string(), String::new(), view(policy));
    Ok(Answer::json(&page.body("policies", found.iter().map(item).collect())))
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Store(error) => error.into(),
            PolicyError::Moved { .. } => Self::new(ApiCode::AlreadyExists, error.to_string()),
            PolicyError::Invalid(_) | PolicyError::Test { .. } | PolicyError::TooLong => {
                Self::invalid(error.to_string()).with("member", "document")
            }
        }
    }
}
