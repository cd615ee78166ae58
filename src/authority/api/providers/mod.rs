//! Providers over HTTP: as the reference's Gateway and Broker have them, and as what is new does.
//!
//! No answer has a client secret in it. The old surfaces know the providers that were registered, and
//! of those what the reference's profile has; the new one knows those that are compiled in too.

mod broker;
mod gateway;
mod new;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Call;
use super::endpoint::{Bucket, Endpoint, Handler, Kind, Parameter, Place, Schema, Shape};
use super::problem::{ApiCode, Problem, Surface};
use crate::authority::access::Principal;
use crate::authority::{Authority, Profile, ProviderError, Registered};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = gateway::endpoints();
    all.extend(broker::endpoints());
    all.extend(new::endpoints());
    all
}

/// More than a workspace ever has.
const MOST: u32 = 10_000;

/// What the reference's profile does not have.
const OURS: [&str; 6] = ["title", "about", "bindings", "owned", "revocation", "user"];

/// What the Gateway drops of it.
const NOT_AT_THE_GATEWAY: [&str; 4] = ["issuer", "enable_discovery", "description", "category"];

/// The profile as the reference writes it, without what this surface does not have.
const PROFILE: Schema = Schema { name: "ProviderProfile", of: profile_schema };
/// `{"profile": {…}}`
const REGISTRATION: Schema = Schema { name: "ProviderRegistration", of: registration_schema };
/// Members of a profile.
/// What is sent of one: what else a profile shows is passed over.
const REPLACEMENT: Schema = Schema { name: "ProviderReplacement", of: replacement_schema };

const CHANGES: Schema = Schema { name: "ProviderChanges", of: changes_schema };
const REGISTERED: Schema = Schema { name: "ProviderRegistered", of: registered_schema };
const METADATA: Schema = Schema { name: "ProviderMetadata", of: metadata_schema };

