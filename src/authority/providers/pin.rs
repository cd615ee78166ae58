//! What a new connection takes from its provider: its endpoints, and when to renew it.

use super::endpoints::{Endpoints, Pinned};
use super::registered::{ProviderError, Registered};
use crate::authority::refresh::due;
use crate::authority::rows::{ConnectionRow, ProviderRow};
use crate::authority::store::Transaction;
use crate::lease::FieldError;
use crate::model::Fields;

/// Renewed by our own worker with this.
const REFRESH_TOKEN: &str = "refresh_token";

/// Pins the endpoints of a provider, before the row is sealed.
pub(in crate::authority) fn pin(row: &mut ConnectionRow, provider: &Registered) {
    let (id, version) = (provider.id.clone(), provider.version);
    let pinned = Pinned { provider: id, version, endpoints: Endpoints::of(&provider.definition) };
    row.endpoints = Some(pinned.text());
}

/// Makes sure that the provider still is what was pinned, and stays so until the end of the
/// transaction: who changes it finds the connection.
pub(in crate::authority) fn still(
    tx: &mut dyn Transaction,
    row: &ConnectionRow,
    provider: &Registered,
) -> Result<(), ProviderError> {
    match ProviderRow::lock(tx, &row.workspace, &provider.id)? {
        Some(found) if found.version == provider.version => Ok(()),
        Some(_) => Err(ProviderError::Changed(provider.definition.name().to_string())),
        None => Err(ProviderError::NotFound(provider.definition.name().to_string())),
    }
}

/// When to renew the tokens of a row; none where they have no end, or nothing can renew them.
/// `chance` is random.
pub(in crate::authority) fn renewal(row: &ConnectionRow, fields: &Fields, now: i64, chance: u32) -> Option<i64> {
    let end = row.expires_at?;
    fields.get(REFRESH_TOKEN)?;
    Pinned::read(row.endpoints.as_deref()?).ok()?.endpoints.token_url?;
    Some(due(now, end, chance))
}

/// When credentials end that say how long they live.
///
/// # Errors
/// What they say is no number of seconds.
pub(in crate::authority) fn end_of(fields: &Fields, now: i64) -> Result<Option<i64>, FieldError> {
    let Some(value) = fields.get("expires_in") else { return Ok(None) };
    let seconds = value.expose_str().map(str::trim).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let seconds = seconds.and_then(|text| text.parse::<i64>().ok()).filter(|seconds| (1..=1 << 40).contains(seconds));
    let why = "must be a number of seconds, such as 3600";
    let wrong = || FieldError::Value { field: "expires_in".to_owned(), why };
    seconds.map(|seconds| Some(now.saturating_add(seconds))).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authority::providers::Profile;
    use crate::authority::providers::tests::oauth;
    use crate::model::Secret;

    fn row(profile: serde_json::Value, end: Option<i64>) -> ConnectionRow {
        let definition = Profile::read(profile).unwrap().definition;
        let provider =
            Registered { id: "p".into(), version: 1, definition, has_secret: true, created_at: 0, updated_at: 0 };
        let mut row = ConnectionRow { expires_at: end, ..ConnectionRow::default() };
        pin(&mut row, &provider);
        row
    }

    fn fields(given: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in given {
            fields.insert(*name, Secret::new(*value));
        }
        fields
    }

    #[test]
    fn what_ends_and_can_be_renewed_is() {
        let tokens = fields(&[("access_token", "a"), ("refresh_token", "r")]);
        let row = |end| row(oauth(), end);
        assert_eq!(renewal(&row(Some(4600)), &tokens, 1000, 7), Some(due(1000, 4600, 7)));
        assert_eq!(renewal(&row(None), &tokens, 1000, 0), None);
        assert_eq!(renewal(&row(Some(4600)), &fields(&[("access_token", "a")]), 1000, 0), None);
        let given = json!({"name": "a", "auth_type": "api_key"});
        assert_eq!(renewal(&self::row(given, Some(4600)), &tokens, 1000, 0), None);
        assert_eq!(renewal(&ConnectionRow { expires_at: Some(9), ..ConnectionRow::default() }, &tokens, 1, 0), None);
    }

    #[test]
    fn a_life_is_a_number_of_seconds() {
        let end = |text: &str| end_of(&fields(&[("expires_in", text)]), 1000);
        assert_eq!(end("3600"), Ok(Some(4600)));
        assert_eq!(end_of(&Fields::new(), 1000), Ok(None));
        for bad in ["", "0", "-1", "1.5", "soon", "+7", "99999999999999999999"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }
}
