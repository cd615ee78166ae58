//! AWS Signature Version 4: replaces the client's own signature, in headers or in the query, by
//! one under the connection's keys.

mod endpoint;
mod payload;
mod scope;
#[cfg(test)]
mod tests;

use http::header::{AUTHORIZATION, COOKIE, TE, USER_AGENT, VIA};
use http::{HeaderMap, HeaderName};

use super::credential;
use super::draft::Draft;
use super::{Ambient, BodyNeed, Head, Signable};
use crate::lease::Lease;
use crate::model::{Code, Query, Refusal, is_override_header};
use crate::sign::{self, PayloadHash, SigV4Error, SigV4Request, SigV4Settings, SignedHeaders};
use payload::Payload;

/// What the connection says about the scope of a signature.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) service: Option<&'a str>,
    pub(super) region: Option<&'a str>,
    pub(super) allowed_services: &'a [String],
    pub(super) allowed_regions: &'a [String],
}

/// The query parameters of a signature (AWS General Reference, "Create a signed request").
const QUERY_SIGNATURE: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
];

const SIGNATURE_HEADERS: [&str; 4] = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// Says whether the body must be held, or why the request cannot be signed.
pub(super) fn body_need(setting: Setting<'_>, lease: &Lease, head: &Head<'_>) -> Result<BodyNeed, Refusal> {
    match plan(setting, lease, head)?.1 {
        Payload::Body => Ok(BodyNeed::Buffered),
        Payload::Known(_) => Ok(BodyNeed::Streamed),
    }
}

/// Signs. The client's query bytes stay as they are, but for a signature in them.
pub(super) fn apply(
    draft: &mut Draft,
    setting: Setting<'_>,
    lease: &Lease,
    head: &Head<'_>,
    signable: Signable<'_>,
    ambient: Ambient,
) -> Result<(), Refusal> {
    let (settings, payload) = plan(setting, lease, head)?;
    let payload = match (payload, signable, draft.content_length) {
        (Payload::Known(hash), ..) => hash,
        (Payload::Body, Signable::Bytes(body), _) => PayloadHash::of(body),
        (Payload::Body, Signable::Nothing, Some(0)) => PayloadHash::of(b""),
        (Payload::Body, Signable::Nothing, _) => {
            return Err(Refusal::new(Code::Internal, "the body was not held, and the strategy aws_sigv4 signs it"));
        }
    };
    SIGNATURE_HEADERS.iter().for_each(|name| drop(draft.headers.remove(*name)));
    draft.query = draft.query.take().and_then(without_signature);

    let added = signed(draft, lease, &settings, &payload, ambient)?;
    for field in ["secret_key", "session_token"] {
        if let Some(secret) = lease.credentials().get(field).and_then(|secret| secret.expose_str()) {
            draft.watch(secret);
        }
    }
    for (name, value) in added {
        let text = value.to_str().unwrap_or_default();
        if let (true, Some((_, signature))) = (name == AUTHORIZATION, text.rsplit_once("Signature=")) {
            draft.watch(signature);
        }
        draft.headers.insert(name, value);
    }
    Ok(())
}

fn plan(setting: Setting<'_>, lease: &Lease, head: &Head<'_>) -> Result<(SigV4Settings, Payload), Refusal> {
    let terms = lease.grant().terms();
    let (service, region) = scope::choose(setting, lease, head)?;
    let payload = payload::of(head.headers, &service, terms.destination().scheme())?;
    Ok((SigV4Settings::new(service, region), payload))
}

fn signed(
    draft: &Draft,
    lease: &Lease,
    settings: &SigV4Settings,
    payload: &PayloadHash,
    ambient: Ambient,
) -> Result<SignedHeaders, Refusal> {
    let terms = lease.grant().terms();
    let authority = terms.destination().authority();
    let length = draft.content_length.filter(|length| *length > 0).map(|length| length.to_string());
    let mut headers = signable_headers(&draft.headers)?;
    headers.push(("host", authority.as_bytes()));
    headers.extend(length.as_ref().map(|length| ("content-length", length.as_bytes())));
    let request = SigV4Request {
        method: terms.method().as_str(),
        path: terms.path().as_str(),
        query: draft.query.as_ref().map(Query::as_str),
        headers: &headers,
        payload,
    };
    sign::sign(&request, settings, lease.credentials(), ambient.now).map_err(|error| match error {
        SigV4Error::Field(field) => credential::unusable(lease, field, "is missing, empty, or not visible ASCII"),
        SigV4Error::Request(_) => Refusal::new(Code::InvalidRequest, error.to_string()),
    })
}

/// Every header that arrives as it is sent. A value that is not UTF-8 has no agreed canonical
/// form: it goes unsigned, but for `x-amz-*`, which AWS wants signed.
fn signable_headers(headers: &HeaderMap) -> Result<Vec<(&str, &[u8])>, Refusal> {
    let mut chosen = Vec::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        if changes_on_the_way(name) {
            continue;
        }
        if std::str::from_utf8(value.as_bytes()).is_ok() {
            chosen.push((name.as_str(), value.as_bytes()));
        } else if name.as_str().starts_with("x-amz-") {
            let message = format!("the request cannot be signed: the header {name} is not UTF-8");
            return Err(Refusal::new(Code::InvalidRequest, message));
        }
    }
    Ok(chosen)
}

/// Cookies are split and joined by HTTP/2 (RFC 9113, section 8.2.3); the others belong to
/// proxies, to tracing, or to one hop.
fn changes_on_the_way(name: &HeaderName) -> bool {
    [USER_AGENT, TE, COOKIE, VIA].contains(name) || name.as_str() == "x-amzn-trace-id" || is_override_header(name)
}

/// The query without a signature; none where nothing else was in it.
fn without_signature(query: Query) -> Option<Query> {
    if !query.pairs().any(|(name, _)| QUERY_SIGNATURE.contains(&&*name)) {
        return Some(query);
    }
    let rest = QUERY_SIGNATURE.iter().fold(query, |rest, name| rest.without(name));
    Some(rest).filter(|rest| !rest.as_str().is_empty())
}
