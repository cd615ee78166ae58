use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::credential::{self, Form};
use super::draft::Draft;
use crate::lease::Lease;
use crate::model::Refusal;

/// Sets `Authorization: Bearer` (RFC 6750, section 2.1); the scheme is always `Bearer`, whatever
/// the token's type says.
pub(super) fn apply(draft: &mut Draft, lease: &Lease) -> Result<(), Refusal> {
    let token = credential::field(lease, "access_token", Form::Line)?.trim_matches([' ', '\t']);
    let value = Zeroizing::new(format!("Bearer {token}"));
    draft.set(&AUTHORIZATION, value.trim_end())?;
    draft.watch(token);
    Ok(())
}
