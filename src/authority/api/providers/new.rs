//! `/api/v2/providers…`: every provider that is known, those that are compiled in too.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{endpoint, refused, uuid};
use crate::authority::access::Principal;
use crate::authority::api::answer::Answer;
use crate::authority::api::call::Call;
use crate::authority::api::caller::Role;
use crate::authority::api::endpoint::{Endpoint, Handler, Schema, Shape};
use crate::authority::api::page::{self, CURSOR, LIMIT, Page};
use crate::authority::api::problem::{ApiCode, Problem};
use crate::authority::{Authority, Definition, Profile, ProviderChange, ProviderError, Registered};
use crate::config::{Catalogue, Provider};
use crate::model::ConnectionName;

const ADMIN: &[Role] = &[Role::Admin];
/// Who starts handshakes reads what there is.
const READERS: &[Role] = &[Role::Admin, Role::App, Role::Agent];

const PROVIDER: Schema = Schema { name: "Provider", of: provider_schema };
const PROVIDERS: Schema = Schema { name: "Providers", of: providers_schema };
const WRITTEN: Schema = Schema { name: "ProviderDocument", of: document_schema };
const GONE: Schema = Schema { name: "ProviderDeleted", of: deleted_schema };

pub(super) fn endpoints() -> Vec<Endpoint> {
    let none = || (404, "There is no such provider, or it is compiled in and cannot be changed", None);
    let taken = || (409, "The name is taken, or connections know the provider by its name", None);
    let changed = || vec![(200, "The provider as it is now", Some(Shape::Json(PROVIDER))), none(), taken()];
    let mut listing = endpoint(
        (Method::GET, "/api/v2/providers", "listProviders"),
        "Lists every provider by name: those of the workspace, and those that are compiled in",
        None,
        vec![(200, "A page", Some(Shape::Json(PROVIDERS)))],
        Handler::Blocks(READERS, list),
    );
    listing.parameters = vec![LIMIT, CURSOR];
    vec![
        listing,
        endpoint(
            (Method::POST, "/api/v2/providers", "createProvider"),
            "Registers a provider",
            Some(WRITTEN),
            vec![(201, "The provider", Some(Shape::Json(PROVIDER))), taken()],
            Handler::Blocks(ADMIN, create),
        ),
        endpoint(
            (Method::GET, "/api/v2/providers/{provider}", "getProvider"),
            "Answers a provider by id or name, without its client secret",
            None,
            vec![(200, "The provider", Some(Shape::Json(PROVIDER))), none()],
            Handler::Blocks(READERS, get),
        ),
        endpoint(
            (Method::PUT, "/api/v2/providers/{provider}", "replaceProvider"),
            "Replaces a provider; a client secret that is not sent stays",
            Some(WRITTEN),
            changed(),
            Handler::Blocks(ADMIN, replace),
        ),
        endpoint(
            (Method::PATCH, "/api/v2/providers/{provider}", "patchProvider"),
            "Changes members of a provider; null removes one",
            Some(CHANGES),
            changed(),
            Handler::Blocks(ADMIN, patch),
        ),
        endpoint(
            (Method::DELETE, "/api/v2/providers/{provider}", "deleteProvider"),
            "Deletes a provider; its connections need attention",
            None,
            vec![(200, "The connections that need attention since", Some(Shape::Json(GONE))), none()],
            Handler::Blocks(ADMIN, delete),
        ),
    ]
}

fn list(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let page = Page::of(call);
    let after = page.after.0.as_str();
    let wanted = u32::try_from(page.wanted()).unwrap_or(u32::MAX);
    let own = call.authority(who).providers(after, wanted).map_err(|error| refused(error, "list"))?;
    let built_in = Catalogue::built_in().providers().iter().filter(|provider| provider.connection.as_str() > after);
    let built_in = built_in.filter(|provider| own.iter().all(|own| own.definition.name() != &provider.connection));
    let item = |name: &ConnectionName, shown: Value| (name.to_string(), String::new(), shown);
    let mut listed: Vec<_> = built_in.map(|provider| item(&provider.connection, compiled_in(provider))).collect();
    listed.extend(own.iter().map(|own| item(own.definition.name(), shown(own))));
    listed.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    Ok(Answer::json(&page.body("providers", listed)))
}

fn create(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let profile = written(call.members()?.rest())?;
    let made = call.authority(who).create_provider(profile).map_err(|error| refused(error, "create"))?;
    Ok(Answer::json_with(StatusCode::CREATED, &shown(&made)))
}

fn get(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let which = call.text("provider");
    match find(&call.authority(who), which) {
        Ok(own) => Ok(Answer::json(&shown(&own))),
        Err(problem) => match Catalogue::built_in().provider(which) {
            Some(provider) => Ok(Answer::json(&compiled_in(provider))),
            None => Err(problem),
        },
    }
}

fn replace(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let profile = written(call.members()?.rest())?;
    let authority = call.authority(who);
    let id = find(&authority, call.text("provider"))?.id;
    told(authority.replace_provider(&id, profile))
}