fn endpoint(
    (method, path, name): (Method, &'static str, &'static str),
    summary: &'static str,
    body: Option<Schema>,
    answers: Vec<(u16, &'static str, Option<Shape>)>,
    handler: Handler,
) -> Endpoint {
    let says = "The provider's id, in any spelling of a UUID, or its name where the call goes by names";
    let kind = |name| if name == "id" { super::token::UUID } else { Kind::Any };
    let parameter = |name| Parameter { name, place: Place::Path, kind: kind(name), says };
    let in_path = ["id", "name", "provider"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    Endpoint {
        method,
        path,
        name,
        surface: Surface::of(path),
        summary,
        parameters: in_path.map(parameter).collect(),
        body,
        answers,
        bucket: Bucket::Requests,
        handler,
    }
}

/// Reads `{"profile": {…}}`.
fn registration(call: &Call) -> Result<Profile, Problem> {
    let Value::Object(mut body) = call.lenient()? else {
        return Err(Problem::invalid("the body must be a JSON object").known_as("invalid_json"));
    };
    let missing = || Problem::invalid("the member \"profile\" is missing").known_as("missing_profile");
    let profile = body.remove("profile").filter(|profile| !profile.is_null()).ok_or_else(missing)?;
    Profile::read(profile).map_err(|error| refused(error.into(), "provider_creation_failed"))
}

fn register(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let profile = registration(call)?;
    let made = call.authority(who).create_provider(profile);
    let made = made.map_err(|error| refused(error, "provider_creation_failed"))?;
    let body = json!({ "id": made.id, "message": "Provider profile created successfully" });
    Ok(Answer::json_with(StatusCode::CREATED, &body))
}

/// Replaces a provider by the bare profile of the body. What this surface never shows stays as it is:
/// whoever sends back what a GET answered changes nothing.
fn replace(call: &Call, who: &Principal, id: &str, unseen: &'static [&'static str]) -> Result<Answer, Problem> {
    let Value::Object(mut sent) = call.lenient()? else {
        return Err(Problem::invalid("the body must be a JSON object").known_as("invalid_json"));
    };
    let authority = call.authority(who);
    let changed = authority.change_provider(id, move |before| {
        let before = before.to_json();
        for name in OURS.iter().chain(unseen) {
            if let (false, Some(kept)) = (sent.contains_key(*name), before.get(*name)) {
                sent.insert((*name).to_owned(), kept.clone());
            }
        }
        Ok(Profile::read(Value::Object(sent))?)
    });
    changed.map(|_| Answer::empty()).map_err(|error| refused(error, "update_failed"))
}

/// Changes the members that are sent; those that nobody knows are ignored.
fn patch(call: &Call, who: &Principal, id: &str, unseen: &[&str]) -> Result<Answer, Problem> {
    let Value::Object(mut sent) = call.lenient()? else {
        return Err(Problem::invalid("the body must be a JSON object").known_as("invalid_json"));
    };
    sent.retain(|name, _| !unseen.contains(&name.as_str()));
    let changed = call.authority(who).patch_provider(id, sent);
    changed.map(|_| Answer::empty()).map_err(|error| refused(error, "patch_failed"))
}

fn delete(call: &Call, who: &Principal, id: &str) -> Result<Answer, Problem> {
    let deleted = call.authority(who).delete_provider(id);
    deleted.map(|_| Answer::empty()).map_err(|error| refused(error, "delete_failed"))
}

/// By type, then by name.
fn metadata(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let mut types: Map<String, Value> = Map::new();
    for provider in all(&call.authority(who))? {
        let profile = provider.definition.to_json();
        let text = |name: &str| profile.get(name).cloned().unwrap_or_else(|| "".into());
        let one = json!({
            "id": provider.id,
            "api_base_url": text("api_base_url"),
            "user_info_endpoint": text("user_info_endpoint"),
            "scopes": profile.get("scopes"),
            "description": text("description"),
            "category": text("category"),
        });
        let kind = profile.get("auth_type").and_then(Value::as_str).unwrap_or("oauth2").to_owned();
        types.entry(kind).or_insert_with(|| json!({}))[provider.definition.name().as_str()] = one;
    }
    Ok(Answer::json(&types.into()))
}

fn all(authority: &Authority) -> Result<Vec<Registered>, Problem> {
    authority.providers("", MOST).map_err(|error| refused(error, "list_failed"))
}

fn found(authority: &Authority, id: &str) -> Result<Registered, Problem> {
    authority.provider(id).map_err(|error| refused(error, "provider_not_found"))
}

/// What an old surface answers of a provider.
fn profile(provider: &Registered, without: &[&str]) -> Value {
    let mut profile = provider.definition.to_json();
    profile.retain(|name, _| !OURS.contains(&name.as_str()) && !without.contains(&name.as_str()));
    profile.insert("id".to_owned(), provider.id.as_str().into());
    profile.into()
}

/// A UUID in any of the spellings that the reference takes, in the one that ids have.
fn uuid(text: &str) -> Option<String> {
    let text = match text.len() {
        45 if text.get(..9)?.eq_ignore_ascii_case("urn:uuid:") => text.get(9..)?,
        38 => text.strip_prefix('{')?.strip_suffix('}')?,
        _ => text,
    };
    let digits: String = match text.len() {
        36 if [8, 13, 18, 23].into_iter().all(|at| text.as_bytes()[at] == b'-') => text.split('-').collect(),
        32 => text.to_owned(),
        _ => return None,
    };
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(parts.join("-"))
}

/// A refusal, as the old surfaces call it where nothing better is known, and as the new one does.
fn refused(error: ProviderError, fallback: &'static str) -> Problem {
    match error {
        ProviderError::Profile(error) => {
            let problem = Problem::invalid(error.to_string()).known_as(error.code(fallback));
            match error.member() {
                Some(member) => problem.with("field", member),
                None => problem,
            }
        }
        ProviderError::SecretMoves => {
            let problem = Problem::invalid(error.to_string()).known_as("missing_client_secret");
            problem.with("field", "client_secret")
        }
        // The reference says 400, and 500 where a change would take a name.
        ProviderError::Exists(_) => {
            Problem::new(ApiCode::AlreadyExists, error.to_string()).known_as("invalid_provider_name")
        }
        ProviderError::Named { .. } | ProviderError::Changed(_) => {
            Problem::new(ApiCode::AlreadyExists, error.to_string()).known_as(fallback)
        }
        ProviderError::NotFound(_) => {
            Problem::new(ApiCode::NotFound, "there is no such provider").known_as("provider_not_found")
        }
        ProviderError::Sealed { .. } => Problem::internal(error),
        ProviderError::Store(error) => {
            Problem::new(ApiCode::Unavailable, "the store cannot be used at present").with_log(error).retry_after(1)
        }
    }
}

fn profile_schema() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "id": { "type": "string" },
            "name": { "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" },
            "auth_type": { "type": ["string", "null"] },
            "client_id": text, "client_secret": text, "auth_url": text, "token_url": text, "auth_header": text,
            "scopes": { "type": ["array", "null"], "items": { "type": "string" } },
            "issuer": text,
            "enable_discovery": { "type": ["boolean", "null"] },
            "params": { "type": ["object", "null"] },
            "api_base_url": text, "user_info_endpoint": text, "description": text, "category": text,
        },
        "examples": [{ "name": "acme", "auth_type": "api_key", "api_base_url": "https://api.acme.example" }],
    })
}

