use http::HeaderName;
use zeroize::Zeroizing;

use super::credential::{self, Form};
use super::draft::Draft;
use crate::lease::Lease;
use crate::model::Refusal;

/// Sets one header. Blanks at both ends of the written value are trimmed, as every HTTP parser
/// would (RFC 9110, section 5.5).
pub(super) fn apply(
    draft: &mut Draft,
    lease: &Lease,
    name: &HeaderName,
    field: &str,
    prefix: &str,
) -> Result<(), Refusal> {
    let credential = credential::field(lease, field, Form::Line)?;
    let value = Zeroizing::new(format!("{prefix}{credential}"));
    if prefix.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(credential::unusable(lease, field, "has a prefix that holds a control character"));
    }
    draft.set(name, trim(&value))?;
    draft.watch(trim(credential));
    Ok(())
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
