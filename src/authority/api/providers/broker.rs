//! `/providers…`: the calls of the reference's Broker.

use http::Method;
use serde_json::{Value, json};

use super::{
    METADATA, PROFILE, REGISTERED, REGISTRATION, all, delete, endpoint, found, metadata, patch, profile, refused,
    register, replace, uuid,
};
use crate::authority::ProviderError;
use crate::authority::access::Principal;
use crate::authority::api::answer::Answer;
use crate::authority::api::call::Call;
use crate::authority::api::caller::Role;
use crate::authority::api::endpoint::{Endpoint, Handler, Schema, Shape};
use crate::authority::api::problem::Problem;
use crate::authority::{Authority, Registered};

const ADMIN: &[Role] = &[Role::Admin];
/// Who starts handshakes reads what there is.
const READERS: &[Role] = &[Role::Admin, Role::App, Role::Agent];

const NAMES: Schema = Schema { name: "ProviderNames", of: names_schema };
const ID: Schema = Schema { name: "ProviderId", of: id_schema };
const MESSAGE: Schema = Schema { name: "ProviderMessage", of: message_schema };

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = of_ids();
    all.extend(of_names());
    all
}

fn of_ids() -> Vec<Endpoint> {
    let none = || (404, "There is no such provider", None);
    let taken = || (409, "The name is taken", None);
    let done = || vec![(200, "Done; the body is empty", None), none(), taken()];
    vec![
        endpoint(
            (Method::GET, "/providers", "brokerListProviders"),
            "Lists ids and names of the registered providers, newest first",
            None,
            vec![(200, "Ids and names", Some(Shape::Json(NAMES)))],
            Handler::Blocks(READERS, list),
        ),
        endpoint(
            (Method::POST, "/providers", "brokerRegisterProvider"),
            "Registers a provider",
            Some(REGISTRATION),
            vec![(201, "It was registered", Some(Shape::Json(REGISTERED))), taken()],
            Handler::Blocks(ADMIN, register),
        ),
        endpoint(
            (Method::GET, "/providers/{id}", "brokerGetProvider"),
            "Answers a provider's profile, without its client secret",
            None,
            vec![(200, "The profile", Some(Shape::Json(PROFILE))), none()],
            Handler::Blocks(ADMIN, get),
        ),
        endpoint(
            (Method::PUT, "/providers/{id}", "brokerReplaceProvider"),
            "Replaces a provider; a client secret that is not sent stays",
            Some(super::REPLACEMENT),
            done(),
            Handler::Blocks(ADMIN, |call, who| replace(call, who, &id(call)?, &[])),
        ),
        endpoint(
            (Method::PATCH, "/providers/{id}", "brokerPatchProvider"),
            "Changes members of a provider; null removes one",
            Some(super::CHANGES),
            done(),
            Handler::Blocks(ADMIN, |call, who| patch(call, who, &id(call)?, &[])),
        ),
        endpoint(
            (Method::DELETE, "/providers/{id}", "brokerDeleteProvider"),
            "Deletes a provider; its connections need attention",
            None,
            vec![(200, "Done; the body is empty", None), none()],
            Handler::Blocks(ADMIN, |call, who| delete(call, who, &id(call)?)),
        ),
    ]
}

fn of_names() -> Vec<Endpoint> {
    let none = || (404, "There is no such provider", None);
    vec![
        endpoint(
            (Method::GET, "/providers/metadata", "brokerProviderMetadata"),
            "Lists the registered providers",
            None,
            vec![(200, "By type, then by name", Some(Shape::Json(METADATA)))],
            Handler::Blocks(READERS, metadata),
        ),
        endpoint(
            (Method::GET, "/providers/by-name/{name}", "brokerFindProvider"),
            "Finds the id of a provider by its name, whatever its case",
            None,
            vec![(200, "Its id", Some(Shape::Json(ID))), none()],
            Handler::Blocks(READERS, find),
        ),
        endpoint(
            (Method::DELETE, "/providers/by-name/{name}", "brokerDeleteProviderByName"),
            "Deletes a provider by its name; its connections need attention",
            None,
            vec![(200, "It was deleted", Some(Shape::Json(MESSAGE))), none()],
            Handler::Blocks(ADMIN, delete_named),
        ),
    ]
}

fn list(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let mut known = all(&call.authority(who))?;
    known.sort_by_key(|provider| std::cmp::Reverse(provider.created_at));
    let one = |provider: &Registered| json!({ "id": provider.id, "name": provider.definition.name().as_str() });
    Ok(Answer::json(&known.iter().map(one).collect()))
}

fn get(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let provider = found(&call.authority(who), &id(call)?)?;
    Ok(Answer::json(&profile(&provider, &[])))
}

fn find(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let name = call.text("name").trim().to_ascii_lowercase();
    Ok(Answer::json(&json!({ "id": named(&call.authority(who), &name)?.id })))
}

fn delete_named(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let authority = call.authority(who);
    let provider = named(&authority, call.text("name"))?;
    authority.delete_provider(&provider.id).map_err(|error| refused(error, "delete_failed"))?;
    Ok(Answer::json(&json!({ "message": "Deleted 1 provider(s)" })))
}

fn named(authority: &Authority, name: &str) -> Result<Registered, Problem> {
    let found = authority.provider_named(name).map_err(|error| refused(error, "provider_not_found"))?;
    found.ok_or_else(|| refused(ProviderError::NotFound(name.to_owned()), "provider_not_found"))
}

fn id(call: &Call) -> Result<String, Problem> {
    let wrong = || Problem::invalid("the provider's id is no UUID").known_as("invalid_provider_id");
    uuid(call.text("id")).ok_or_else(wrong)
}

fn names_schema() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["id", "name"],
            "properties": { "id": { "type": "string" }, "name": { "type": "string" } },
            "additionalProperties": false,
        },
        "examples": [[{ "id": "0af76519-16cd-43dd-8448-eb211c80319c", "name": "acme" }]],
    })
}

fn id_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id"],
        "properties": { "id": { "type": "string" } },
        "examples": [{ "id": "0af76519-16cd-43dd-8448-eb211c80319c" }],
    })
}

fn message_schema() -> Value {
    json!({
        "type": "object",
        "required": ["message"],
        "properties": { "message": { "type": "string" } },
        "examples": [{ "message": "Deleted 1 provider(s)" }],
    })
}
