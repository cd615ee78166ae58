//! The shapes of keys, agents and grants.

use serde_json::{Value, json};

use crate::authority::api::connections::NAME;
use crate::authority::api::endpoint::Schema;
use crate::authority::api::page;

pub(super) const KEY_ID: &str = "^k_[0-9a-f]{16}$";

/// Printable ASCII without `*` and `:`, no blank at either end.
pub(in crate::authority::api) const AGENT_NAME: &str = r"^[!-)+-9;-~]([ -)+-9;-~]{0,98}[!-)+-9;-~])?$";

pub(super) const KEY: Schema = Schema { name: "Key", of: || key(false) };
pub(super) const MADE_KEY: Schema = Schema { name: "MadeKey", of: || key(true) };
pub(super) const KEYS: Schema = Schema { name: "Keys", of: || page::schema("keys", &key(false)) };
pub(super) const NEW_KEY: Schema = Schema { name: "NewKey", of: new_key };
pub(super) const AGENT: Schema = Schema { name: "Agent", of: agent };
pub(super) const AGENTS: Schema = Schema { name: "Agents", of: || page::schema("agents", &agent()) };
pub(super) const NEW_AGENT: Schema = Schema { name: "NewAgent", of: new_agent };
pub(super) const GRANT: Schema = Schema { name: "Grant", of: grant };
pub(super) const GRANTS: Schema = Schema { name: "Grants", of: || page::schema("grants", &grant()) };
pub(super) const NEW_GRANT: Schema = Schema { name: "NewGrant", of: new_grant };

fn moment_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn key(made: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["id", "name", "scope", "agents", "connections", "created_at", "expires_at", "revoked_at"],
        "properties": {
            "id": { "type": "string", "pattern": KEY_ID },
            "name": { "type": "string" },
            "scope": { "type": "string", "enum": ["admin", "sidecar", "lease", "app", "agent"] },
            "agents": { "type": "array", "items": { "type": "string" } },
            "connections": { "type": "array", "items": { "type": "string" }, "description": "Ids" },
            "created_at": { "type": "string", "format": "date-time" },
            "expires_at": moment_or_null(),
            "revoked_at": moment_or_null(),
        },
        "additionalProperties": false,
        "examples": [{
            "id": "k_0123456789abcdef",
            "name": "triage",
            "scope": "sidecar",
            "agents": ["triage-bot"],
            "connections": [],
            "created_at": "2026-11-21T09:30:00Z",
            "expires_at": null,
            "revoked_at": null,
        }],
    });
    if made {
        schema["properties"]["key"] = json!({
            "type": "string",
            "pattern": "^nx_live_[A-Za-z0-9_-]{43}$",
            "description": "The key itself, which is shown this once",
        });
        schema["required"] =
            json!(["id", "name", "scope", "agents", "connections", "created_at", "expires_at", "revoked_at", "key",]);
        schema["examples"][0]["key"] = format!("nx_live_{}", "A".repeat(43)).into();
    }
    schema
}

fn new_key() -> Value {
    let names = |pattern: &str, most: usize| json!({ "type": "array", "items": { "type": "string", "pattern": pattern }, "minItems": 1, "maxItems": most });
    let of = |scope: Value, needed: Value, more: Value| {
        let mut properties = json!({
            "name": { "type": "string", "pattern": "^[ -~]{1,100}$" },
            "scope": scope,
            "expires_at": { "type": "string", "format": "date-time" },
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
            all.extend(more);
        }
        json!({ "type": "object", "required": needed, "properties": properties, "additionalProperties": false })
    };
    json!({
        "oneOf": [
            of(json!({ "enum": ["admin", "app"] }), json!(["name", "scope"]), json!({})),
            of(
                json!({ "const": "sidecar" }),
                json!(["name", "scope", "agents"]),
                json!({ "agents": names(AGENT_NAME, 100) }),
            ),
            of(json!({ "const": "agent" }), json!(["name", "scope", "agents"]), json!({ "agents": names(AGENT_NAME, 1) })),
            of(
                json!({ "const": "lease" }),
                json!(["name", "scope", "connections"]),
                json!({ "connections": names(NAME, 100) }),
            ),
        ],
        "examples": [
            { "name": "triage", "scope": "sidecar", "agents": ["triage-bot"] },
            { "name": "console", "scope": "app" },
        ],
    })
}

fn agent() -> Value {
    json!({
        "type": "object",
        "required": ["name", "created_at", "revoked_at"],
        "properties": {
            "name": { "type": "string", "pattern": AGENT_NAME },
            "created_at": { "type": "string", "format": "date-time" },
            "revoked_at": moment_or_null(),
        },
        "additionalProperties": false,
        "examples": [{ "name": "triage-bot", "created_at": "2026-11-21T09:30:00Z", "revoked_at": null }],
    })
}

fn new_agent() -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": { "name": { "type": "string", "pattern": AGENT_NAME } },
        "additionalProperties": false,
        "examples": [{ "name": "triage-bot" }],
    })
}

fn grant() -> Value {
    json!({
        "type": "object",
        "required": ["agent", "connection", "created_at"],
        "properties": {
            "agent": { "type": "string", "pattern": AGENT_NAME },
            "connection": {
                "type": "object",
                "required": ["id", "name"],
                "properties": {
                    "id": { "type": "string", "format": "uuid" },
                    "name": { "type": "string", "pattern": NAME },
                },
                "additionalProperties": false,
            },
            "created_at": { "type": "string", "format": "date-time" },
        },
        "additionalProperties": false,
        "examples": [{
            "agent": "triage-bot",
            "connection": { "id": "2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f", "name": "tickets" },
            "created_at": "2026-11-21T09:30:00Z",
        }],
    })
}

fn new_grant() -> Value {
    json!({
        "type": "object",
        "required": ["agent", "connection"],
        "properties": {
            "agent": { "type": "string", "pattern": AGENT_NAME },
            "connection": { "type": "string", "pattern": NAME, "description": "Its id or its name" },
        },
        "additionalProperties": false,
        "examples": [{ "agent": "triage-bot", "connection": "github" }],
    })
}
