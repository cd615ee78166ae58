//! The OpenAPI 3.1 document of the table.

use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Kind, Parameter, Place, Schema, Shape};
use super::problem::Surface;
use super::router::Router;
use super::version;

/// The document. It says nothing that the router, the scope check and the parameters do not do.
pub(super) fn document(router: &Router) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), new_error());
    schemas.insert("FlatError".to_owned(), old_error());
    for endpoint in router.endpoints() {
        for Schema { name, of } in named(endpoint) {
            schemas.entry(name).or_insert_with(of);
        }
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_ascii_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Nexus Authority",
            "version": version::SPOKEN,
            "description": "Connections, leases and their revocation. Every answer carries the limits of its caller; \
                every refusal has a body.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": headers(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key, or a signed token" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    })
}

fn named(endpoint: &Endpoint) -> Vec<Schema> {
    let answers = endpoint.answers.iter().filter_map(|(.., shape)| match shape {
        Some(Shape::Json(schema)) => Some(*schema),
        _ => None,
    });
    answers.chain(endpoint.body).collect()
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut parameters: Vec<Value> = endpoint.parameters.iter().map(parameter).collect();
    parameters.push(json!({
        "name": "Nexus-Protocol-Version",
        "in": "header",
        "required": false,
        "description": "The version of the protocol that the caller speaks; other minor versions of it pass too",
        "schema": { "type": "string", "enum": [version::SPOKEN] },
    }));
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": responses(endpoint),
        "security": [],
    });
    if let Some(roles) = endpoint.handler.roles() {
        operation["security"] = json!([{ "bearer": [] }, { "key": [] }, { "certificate": [] }]);
        operation["x-nexus-scopes"] = roles.iter().map(|role| role.as_str()).collect();
    }
    if let Some(body) = endpoint.body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": reference(body.name) } } });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let (schema, required) = match parameter.kind {
        Kind::Number { least, most, default } => {
            let mut schema = json!({ "type": "integer", "minimum": least, "maximum": most, "examples": [least] });
            if let Some(default) = default {
                schema["default"] = default.into();
            }
            (schema, false)
        }
        Kind::Text { pattern, example, .. } | Kind::Told { pattern, example } => {
            (json!({ "type": "string", "pattern": pattern, "examples": [example] }), false)
        }
        Kind::Any => (json!({ "type": "string" }), false),
    };
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": required || parameter.place == Place::Path,
        "description": parameter.says,
        "schema": schema,
    })
}

/// What the frame may answer to any call, then what the endpoint does.
fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    let mut frame = vec![
        (400, "Something in the request is wrong"),
        (429, "There were more requests than the limit allows"),
        (500, "Something went wrong at the Authority"),
        (503, "The Authority cannot do it at present"),
    ];
    if let Some(roles) = endpoint.handler.roles() {
        frame.push((401, "The caller did not prove who it is"));
        if !roles.is_empty() {
            frame.push((403, "This call is not for the caller's scope"));
        }
    }
    if endpoint.body.is_some() {
        frame.extend([(408, "The body did not arrive in time"), (413, "The body is longer than 1 MiB")]);
        if endpoint.surface == Surface::New {
            frame.push((415, "The body is not application/json"));
        }
    }
    for (status, says) in frame {
        responses.insert(status.to_string(), refusal(endpoint.surface, says));
    }
    for (status, says, shape) in &endpoint.answers {
        let response = match shape {
            None if *status >= 400 => refusal(endpoint.surface, says),
            None => json!({ "description": says, "headers": header_references() }),
            Some(Shape::Json(schema)) => with_content(says, "application/json", &reference(schema.name)),
            Some(Shape::Text(kind)) => with_content(says, kind, &json!({ "type": "string" })),
        };
        responses.insert(status.to_string(), response);
    }
    responses.into()
}

fn refusal(surface: Surface, says: &str) -> Value {
    let name = match surface {
        Surface::Old => "FlatError",
        Surface::New => "Error",
    };
    with_content(says, "application/json", &reference(name))
}

fn with_content(says: &str, kind: &str, schema: &Value) -> Value {
    json!({ "description": says, "headers": header_references(), "content": { kind: { "schema": schema } } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

const HEADERS: [&str; 4] =
    ["Nexus-Protocol-Version", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];

fn header_references() -> Value {
    let one = |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    Value::Object(HEADERS.iter().map(one).collect())
}

fn headers() -> Value {
    let number =
        |says: &str| json!({ "description": says, "required": true, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "Nexus-Protocol-Version": {
            "description": "The version of the protocol that the Authority speaks",
            "required": true,
            "schema": { "type": "string", "const": version::SPOKEN },
        },
        "X-RateLimit-Limit": number("Requests in one window"),
        "X-RateLimit-Remaining": number("Requests that are left in it"),
        "X-RateLimit-Reset": number("Seconds until all of them are there again"),
    })
}

fn new_error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "details", "trace_id"],
                "properties": {
                    "code": { "type": "string", "pattern": "^[A-Z][A-Z_]*$" },
                    "message": { "type": "string", "minLength": 1 },
                    "details": { "type": "object" },
                    "trace_id": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
                },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
        "examples": [{ "error": {
            "code": "NOT_FOUND",
            "message": "there is nothing at this path",
            "details": {},
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
        } }],
    })
}

fn old_error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": { "type": "string", "pattern": "^[a-z][a-z_]*$" },
            "message": { "type": "string" },
        },
        "examples": [{ "error": "connection_not_found", "message": "there is no such connection" }],
    })
}
