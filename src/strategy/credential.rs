//! Reads the fields of a lease, and says which one cannot be used, never what it holds.

use crate::lease::Lease;
use crate::model::{Code, Refusal, Secret};

/// What a field may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// UTF-8 without control characters, a tab excepted: what a header, a query or Basic takes.
    Line,
    /// Any UTF-8: the key of an HMAC.
    Text,
}

/// Finds a field that is there, not empty, and of this form.
pub(super) fn field<'a>(lease: &'a Lease, name: &str, form: Form) -> Result<&'a str, Refusal> {
    let secret = lease.credentials().get(name).ok_or_else(|| unusable(lease, name, "is missing"))?;
    text(secret, form).map_err(|why| unusable(lease, name, why))
}

fn text(secret: &Secret, form: Form) -> Result<&str, &'static str> {
    let text = secret.expose_str().ok_or("is not UTF-8")?;
    if text.is_empty() {
        return Err("is empty");
    }
    if form == Form::Line && text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err("holds a control character");
    }
    Ok(text)
}

/// A refusal that names the connection and the field.
pub(super) fn unusable(lease: &Lease, field: &str, why: &str) -> Refusal {
    let name = lease.grant().connection();
    Refusal::new(Code::CredentialUnusable, format!("the connection {name} cannot be used: its field {field} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_may_hold() {
        for (bytes, line, any) in [
            (b"k-123".as_slice(), true, true),
            ("é€".as_bytes(), true, true),
            (b"a\tb", true, true),
            (b"  ", true, true),
            (b"a\nb", false, true),
            (b"a\x7f", false, true),
            (b"a\0", false, true),
            (b"", false, false),
            (b"\xff", false, false),
        ] {
            let secret = Secret::new(bytes);
            assert_eq!(text(&secret, Form::Line).is_ok(), line, "{bytes:?}");
            assert_eq!(text(&secret, Form::Text).is_ok(), any, "{bytes:?}");
        }
    }
}