fn replacement_schema() -> Value {
    let mut schema = profile_schema();
    // The Gateway passes these over, whatever they are.
    for name in ["id"].iter().chain(&NOT_AT_THE_GATEWAY) {
        schema["properties"][name] = json!({});
    }
    schema
}

fn changes_schema() -> Value {
    let mut schema = replacement_schema();
    schema["required"] = json!([]);
    schema["examples"] = json!([{ "description": "tickets and their comments" }]);
    schema
}

fn registration_schema() -> Value {
    json!({
        "type": "object",
        "required": ["profile"],
        "properties": { "profile": { "$ref": "#/components/schemas/ProviderReplacement" } },
        "examples": [{ "profile": {
            "name": "acme", "auth_type": "api_key", "api_base_url": "https://api.acme.example",
        } }],
    })
}

fn registered_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "message"],
        "properties": { "id": { "type": "string" }, "message": { "type": "string" } },
        "additionalProperties": false,
        "examples": [{ "id": "0af76519-16cd-43dd-8448-eb211c80319c", "message": "Provider profile created successfully" }],
    })
}

fn metadata_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": { "type": "object", "additionalProperties": {
            "type": "object",
            "required": ["id", "api_base_url", "user_info_endpoint", "scopes", "description", "category"],
        } },
        "examples": [{ "api_key": { "acme": {
            "id": "0af76519-16cd-43dd-8448-eb211c80319c", "api_base_url": "https://api.acme.example",
            "user_info_endpoint": "", "scopes": [], "description": "", "category": "",
        } } }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_many_spellings() {
        let one = "0af76519-16cd-43dd-8448-eb211c80319c";
        for text in [
            one,
            "0AF76519-16CD-43DD-8448-EB211C80319C",
            "0af7651916cd43dd8448eb211c80319c",
            "{0af76519-16cd-43dd-8448-eb211c80319c}",
            "urn:uuid:0af76519-16cd-43dd-8448-eb211c80319c",
            "URN:UUID:0af76519-16cd-43dd-8448-eb211c80319c",
        ] {
            assert_eq!(uuid(text).as_deref(), Some(one), "{text}");
        }
        for text in [
            "",
            "none",
            "0af76519-16cd-43dd-8448-eb211c80319",
            "0af76519-16cd-43dd-8448-eb211c80319g",
            "0af765191-6cd-43dd-8448-eb211c80319c",
            "[0af76519-16cd-43dd-8448-eb211c80319c]",
            "éééééééééééééééééé",
            "0af7651916cd43dd8448eb211c8031éc",
        ] {
            assert_eq!(uuid(text), None, "{text}");
        }
    }
}
