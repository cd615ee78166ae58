//! The service itself: is it well, what does it count, what can it do.

use http::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::endpoint::{Bucket, Endpoint, Handler, Schema, Shape};
use super::metrics::ApiMetrics;
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::Principal;

pub(super) fn endpoints() -> [Endpoint; 3] {
    [
        Endpoint {
            method: Method::GET,
            path: "/health",
            name: "health",
            surface: Surface::New,
            summary: "Tells whether the Authority serves and can read its store",
            parameters: Vec::new(),
            body: None,
            answers: vec![(200, "It is well", Some(Shape::Json(HEALTH))), (503, "The store cannot be read", None)],
            bucket: Bucket::Requests,
            handler: Handler::Open(health),
        },
        Endpoint {
            method: Method::GET,
            path: "/metrics",
            name: "metrics",
            surface: Surface::New,
            summary: "Counters, as OpenMetrics text",
            parameters: Vec::new(),
            body: None,
            answers: vec![(200, "The counters", Some(Shape::Text(ApiMetrics::CONTENT_TYPE)))],
            bucket: Bucket::Requests,
            // Its numbers tell how a fleet is used, and this port is open to the fleet.
            handler: Handler::Blocks(&[Role::Admin], metrics),
        },
        Endpoint {
            method: Method::GET,
            path: "/openapi.json",
            name: "openapi",
            surface: Surface::New,
            summary: "This document",
            parameters: Vec::new(),
            body: None,
            answers: vec![(200, "An OpenAPI 3.1 document", Some(Shape::Json(DOCUMENT)))],
            bucket: Bucket::Requests,
            handler: Handler::Open(document),
        },
    ]
}

const HEALTH: Schema = Schema { name: "Health", of: health_schema };

fn health_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status"],
        "properties": { "status": { "type": "string", "enum": ["healthy"] } },
        "additionalProperties": false,
        "examples": [{ "status": "healthy" }],
    })
}

const DOCUMENT: Schema = Schema { name: "Document", of: document_schema };

fn document_schema() -> Value {
    json!({
        "type": "object",
        "required": ["openapi", "info", "paths"],
        "properties": {
            "openapi": { "type": "string", "pattern": "^3\\.1\\.[0-9]+$" },
            "info": { "type": "object" },
            "paths": { "type": "object" },
        },
    })
}

fn health(call: &Call) -> Result<Answer, Problem> {
    call.service().check().map_err(|error| {
        Problem::new(ApiCode::Unavailable, "the store cannot be read").with_log(error).retry_after(1)
    })?;
    Ok(Answer::json(&json!({ "status": "healthy" })))
}

fn metrics(call: &Call, _: &Principal) -> Result<Answer, Problem> {
    Ok(Answer::text(ApiMetrics::CONTENT_TYPE, call.api.metrics.encode()))
}

fn document(call: &Call) -> Result<Answer, Problem> {
    Ok(Answer::text("application/json", call.api.document.clone()))
}