fn patch(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let members = known(call.members()?.rest())?;
    let authority = call.authority(who);
    let id = find(&authority, call.text("provider"))?.id;
    told(authority.patch_provider(&id, members))
}

fn delete(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let authority = call.authority(who);
    let id = find(&authority, call.text("provider"))?.id;
    let attention = authority.delete_provider(&id).map_err(|error| refused(error, "delete"))?;
    Ok(Answer::json(&json!({ "id": id, "attention": attention })))
}

fn told(changed: Result<ProviderChange, ProviderError>) -> Result<Answer, Problem> {
    let ProviderChange { provider, attention, .. } = changed.map_err(|error| refused(error, "change"))?;
    let mut provider = shown(&provider);
    provider["attention"] = attention.into();
    Ok(Answer::json(&provider))
}

/// By id or, failing that, by name.
fn find(authority: &Authority, which: &str) -> Result<Registered, Problem> {
    let by_id = uuid(which).map(|id| authority.provider(&id));
    match by_id {
        Some(Ok(found)) => return Ok(found),
        Some(Err(ProviderError::NotFound(_))) | None => {}
        Some(Err(error)) => return Err(refused(error, "find")),
    }
    let named = authority.provider_named(which).map_err(|error| refused(error, "find"))?;
    named.ok_or_else(|| Problem::new(ApiCode::NotFound, "there is no such provider, or it is compiled in"))
}

fn written(members: Map<String, Value>) -> Result<Profile, Problem> {
    Profile::read(known(members)?.into()).map_err(|error| refused(error.into(), "write"))
}

/// What is new reads strictly: a member that nobody knows is a mistake.
fn known(members: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    let unknown = members.keys().find(|name| !Definition::MEMBERS.contains(&name.as_str()));
    match unknown {
        Some(name) => Err(Problem::invalid(format!("the member {name:?} is unknown")).with("field", name.as_str())),
        None => Ok(members),
    }
}

fn shown(provider: &Registered) -> Value {
    let mut shown = provider.definition.to_json();
    shown.insert("id".to_owned(), provider.id.as_str().into());
    shown.insert("version".to_owned(), provider.version.into());
    shown.insert("source".to_owned(), "own".into());
    shown.insert("client_secret_set".to_owned(), provider.has_secret.into());
    shown.insert("hosts".to_owned(), hosts(&provider.definition));
    shown.into()
}

fn compiled_in(provider: &Provider) -> Value {
    let hosts: Vec<String> = provider.bindings.hosts().map(ToString::to_string).collect();
    json!({
        "name": provider.connection.as_str(),
        "title": provider.title,
        "about": provider.about,
        "source": "built-in",
        "client_secret_set": false,
        "hosts": hosts,
    })
}

fn hosts(definition: &Definition) -> Value {
    let hosts: Option<Vec<String>> =
        definition.bindings().map(|bindings| bindings.hosts().map(ToString::to_string).collect());
    hosts.unwrap_or_default().into()
}

fn provider_schema() -> Value {
    json!({
        "type": "object",
        "required": ["name", "source", "hosts", "client_secret_set"],
        "properties": {
            "id": { "type": "string" },
            "name": { "type": "string" },
            "version": { "type": "integer", "minimum": 1 },
            "source": { "type": "string", "enum": ["own", "built-in"] },
            "hosts": { "type": "array", "items": { "type": "string" } },
            "client_secret_set": { "type": "boolean" },
            "attention": { "type": "array", "items": { "type": "string" } },
            "client_secret": false,
        },
        "examples": [{
            "name": "github", "title": "GitHub", "source": "built-in", "client_secret_set": false,
            "hosts": ["api.github.com"],
        }],
    })
}

fn providers_schema() -> Value {
    page::schema("providers", &provider_schema())
}

const CHANGES: Schema = Schema { name: "ProviderDocumentChanges", of: changes_schema };

fn changes_schema() -> Value {
    let mut schema = document_schema();
    schema["required"] = json!([]);
    schema["examples"] = json!([{ "description": "tickets and their comments" }]);
    schema
}

fn document_schema() -> Value {
    let mut schema = super::profile_schema();
    schema["properties"]["bindings"] = json!({ "type": ["array", "null"], "items": {
        "type": "object",
        "required": ["hosts", "strategy"],
        "properties": {
            "hosts": { "type": "array", "minItems": 1, "items": { "type": "string" } },
            "strategy": { "type": "object", "required": ["type"] },
        },
    } });
    for (name, kind) in [("title", "string"), ("about", "string"), ("owned", "boolean"), ("user", "object")] {
        schema["properties"][name] = json!({ "type": [kind, "null"] });
    }
    schema["properties"]["revocation"] = json!({ "type": ["string", "object", "null"] });
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.remove("id");
    }
    schema["additionalProperties"] = false.into();
    schema
}

fn deleted_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "attention"],
        "properties": {
            "id": { "type": "string" },
            "attention": { "type": "array", "items": { "type": "string" } },
        },
        "additionalProperties": false,
        "examples": [{ "id": "0af76519-16cd-43dd-8448-eb211c80319c", "attention": [] }],
    })
}
