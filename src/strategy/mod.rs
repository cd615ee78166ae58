//! Applies: one file per way to authenticate; the algorithms are in `sign`.
//!
//! [`apply`] turns what may survive of a request ([`Head`]) and what was lent into an
//! [`Outbound`], the only thing that the upstream pool sends. The agent's own value of what is
//! injected goes first, the injection comes last, and nothing touches the headers after it. What
//! then still holds a placeholder of the catalogue does not leave. This room has no clock, no
//! randomness and no I/O.

mod aws_sigv4;
mod basic_auth;
mod credential;
mod draft;
mod forms;
#[cfg(test)]
mod golden;
mod header;
mod hmac_payload;
mod oauth2;
mod outbound;
mod placeholder;
#[cfg(test)]
mod properties;
mod query_param;
#[cfg(test)]
mod sending;
mod surviving;
mod watch;

pub use outbound::Outbound;
pub use placeholder::drop_placeholders;
pub use watch::Watch;

use std::time::SystemTime;

use http::HeaderMap;

use crate::lease::Lent;
use crate::model::{Query, Refusal, Strategy};
use draft::Draft;

/// What of a request may survive: its headers and its query. Method, path and destination come
/// from the grant.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// As the agent sent them.
    pub headers: &'a HeaderMap,
    /// As the agent sent it.
    pub query: Option<&'a Query>,
    /// The length of the body that will be sent, where it is known; `Some(0)` for none.
    pub content_length: Option<u64>,
}

/// What a signature needs of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyNeed {
    /// Nothing: it streams.
    Streamed,
    /// The whole of it.
    Buffered,
}

/// What of the body can be signed.
#[derive(Clone, Copy, Debug)]
pub enum Signable<'a> {
    /// It streams.
    Nothing,
    /// The whole body.
    Bytes(&'a [u8]),
}

/// Time, read by the caller: this room has no clock.
#[derive(Clone, Copy, Debug)]
pub struct Ambient {
    /// The wall clock.
    pub now: SystemTime,
}

/// Says what a strategy needs of the body, or why the request cannot be signed at all.
pub fn body_need(lent: &Lent, head: &Head<'_>) -> Result<BodyNeed, Refusal> {
    let Lent::Lease(lease) = lent else { return Ok(BodyNeed::Streamed) };
    match lease.strategy() {
        Strategy::HmacPayload { .. } => Ok(BodyNeed::Buffered),
        Strategy::AwsSigV4 { service, region, allowed_services, allowed_regions } => {
            let setting = aws_sigv4::Setting {
                service: service.as_deref(),
                region: region.as_deref(),
                allowed_services,
                allowed_regions,
            };
            aws_sigv4::body_need(setting, lease, head)
        }
        Strategy::Header { .. } | Strategy::QueryParam { .. } | Strategy::BasicAuth { .. } | Strategy::OAuth2 => {
            Ok(BodyNeed::Streamed)
        }
    }
}

/// Makes the request that leaves: surviving headers first, the strategy last. `signable` is the
/// whole body where [`body_need`] asked for it.
pub fn apply(head: &Head<'_>, signable: Signable<'_>, lent: &Lent, ambient: Ambient) -> Result<Outbound, Refusal> {
    let lease = match lent {
        Lent::Nothing(permit) => return Draft::forward(head, permit).finish(),
        Lent::Lease(lease) => lease,
    };
    let mut draft = Draft::inject(head, signable, lease);
    match lease.strategy() {
        Strategy::Header { header_name, credential_field, value_prefix } => {
            header::apply(&mut draft, lease, header_name, credential_field, value_prefix)?;
        }
        Strategy::QueryParam { param_name, credential_field } => {
            query_param::apply(&mut draft, lease, param_name, credential_field)?;
        }
        Strategy::BasicAuth { user, password_field } => {
            basic_auth::apply(&mut draft, lease, user, password_field)?;
        }
        Strategy::HmacPayload { header_name, secret_field, algorithm, encoding } => {
            let tag = hmac_payload::Tag { secret_field, algorithm: *algorithm, encoding: *encoding };
            hmac_payload::apply(&mut draft, lease, header_name, tag, signable)?;
        }
        Strategy::AwsSigV4 { service, region, allowed_services, allowed_regions } => {
            let setting = aws_sigv4::Setting {
                service: service.as_deref(),
                region: region.as_deref(),
                allowed_services,
                allowed_regions,
            };
            aws_sigv4::apply(&mut draft, setting, lease, head, signable, ambient)?;
        }
        Strategy::OAuth2 => oauth2::apply(&mut draft, lease)?,
    }
    draft.finish()
}
