//! Keys, agents and grants, for administrators: who may use the Authority, and for what. A key's text
//! is answered once, to whoever made it.

pub(super) mod schema;

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use self::schema::{
    AGENT, AGENT_NAME, AGENTS, GRANT, GRANTS, KEY, KEY_ID, KEYS, MADE_KEY, NEW_AGENT, NEW_GRANT, NEW_KEY,
};
use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::connections::{NAME, end, is_name, moment};
use super::endpoint::{Bucket, Endpoint, Handler, Kind, Parameter, Place, Schema, Shape};
use super::page::{CURSOR, LIMIT, Page};
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::{AccessError, Principal, Scope};
use crate::authority::{Changed, Granted, ListedAgent, ListedKey, NewKey};
use crate::model::is_agent_name;

type Work = fn(&Call, &Principal) -> Result<Answer, Problem>;

const fn in_path(name: &'static str, kind: Kind, says: &'static str) -> Parameter {
    Parameter { name, place: Place::Path, kind, says }
}

const IN_PATH: [Parameter; 3] = [
    in_path("key", Kind::Text { pattern: KEY_ID, good: is_key_id, example: "k_0123456789abcdef" }, "The key's id"),
    in_path("agent", Kind::Text { pattern: AGENT_NAME, good: is_agent_name, example: "triage-bot" }, "The agent"),
    in_path("connection", Kind::Text { pattern: NAME, good: is_name, example: "github" }, "Its id or its name"),
];

fn is_key_id(text: &str) -> bool {
    let digits = text.strip_prefix("k_").unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = |path, name, summary, schema, work| {
        let ok = (200, "A page of them", Some(Shape::Json(schema)));
        endpoint((Method::GET, path), (name, summary), None, vec![ok], work)
    };
    let make = |path, name, summary, (body, made): (Schema, Schema), more: Vec<_>, work| {
        let mut answers = vec![(201, "It was made", Some(Shape::Json(made)))];
        answers.extend(more);
        endpoint((Method::POST, path), (name, summary), Some(body), answers, work)
    };
    let revoke = |path, name, summary, schema, work| {
        let answers = vec![(200, "It is revoked", Some(Shape::Json(schema))), (404, "There is none", None)];
        endpoint((Method::POST, path), (name, summary), None, answers, work)
    };
    let missing = (404, "An agent or a connection that it names is not there", None);
    let taken = (409, "There is an agent of this name, or the one that is named was revoked", None);
    vec![
        list("/api/v2/keys", "listKeys", "Lists keys", KEYS, keys as Work),
        make(
            "/api/v2/keys",
            "addKey",
            "Makes a key: its text is answered this once",
            (NEW_KEY, MADE_KEY),
            vec![missing, (409, "An agent that it names was revoked", None)],
            add_key as Work,
        ),
        revoke("/api/v2/keys/{key}/revoke", "revokeKey", "Revokes a key at once", KEY, revoke_key as Work),
        list("/api/v2/agents", "listAgents", "Lists agents", AGENTS, agents as Work),
        make("/api/v2/agents", "addAgent", "Adds an agent", (NEW_AGENT, AGENT), vec![taken], add_agent as Work),
        revoke("/api/v2/agents/{agent}/revoke", "revokeAgent", "Revokes an agent at once", AGENT, revoke_agent as Work),
        list("/api/v2/grants", "listGrants", "Lists which agent may borrow which connection", GRANTS, grants as Work),
        make(
            "/api/v2/grants",
            "allow",
            "Lets an agent borrow a connection",
            (NEW_GRANT, GRANT),
            vec![
                (200, "It was so before", Some(Shape::Json(GRANT))),
                (404, "There is no such agent or connection", None),
                (409, "The agent was revoked", None),
            ],
            allow as Work,
        ),
        endpoint(
            (Method::DELETE, "/api/v2/grants/{agent}/{connection}"),
            ("disallow", "No longer lets an agent borrow a connection"),
            None,
            vec![(204, "It may not any more", None), (404, "It might not before", None)],
            disallow as Work,
        ),
    ]
}

