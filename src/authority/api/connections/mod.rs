//! Connections, for administrators. No call answers a value of any field.

mod schema;

use std::time::SystemTime;

use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::schema::{CHANGE, CONNECTION, CONNECTIONS, NEW};
use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::endpoint::{Bucket, Endpoint, Handler, Kind, Parameter, Place, Shape};
use super::json::Members;
use super::page::{CURSOR, LIMIT, Page};
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::Principal;
use crate::authority::{Connection, ConnectionError, NewConnection, ProviderError};
use crate::config::Catalogue;
use crate::model::{Binding, ConnectionName, Fields, HostPattern, Secret, Strategy};

pub(super) const NAME: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";

pub(super) const CONNECTION_IN_PATH: Parameter = Parameter {
    name: "connection",
    place: Place::Path,
    kind: Kind::Text { pattern: NAME, good: is_name, example: "github" },
    says: "Its id or its name",
};

pub(super) fn is_name(text: &str) -> bool {
    ConnectionName::parse(text).is_ok()
}

pub(super) fn endpoints() -> [Endpoint; 5] {
    const ADMIN: &[Role] = &[Role::Admin];
    const NONE: (u16, &str, Option<Shape>) = (404, "There is no such connection", None);
    let base = |method: Method, name: &'static str, summary: &'static str, handler| Endpoint {
        method,
        path: "/api/v2/connections/{connection}",
        name,
        surface: Surface::New,
        summary,
        parameters: vec![CONNECTION_IN_PATH],
        body: None,
        answers: vec![(200, "The connection", Some(Shape::Json(CONNECTION))), NONE],
        bucket: Bucket::Requests,
        handler: Handler::Blocks(ADMIN, handler),
    };
    [
        Endpoint {
            path: "/api/v2/connections",
            parameters: vec![LIMIT, CURSOR],
            answers: vec![(200, "A page of them, by name", Some(Shape::Json(CONNECTIONS)))],
            ..base(Method::GET, "listConnections", "Lists connections", list)
        },
        Endpoint {
            path: "/api/v2/connections",
            parameters: Vec::new(),
            body: Some(NEW),
            answers: vec![
                (201, "The connection", Some(Shape::Json(CONNECTION))),
                (409, "There is a connection of this name", None),
            ],
            ..base(Method::POST, "addConnection", "Makes a connection with its credentials", add)
        },
        Endpoint {
            handler: Handler::Blocks(&[Role::Admin, Role::Sidecar, Role::Agent], show),
            ..base(
                Method::GET,
                "showConnection",
                "Shows a connection: an agent's own to its sidecar and to itself",
                show,
            )
        },
        Endpoint {
            body: Some(CHANGE),
            answers: vec![
                (200, "The connection, in its new version", Some(Shape::Json(CONNECTION))),
                NONE,
                (410, "It was revoked, which is for good", None),
            ],
            ..base(Method::PATCH, "setConnection", "Gives a connection new credentials, or another end", set)
        },
        Endpoint {
            answers: vec![(204, "It is gone", None), NONE],
            ..base(Method::DELETE, "deleteConnection", "Deletes a connection and its credentials", delete)
        },
    ]
}

fn list(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let found = call.authority(caller).page((&page.after.0, &page.after.1), page.wanted())?;
    let item = |connection: &Connection| (connection.name.to_string(), connection.id.clone(), view(connection));
    Ok(Answer::json(&page.body("connections", found.iter().map(item).collect())))
}

fn show(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let found = call.authority(caller).seen(named(call)?.as_str(), &caller.sight())?;
    found.map(|found| Answer::json(&view(&found))).ok_or_else(super::token::no_such_connection)
}

fn add(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let mut members = call.members()?;
    let name = name(&mut members, "name")?.ok_or_else(|| members.wrong("name", "is missing"))?;
    let provider = self::name(&mut members, "provider")?;
    let lines = members.list("bindings")?;
    let owned = members.flag("owned", false)?;
    let fields = fields(&mut members)?.unwrap_or_default();
    let expires_at = end(&mut members)?;
    let authority = call.authority(caller);
    let (new, own) = match (provider, lines) {
        (Some(provider), None) => {
            if owned {
                return Err(members.wrong("owned", "does not stand beside a provider, which says it itself"));
            }
            // One of the store stands for one of its name that is built in.
            let own = authority.provider_named(provider.as_str()).map_err(|error| match error {
                ProviderError::Store(error) => error.into(),
                other => Problem::internal(other),
            })?;
            let (bindings, owned) = match (&own, Catalogue::built_in().provider(provider.as_str())) {
                (Some(own), _) => (own.definition.bindings(), own.definition.is_owned()),
                (None, Some(known)) => (Some(&known.bindings), known.owned),
                (None, None) => return Err(members.wrong("provider", "names no provider that is known")),
            };
            let unbound = || members.wrong("provider", "does not say yet to which hosts its credentials go");
            let bindings = bindings.ok_or_else(unbound)?.iter().cloned().collect();
            (NewConnection { name, provider: Some(provider), bindings, owned, fields, expires_at }, own)
        }
        (None, Some(lines)) => {
            let bindings = lines.into_iter().map(binding).collect::<Result<_, _>>()?;
            (NewConnection { name, provider: None, bindings, owned, fields, expires_at }, None)
        }
        _ => return Err(members.wrong("provider", "or bindings: one of them says where the credentials go, and how")),
    };
    members.finish()?;
    let made = authority.add_of(new, own)?;
    Ok(Answer::created(format!("/api/v2/connections/{}", made.id), &view(&made)))
}

