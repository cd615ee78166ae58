//! Whether the fields of a connection serve its strategies: checked before anything is kept, in a
//! store or in memory. Errors name fields, never a value.

use http::header::AUTHORIZATION;

use super::LendError;
use super::source::optional_fields;
use crate::config::PLACEHOLDER_MARKER;
use crate::model::{BasicUser, Binding, Bindings, ConnectionName, Fields, Secret, Strategy};

/// What keeps a field from being of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A field that a strategy needs.
    #[error("the strategy {strategy} needs the field {field}")]
    Missing {
        /// The strategy's type.
        strategy: &'static str,
        /// The field.
        field: String,
    },
    /// A field that no strategy uses.
    #[error("no strategy of this connection uses the field {field}: it needs {known}")]
    Unused {
        /// The field.
        field: String,
        /// Those that are used.
        known: String,
    },
    /// A value that cannot be sent, or that is not what it should be.
    #[error("the field {field} {why}")]
    Value {
        /// The field.
        field: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Checks that every strategy finds its fields, that nothing else is kept, and that what is sent
/// as text can be sent.
pub fn check_fields(bindings: &Bindings, fields: &Fields) -> Result<(), FieldError> {
    let (mut needed, mut known) = (Vec::new(), Vec::new());
    for Binding { strategy, .. } in bindings.iter() {
        let required = strategy.required_fields();
        let missing = required.iter().find(|field| fields.get(field).is_none());
        if let Some(&field) = missing {
            return Err(FieldError::Missing { strategy: strategy.kind(), field: field.to_owned() });
        }
        let of_this = required.iter().chain(optional_fields(strategy));
        for (field, value) in of_this.filter_map(|&field| Some((field, fields.get(field)?))) {
            check_value(strategy, field, value).map_err(|why| FieldError::Value { field: field.to_owned(), why })?;
            known.push(field);
        }
        needed.extend(required);
    }
    needed.sort_unstable();
    needed.dedup();
    match fields.names().find(|name| !known.contains(name)) {
        Some(field) => Err(FieldError::Unused { field: field.to_owned(), known: needed.join(", ") }),
        None => Ok(()),
    }
}

/// The same for what a source gave: fields beside those that are used were never asked for, and
/// are dropped later.
pub(super) fn check_usable(name: &ConnectionName, bindings: &Bindings, fields: &Fields) -> Result<(), LendError> {
    let unusable = |error: FieldError| LendError::Unusable { name: name.clone(), why: error.to_string() };
    for Binding { strategy, .. } in bindings.iter() {
        for field in strategy.required_fields() {
            let missing = || FieldError::Missing { strategy: strategy.kind(), field: field.to_owned() };
            let value = fields.get(field).ok_or_else(missing).map_err(unusable)?;
            let wrong = |why| unusable(FieldError::Value { field: field.to_owned(), why });
            check_value(strategy, field, value).map_err(wrong)?;
        }
    }
    Ok(())
}

/// What a request could not be made with is refused before it is kept.
fn check_value(strategy: &Strategy, field: &str, value: &Secret) -> Result<(), &'static str> {
    let text = value.expose_str().ok_or("is not UTF-8")?;
    let signs = matches!(strategy, Strategy::HmacPayload { .. });
    let names_user =
        matches!(strategy, Strategy::BasicAuth { user: BasicUser::Field(user), .. } if user.as_str() == field);
    if text.is_empty() {
        return Err("is empty");
    }
    if !signs && text.chars().any(|c| c.is_control() && c != '\t') {
        return Err("holds a line break or another control character");
    }
    if !signs && text.trim().is_empty() {
        return Err("holds blanks alone");
    }
    if names_user && text.contains(':') {
        return Err("is a user name with a colon, which Basic authentication cannot carry");
    }
    check_token(strategy, text)
}

/// What a shell, a header or a configuration file left around a token makes it a wrong one, which
/// a service would refuse much later and without the reason. Passwords and the keys of an HMAC
/// are a person's choice: they may look like anything.
fn check_token(strategy: &Strategy, text: &str) -> Result<(), &'static str> {
    if text.to_ascii_lowercase().contains(&PLACEHOLDER_MARKER.to_ascii_lowercase()) {
        return Err("is a placeholder of nexus-sidecar, which stands where a credential was taken away");
    }
    let whole_header = match strategy {
        Strategy::Header { header_name, value_prefix, .. } => header_name == AUTHORIZATION && value_prefix.is_empty(),
        Strategy::OAuth2 | Strategy::QueryParam { .. } | Strategy::AwsSigV4 { .. } => false,
        Strategy::BasicAuth { .. } | Strategy::HmacPayload { .. } => return Ok(()),
    };
    if text != text.trim() {
        return Err("begins or ends with a blank: give it without");
    }
    if text.len() > 1 && ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote)) {
        return Err("stands in quotes, which are no part of it: give it without them");
    }
    if is_unexpanded(text) {
        return Err("is the name of a variable and not its value: in single quotes a shell leaves it as it is");
    }
    let scheme = text.split_once(' ').map(|(scheme, _)| scheme);
    if !whole_header && scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer")) {
        return Err("begins with \"Bearer \", which is put before it where it belongs: give it without");
    }
    Ok(())
}

/// `$NAME`, `${NAME}` or `$(command)`.
fn is_unexpanded(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let Some(rest) = text.strip_prefix('$') else { return false };
    let braced = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    is_name(braced.unwrap_or(rest)) || (rest.starts_with('(') && rest.ends_with(')'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::HostPattern;

    fn checked(strategy: serde_json::Value, field: &str, value: &str) -> Result<(), String> {
        let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
        let binding = Binding { hosts, strategy: Strategy::from_json(&strategy).unwrap() };
        let mut fields = Fields::new();
        fields.insert(field, Secret::new(value));
        check_fields(&Bindings::new(vec![binding], false).unwrap(), &fields).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_of_a_wrong_shape_is_refused_with_the_reason() {
        for (value, want) in [
            ("\"ghp_x\"", "in quotes"),
            ("'ghp_x'", "in quotes"),
            ("Bearer ghp_x", "without"),
            ("bearer ghp_x", "without"),
            ("$TOKEN", "the name of a variable"),
            ("${TOKEN}", "the name of a variable"),
            ("$(gh auth token)", "the name of a variable"),
            (" ghp_x", "a blank"),
            ("ghp_x\t", "a blank"),
            ("ghp_x\nghp_y", "a line break"),
            ("ghp_NexusPlaceholder00000000000000000000", "a placeholder"),
            ("", "empty"),
        ] {
            let error = checked(json!({"type": "oauth2"}), "access_token", value).unwrap_err();
            assert!(error.starts_with("the field access_token ") && error.contains(want), "{value:?}: {error}");
            assert!(!error.contains("ghp_x"), "{error}");
        }
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        for value in ["ghp_x", "bearerless", "a$B", "$1x", "$2y$10$abc", "\"", "it's", "a b", "Basic dTpw"] {
            assert_eq!(checked(json!({"type": "oauth2"}), "access_token", value), Ok(()), "{value}");
        }
        let whole = json!({"type": "header", "config": {"credential_field": "k"}});
        assert_eq!(checked(whole, "k", "Bearer x"), Ok(()), "the whole header is the field");
        let password = json!({"type": "basic_auth", "config": {"username": "u"}});
        for value in ["$PASS", "'quoted'", " blank "] {
            assert_eq!(checked(password.clone(), "password", value), Ok(()), "{value}");
        }
    }
}
