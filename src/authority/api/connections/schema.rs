//! The shapes of connections.

use serde_json::{Value, json};

use super::NAME;
use crate::authority::State;
use crate::authority::api::endpoint::Schema;
use crate::authority::api::page;

pub(super) const CONNECTION: Schema = Schema { name: "Connection", of: connection };
pub(super) const CONNECTIONS: Schema =
    Schema { name: "Connections", of: || page::schema("connections", &connection()) };
pub(super) const NEW: Schema = Schema { name: "NewConnection", of: new };
pub(super) const CHANGE: Schema = Schema { name: "ConnectionChange", of: change };

fn connection() -> Value {
    json!({
        "type": "object",
        "required": [
            "id", "name", "provider", "state", "version", "owned", "bindings", "fields", "created_at", "updated_at",
            "expires_at",
        ],
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "name": { "type": "string", "pattern": NAME },
            "provider": { "type": ["string", "null"] },
            "state": { "type": "string", "enum": State::ALL.map(State::as_str) },
            "version": { "type": "integer", "minimum": 1 },
            "owned": { "type": "boolean", "description": "The zones of its wildcard hosts belong to its owner alone" },
            "bindings": { "type": "array", "items": binding(), "minItems": 1 },
            "fields": { "type": "array", "items": { "type": "string" }, "description": "Names; no value is ever shown" },
            "created_at": { "type": "string", "format": "date-time" },
            "updated_at": { "type": "string", "format": "date-time" },
            "expires_at": { "type": ["string", "null"], "format": "date-time" },
        },
        "additionalProperties": false,
        "examples": [{
            "id": "2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f",
            "name": "tickets",
            "provider": null,
            "state": "active",
            "version": 1,
            "owned": false,
            "bindings": [{ "hosts": ["api.tickets.example"], "strategy": { "type": "oauth2" } }],
            "fields": ["access_token"],
            "created_at": "2026-11-21T09:30:00Z",
            "updated_at": "2026-11-21T09:30:00Z",
            "expires_at": null,
        }],
    })
}

/// The strategies, as they are asked for and answered; `api_key` is asked for alone.
const KINDS: [&str; 7] = ["oauth2", "header", "api_key", "query_param", "basic_auth", "hmac_payload", "aws_sigv4"];

fn binding() -> Value {
    json!({
        "type": "object",
        "required": ["hosts", "strategy"],
        "properties": {
            "hosts": { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
            "strategy": {
                "type": "object",
                "required": ["type"],
                "properties": { "type": { "type": "string", "enum": KINDS }, "config": { "type": "object" } },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
    })
}

fn fields() -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
        "additionalProperties": { "type": "string", "minLength": 1 },
        "writeOnly": true,
        "description": "Credentials, by the names that the strategy asks for",
    })
}

fn new() -> Value {
    json!({
        "type": "object",
        "required": ["name", "fields"],
        "properties": {
            "name": { "type": "string", "pattern": NAME },
            "provider": { "type": "string", "pattern": NAME, "description": "Says where the credentials go, and how" },
            "bindings": { "type": "array", "items": binding(), "minItems": 1, "description": "Instead of a provider" },
            "owned": { "type": "boolean", "default": false },
            "fields": fields(),
            "expires_at": { "type": "string", "format": "date-time" },
        },
        "oneOf": [{ "required": ["provider"] }, { "required": ["bindings"] }],
        "additionalProperties": false,
        "examples": [
            { "name": "github", "provider": "github", "fields": { "token": "example-token" } },
            {
                "name": "tickets",
                "bindings": [{ "hosts": ["api.tickets.example"], "strategy": { "type": "oauth2" } }],
                "fields": { "access_token": "example-token" },
            },
        ],
    })
}

fn change() -> Value {
    json!({
        "type": "object",
        "properties": { "fields": fields(), "expires_at": { "type": "string", "format": "date-time" } },
        "minProperties": 1,
        "additionalProperties": false,
        "examples": [{ "fields": { "access_token": "example-token" } }],
    })
}