fn set(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let mut members = call.members()?;
    let (fields, expires_at) = (fields(&mut members)?, end(&mut members)?);
    if fields.is_none() && expires_at.is_none() {
        return Err(members.wrong("fields", "or expires_at: say what is to change"));
    }
    members.finish()?;
    let changed = call.authority(caller).set(&named(call)?, fields.unwrap_or_default(), expires_at)?;
    Ok(Answer::json(&view(&changed)))
}

fn delete(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    call.authority(caller).delete(&named(call)?)?;
    Ok(Answer::done())
}

pub(super) fn named(call: &Call) -> Result<ConnectionName, Problem> {
    ConnectionName::parse(call.text("connection")).map_err(|error| Problem::invalid(error.to_string()))
}

fn name(members: &mut Members, which: &str) -> Result<Option<ConnectionName>, Problem> {
    let Some(text) = members.text_or_none(which)? else { return Ok(None) };
    let not = |_| members.wrong(which, format!("must be of the form {NAME}"));
    ConnectionName::parse(&text).map(Some).map_err(not)
}

/// Credentials: they go from the body into memory that is wiped, and into no message.
fn fields(members: &mut Members) -> Result<Option<Fields>, Problem> {
    let Some(given) = members.object("fields")? else { return Ok(None) };
    let mut fields = Fields::new();
    for (name, value) in given.rest() {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            return Err(members.wrong("fields", "has a name that is not of the form ^[A-Za-z0-9_.-]{1,64}$"));
        }
        match value {
            Value::String(text) if !text.is_empty() => fields.insert(name, Secret::new(text)),
            _ => return Err(members.wrong(&format!("fields.{name}"), "must be a string that is not empty")),
        }
    }
    Ok(Some(fields))
}

pub(super) fn end(members: &mut Members) -> Result<Option<SystemTime>, Problem> {
    let Some(text) = members.text_or_none("expires_at")? else { return Ok(None) };
    let moment = OffsetDateTime::parse(&text, &Rfc3339);
    let not = |_| members.wrong("expires_at", "must be a time of RFC 3339, such as 2027-01-31T00:00:00Z");
    moment.map(|moment| Some(SystemTime::from(moment))).map_err(not)
}

fn binding(line: Value) -> Result<Binding, Problem> {
    let mut line = Members::of(line)?;
    let hosts = line.texts("hosts")?.ok_or_else(|| line.wrong("hosts", "is missing"))?;
    let host = |text: String| HostPattern::parse(&text).map_err(|error| line.wrong("hosts", error));
    let hosts = hosts.into_iter().map(host).collect::<Result<_, _>>()?;
    let mut said = line.object("strategy")?.ok_or_else(|| line.wrong("strategy", "is missing"))?;
    let (kind, config) = (said.text("type")?, said.object("config")?.map(Members::rest).unwrap_or_default());
    said.finish()?;
    let strategy = Strategy::from_settings(&kind, &config).map_err(|error| line.wrong("strategy", error))?;
    line.finish()?;
    Ok(Binding { hosts, strategy })
}

fn view(connection: &Connection) -> Value {
    let line = |binding: &Binding| {
        let hosts: Vec<String> = binding.hosts.iter().map(ToString::to_string).collect();
        json!({ "hosts": hosts, "strategy": binding.strategy.to_json() })
    };
    json!({
        "id": connection.id,
        "name": connection.name.as_str(),
        "provider": connection.provider,
        "state": connection.state.as_str(),
        "version": connection.version,
        "owned": connection.owned,
        "bindings": connection.bindings.iter().map(line).collect::<Vec<_>>(),
        "fields": connection.field_names,
        "created_at": moment(connection.created_at),
        "updated_at": moment(connection.updated_at),
        "expires_at": connection.expires_at.map(moment),
    })
}

/// A moment as the API writes it: RFC 3339, UTC, whole seconds.
pub(super) fn moment(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Exists(name) => {
                Self::new(ApiCode::AlreadyExists, format!("there is a connection {name} already"))
            }
            ConnectionError::NotFound(name) => {
                Self::new(ApiCode::ConnectionNotFound, format!("there is no connection {name}"))
            }
            ConnectionError::Revoked(name) => {
                Self::new(ApiCode::ConnectionRevoked, format!("the connection {name} was revoked, which is for good"))
            }
            ConnectionError::Sealed { .. } => Self::internal(error),
            ConnectionError::Store(error) => error.into(),
            other => Self::invalid(other.to_string()),
        }
    }
}