fn endpoint(
    (method, path): (Method, &'static str),
    (name, summary): (&'static str, &'static str),
    body: Option<Schema>,
    answers: Vec<(u16, &'static str, Option<Shape>)>,
    work: Work,
) -> Endpoint {
    let mut parameters: Vec<Parameter> =
        IN_PATH.into_iter().filter(|parameter| path.contains(&format!("{{{}}}", parameter.name))).collect();
    if method == Method::GET {
        parameters.extend([LIMIT, CURSOR]);
    }
    let handler = Handler::Blocks(&[Role::Admin], work);
    let (surface, bucket) = (Surface::New, Bucket::Requests);
    Endpoint { method, path, name, surface, summary, parameters, body, answers, bucket, handler }
}

fn keys(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let found = call.authority(caller).keys_after(&page.after.0, page.wanted())?;
    let item = |key: &ListedKey| (key.id.clone(), String::new(), key_view(key));
    Ok(Answer::json(&page.body("keys", found.iter().map(item).collect())))
}

fn add_key(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let mut members = call.members()?;
    let (name, scope) = (members.text("name")?, members.text("scope")?);
    if !(1..=100).contains(&name.len()) || !name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(members.wrong("name", "must be 1 to 100 printable ASCII characters"));
    }
    let agents = members.texts("agents")?.map(BTreeSet::from_iter);
    let connections = members.texts("connections")?.map(BTreeSet::from_iter);
    let expires_at = end(&mut members)?;
    let scope = match (scope.as_str(), agents, connections) {
        ("admin", None, None) => Scope::Admin,
        ("app", None, None) => Scope::App,
        ("sidecar", Some(agents), None) if !agents.is_empty() => Scope::Sidecar { agents },
        ("lease", None, Some(connections)) if !connections.is_empty() => Scope::Lease { connections },
        ("agent", Some(agents), None) if agents.len() == 1 => {
            Scope::Agent { agent: agents.into_iter().next().unwrap_or_default() }
        }
        _ => {
            let what = "is admin or app alone, sidecar with agents, agent with one of them, or lease with connections";
            return Err(members.wrong("scope", what));
        }
    };
    members.finish()?;
    let (key, listed) = call.authority(caller).add_key(NewKey { name, scope, expires_at })?;
    let mut view = key_view(&listed);
    view["key"] = key.secret().expose_str().unwrap_or_default().into();
    Ok(Answer::json_with(StatusCode::CREATED, &view))
}

fn revoke_key(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    Ok(Answer::json(&key_view(&call.authority(caller).revoke_key(call.text("key"))?)))
}

fn agents(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let found = call.authority(caller).agents_after(&page.after.0, page.wanted())?;
    let item = |agent: &ListedAgent| (agent.name.clone(), String::new(), agent_view(agent));
    Ok(Answer::json(&page.body("agents", found.iter().map(item).collect())))
}

fn add_agent(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let mut members = call.members()?;
    let name = members.text("name")?;
    if !is_agent_name(&name) {
        return Err(members.wrong("name", AccessError::AgentName));
    }
    members.finish()?;
    let added = call.authority(caller).add_agent(&name)?;
    Ok(Answer::json_with(StatusCode::CREATED, &agent_view(&added)))
}

fn revoke_agent(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    Ok(Answer::json(&agent_view(&call.authority(caller).revoke_agent(call.text("agent"))?)))
}

fn grants(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let found = call.authority(caller).grants_after((&page.after.0, &page.after.1), page.wanted())?;
    let item = |grant: &Granted| (grant.agent.clone(), grant.connection.clone(), grant_view(grant));
    Ok(Answer::json(&page.body("grants", found.iter().map(item).collect())))
}

fn allow(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    let mut members = call.members()?;
    let (agent, connection) = (members.text("agent")?, members.text("connection")?);
    if !is_agent_name(&agent) {
        return Err(members.wrong("agent", AccessError::AgentName));
    }
    if !is_name(&connection) {
        return Err(members.wrong("connection", format!("must be of the form {NAME}")));
    }
    members.finish()?;
    let (grant, changed) = call.authority(caller).allow(&agent, &connection)?;
    let status = if changed == Changed::Yes { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer::json_with(status, &grant_view(&grant)))
}

fn disallow(call: &Call, caller: &Principal) -> Result<Answer, Problem> {
    match call.authority(caller).disallow(call.text("agent"), call.text("connection"))? {
        (_, Changed::Yes) => Ok(Answer::done()),
        (_, Changed::No) => Err(Problem::new(ApiCode::NotFound, "the agent might not borrow the connection before")),
    }
}

fn key_view(key: &ListedKey) -> Value {
    let (agents, connections): (Vec<&str>, Vec<&str>) = match &key.scope {
        Scope::Sidecar { agents } => (agents.iter().map(String::as_str).collect(), Vec::new()),
        Scope::Lease { connections } => (Vec::new(), connections.iter().map(String::as_str).collect()),
        Scope::Agent { agent } => (vec![agent], Vec::new()),
        Scope::Admin | Scope::App => (Vec::new(), Vec::new()),
    };
    json!({
        "id": key.id,
        "name": key.name,
        "scope": key.scope.word(),
        "agents": agents,
        "connections": connections,
        "created_at": moment(key.created_at),
        "expires_at": key.expires_at.map(moment),
        "revoked_at": key.revoked_at.map(moment),
    })
}

fn agent_view(agent: &ListedAgent) -> Value {
    json!({
        "name": agent.name,
        "created_at": moment(agent.created_at),
        "revoked_at": agent.revoked_at.map(moment),
    })
}

fn grant_view(grant: &Granted) -> Value {
    json!({
        "agent": grant.agent,
        "connection": { "id": grant.connection, "name": grant.name },
        "created_at": moment(grant.created_at),
    })
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::NoAgent(name) => Self::new(ApiCode::AgentNotFound, format!("there is no agent {name:?}")),
            AccessError::NoKey(id) => Self::new(ApiCode::KeyNotFound, format!("there is no key {id:?}")),
            AccessError::NoConnection(which) => {
                Self::new(ApiCode::ConnectionNotFound, format!("there is no connection {which:?}"))
            }
            AccessError::AgentExists(_) => Self::new(ApiCode::AlreadyExists, error.to_string()),
            AccessError::AgentRevoked(name) => {
                Self::new(ApiCode::AgentRevoked, format!("the agent {name:?} was revoked: adding it takes it in again"))
            }
            AccessError::AgentName
            | AccessError::KeyName
            | AccessError::Past
            | AccessError::NoAgentNamed
            | AccessError::NoConnectionNamed => Self::invalid(error.to_string()),
            AccessError::Store(error) => error.into(),
            AccessError::Random | AccessError::File { .. } | AccessError::InTheWay { .. } => Self::internal(error),
        }
    }
}
