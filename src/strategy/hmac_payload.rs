use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use super::Signable;
use super::credential::{self, Form};
use super::draft::Draft;
use crate::lease::Lease;
use crate::model::{Algorithm, Code, DigestEncoding, Refusal, Secret};
use crate::sign;

/// What is computed, and how it is written.
pub(super) struct Tag<'a> {
    pub(super) secret_field: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: DigestEncoding,
}

/// Sets a header with the HMAC of the whole body, an empty one included. The key is the
/// secret's UTF-8 bytes, undecoded.
pub(super) fn apply(
    draft: &mut Draft,
    lease: &Lease,
    name: &HeaderName,
    tag: Tag<'_>,
    signable: Signable<'_>,
) -> Result<(), Refusal> {
    let secret = credential::field(lease, tag.secret_field, Form::Text)?;
    let body = match (signable, draft.content_length) {
        (Signable::Bytes(body), _) => body,
        (Signable::Nothing, Some(0)) => &[],
        (Signable::Nothing, _) => {
            return Err(Refusal::new(Code::Internal, "the body was not held, and the strategy hmac_payload signs it"));
        }
    };
    let mac = sign::hmac(tag.algorithm, &Secret::new(secret), body);
    let text = match tag.encoding {
        DigestEncoding::Hex => hex::encode(mac),
        DigestEncoding::Base64 => STANDARD.encode(mac),
    };
    draft.set(name, &text)?;
    draft.watch(secret);
    draft.watch(&text);
    Ok(())
}
