//! What the Authority has recorded, for administrators: newest first.

use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::moment;
use super::endpoint::{Bucket, Endpoint, Handler, Kind, Parameter, Place, Schema, Shape};
use super::page::{CURSOR, LIMIT, Page};
use super::problem::{Problem, Surface};
use crate::authority::access::Principal;
use crate::authority::records::{Recorded, Search};

const ADMIN: &[Role] = &[Role::Admin];

const WORD: Kind = Kind::Text { pattern: "^[a-z0-9._-]{1,64}$", good: is_word, example: "connection.revoked" };

const MOMENT: Kind = Kind::Told {
    pattern: "^([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z)?$",
    example: "2026-05-05T10:30:00Z",
};

fn is_word(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(known)
}

pub(super) fn endpoints() -> [Endpoint; 2] {
    let query = |name, kind, says| Parameter { name, place: Place::Query, kind, says };
    [
        Endpoint {
            method: Method::GET,
            path: "/api/v2/audit",
            name: "listRecords",
            surface: Surface::New,
            summary: "Lists what was recorded, newest first",
            parameters: vec![
                LIMIT,
                CURSOR,
                query("event", WORD, "Of this kind alone"),
                query("connection", WORD, "About the connection of this id alone"),
            ],
            body: None,
            answers: vec![(200, "A page of records", Some(Shape::Json(RECORDS)))],
            bucket: Bucket::Requests,
            handler: Handler::Blocks(ADMIN, list),
        },
        Endpoint {
            method: Method::GET,
            path: "/audit",
            name: "brokerAudit",
            surface: Surface::Old,
            summary: "Lists what was recorded, as the Broker does",
            parameters: vec![
                query("event_type", Kind::Any, "Of this kind alone"),
                query("since", MOMENT, "Not before this moment (RFC 3339)"),
                query("limit", Kind::Any, "How many: 1 to 1000; whatever else it says means 50"),
            ],
            body: None,
            answers: vec![(200, "The records", Some(Shape::Json(BROKER)))],
            bucket: Bucket::Requests,
            handler: Handler::Blocks(ADMIN, broker),
        },
    ]
}

const RECORDS: Schema = Schema { name: "Records", of: records_schema };

fn records_schema() -> Value {
    json!({
        "type": "object",
        "required": ["records", "next_cursor", "has_more"],
        "properties": {
            "records": { "type": "array", "items": {
                "type": "object",
                "required": ["instance", "sequence", "event", "at", "facts"],
                "properties": {
                    "instance": { "type": "string" },
                    "sequence": { "type": "integer", "minimum": 1 },
                    "event": { "type": "string" },
                    "at": { "type": "string", "format": "date-time" },
                    "facts": { "type": "object" },
                },
                "additionalProperties": false,
            } },
            "next_cursor": { "type": ["string", "null"] },
            "has_more": { "type": "boolean" },
        },
        "additionalProperties": false,
        "examples": [{ "records": [{
            "instance": "4f2a90c81b7d3e65",
            "sequence": 12,
            "event": "connection.revoked",
            "at": "2026-05-05T10:30:00Z",
            "facts": { "actor": "command-line", "event": "connection.revoked", "name": "tickets" },
        }], "next_cursor": null, "has_more": false }],
    })
}

const BROKER: Schema = Schema { name: "BrokerRecords", of: broker_schema };

fn broker_schema() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["id", "event_type", "event_data", "created_at"],
            "properties": {
                "id": { "type": "string" },
                "connection_id": { "type": "string" },
                "event_type": { "type": "string" },
                "event_data": { "type": "string", "description": "JSON" },
                "created_at": { "type": "string", "format": "date-time" },
            },
            "additionalProperties": false,
        },
        "examples": [[{
            "id": "4f2a90c81b7d3e65:12",
            "event_type": "connection.revoked",
            "event_data": "{\"actor\":\"command-line\"}",
            "created_at": "2026-05-05T10:30:00Z",
        }]],
    })
}

fn list(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let search = Search {
        before: before(&page),
        since: None,
        event: call.given("event").map(str::to_owned),
        connection: call.given("connection").map(str::to_owned),
        limit: page.wanted(),
    };
    let found = call.authority(caller).records(&search)?;
    let item = |record: &Recorded| {
        let facts: Value = serde_json::from_str(&record.body).unwrap_or_default();
        let place = format!("{}:{}", record.instance, record.sequence);
        let seen = json!({ "instance": record.instance, "sequence": record.sequence, "event": record.event,
            "at": moment(record.at), "facts": facts });
        (record.seconds.to_string(), place, seen)
    };
    Ok(Answer::json(&page.body("records", found.iter().map(item).collect())))
}

/// Where the page before ended; one that says nothing that can be is the beginning.
fn before(page: &Page) -> Option<(i64, String, i64)> {
    let (instance, sequence) = page.after.1.split_once(':')?;
    Some((page.after.0.parse().ok()?, instance.to_owned(), sequence.parse().ok()?))
}

fn broker(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let since = match call.text("since") {
        "" => None,
        text => {
            let moment = OffsetDateTime::parse(text, &Rfc3339);
            let wrong = |_| Problem::invalid("since must be a moment of RFC 3339").known_as("invalid_since");
            Some(moment.map_err(wrong)?.unix_timestamp())
        }
    };
    let limit = call.text("limit").parse().ok().filter(|limit| (1..=1000).contains(limit)).unwrap_or(50);
    let event = Some(call.text("event_type")).filter(|event| !event.is_empty() && !event.contains('\0'));
    let search = Search { before: None, since, event: event.map(str::to_owned), connection: None, limit };
    let found = call.authority(caller).records(&search)?;
    let view = |record: &Recorded| {
        let mut view = json!({
            "id": format!("{}:{}", record.instance, record.sequence),
            "event_type": record.event,
            "event_data": record.body,
            "created_at": moment(record.at),
        });
        if let Some(connection) = &record.connection {
            view["connection_id"] = connection.as_str().into();
        }
        view
    };
    Ok(Answer::json(&found.iter().map(view).collect()))
}
