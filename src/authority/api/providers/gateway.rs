//! `/v1/providers…`: the calls of the reference's Gateway.

use http::Method;

use super::{
    METADATA, NOT_AT_THE_GATEWAY, PROFILE, REGISTERED, REGISTRATION, delete, endpoint, found, metadata, patch, profile,
    register, replace, uuid,
};
use crate::authority::access::Principal;
use crate::authority::api::answer::Answer;
use crate::authority::api::call::Call;
use crate::authority::api::caller::Role;
use crate::authority::api::endpoint::{Endpoint, Handler, Shape};
use crate::authority::api::problem::Problem;

const ADMIN: &[Role] = &[Role::Admin];
/// Who starts handshakes reads what there is.
const READERS: &[Role] = &[Role::Admin, Role::App, Role::Agent];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let grouped = || vec![(200, "By type, then by name", Some(Shape::Json(METADATA)))];
    let none = || (404, "There is no such provider", None);
    let taken = || (409, "The name is taken", None);
    let done = || vec![(200, "Done; the body is empty", None), none(), taken()];
    vec![
        endpoint(
            (Method::GET, "/v1/providers", "gatewayListProviders"),
            "Lists the registered providers",
            None,
            grouped(),
            Handler::Blocks(READERS, metadata),
        ),
        endpoint(
            (Method::GET, "/v1/providers/metadata", "gatewayProviderMetadata"),
            "Lists the registered providers",
            None,
            grouped(),
            Handler::Blocks(READERS, metadata),
        ),
        endpoint(
            (Method::POST, "/v1/providers", "gatewayRegisterProvider"),
            "Registers a provider",
            Some(REGISTRATION),
            vec![(201, "It was registered", Some(Shape::Json(REGISTERED))), taken()],
            Handler::Blocks(ADMIN, register),
        ),
        endpoint(
            (Method::GET, "/v1/providers/{id}", "gatewayGetProvider"),
            "Answers a provider's profile, without its client secret",
            None,
            vec![(200, "The profile", Some(Shape::Json(PROFILE))), none()],
            Handler::Blocks(ADMIN, get),
        ),
        endpoint(
            (Method::PUT, "/v1/providers/{id}", "gatewayReplaceProvider"),
            "Replaces a provider; a client secret that is not sent stays",
            Some(super::REPLACEMENT),
            done(),
            Handler::Blocks(ADMIN, |call, who| replace(call, who, &id(call)?, &NOT_AT_THE_GATEWAY)),
        ),
        endpoint(
            (Method::PATCH, "/v1/providers/{id}", "gatewayPatchProvider"),
            "Changes members of a provider; null removes one",
            Some(super::CHANGES),
            done(),
            Handler::Blocks(ADMIN, |call, who| patch(call, who, &id(call)?, &NOT_AT_THE_GATEWAY)),
        ),
        endpoint(
            (Method::DELETE, "/v1/providers/{id}", "gatewayDeleteProvider"),
            "Deletes a provider; its connections need attention",
            None,
            vec![(200, "Done; the body is empty", None), none()],
            Handler::Blocks(ADMIN, |call, who| delete(call, who, &id(call)?)),
        ),
    ]
}

fn get(call: &Call, who: &Principal) -> Result<Answer, Problem> {
    let provider = found(&call.authority(who), &id(call)?)?;
    Ok(Answer::json(&profile(&provider, &NOT_AT_THE_GATEWAY)))
}

fn id(call: &Call) -> Result<String, Problem> {
    uuid(call.text("id")).ok_or_else(|| Problem::invalid("the provider's id is no UUID").known_as("invalid_id"))
}
