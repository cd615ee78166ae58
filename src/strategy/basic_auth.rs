use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::credential::{self, Form};
use super::draft::Draft;
use crate::lease::Lease;
use crate::model::{BasicUser, Code, Refusal};

/// Sets `Authorization: Basic` (RFC 7617): UTF-8, standard base64. The user name is no secret and
/// is not watched for; the password and the whole token are.
pub(super) fn apply(draft: &mut Draft, lease: &Lease, user: &BasicUser, password_field: &str) -> Result<(), Refusal> {
    let name = match user {
        BasicUser::Field(field) => credential::field(lease, field, Form::Line)?,
        BasicUser::Literal(name) => name,
    };
    // The first colon ends the user name (RFC 7617, section 2).
    if name.contains(':') {
        return Err(match user {
            BasicUser::Field(field) => credential::unusable(lease, field, "is a user name with a colon"),
            BasicUser::Literal(_) => {
                let connection = lease.grant().connection();
                let message = format!("the connection {connection} cannot be used: its user name holds a colon");
                Refusal::new(Code::CredentialUnusable, message)
            }
        });
    }
    let password = credential::field(lease, password_field, Form::Line)?;
    let pair = Zeroizing::new(format!("{name}:{password}"));
    let token = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    let value = Zeroizing::new(format!("Basic {}", *token));
    draft.set(&AUTHORIZATION, &value)?;
    draft.watch(password);
    draft.watch(&token);
    Ok(())
}
