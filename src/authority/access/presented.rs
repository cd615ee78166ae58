use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{ApiKey, Denied};
use crate::model::Secret;

/// The longest header that is looked at: a token, with room.
const LONGEST: usize = 20 << 10;

/// What a caller showed, of which there is at most one. Nothing is checked yet.
#[derive(Debug)]
pub(in crate::authority) enum Presented {
    /// An API key.
    Key(ApiKey),
    /// A signed token (JWT).
    Token(Secret),
    /// A client certificate that TLS has verified: the leaf, in DER.
    Certificate(Vec<u8>),
}

impl Presented {
    /// Takes it from a request's head, `Authorization: Bearer` or `X-API-Key`, and from its
    /// connection.
    ///
    /// Two different ones at once are refused: which of them spoke would depend on who reads.
    pub(in crate::authority) fn of(headers: &HeaderMap, leaf: Option<&[u8]>) -> Result<Self, Denied> {
        let certificate = leaf.map(|leaf| Self::Certificate(leaf.to_vec()));
        let found = [certificate, bearer(headers)?, api_key(headers)?];
        let mut found = found.into_iter().flatten();
        let first = found.next().ok_or(Denied::Missing)?;
        if found.all(|other| first.is_same(&other)) { Ok(first) } else { Err(Denied::Several) }
    }

    fn is_same(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Key(one), Self::Key(other)) if one.hash() == other.hash())
    }
}

/// `Authorization: Bearer`. Another scheme is refused, not passed over: its sender meant it.
fn bearer(headers: &HeaderMap) -> Result<Option<Presented>, Denied> {
    let Some(text) = only(headers, AUTHORIZATION.as_str())? else { return Ok(None) };
    let scheme = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (scheme, rest) = text.split_at(scheme);
    let value = rest.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"bearer") || value.is_empty() {
        return Err(Denied::Invalid);
    }
    if ApiKey::is_meant(value) {
        return ApiKey::parse(value).map(Presented::Key).ok_or(Denied::Invalid).map(Some);
    }
    Ok(Some(Presented::Token(Secret::new(value))))
}

/// `X-API-Key`. As in the reference, blanks around the key are cut, and an empty one is none.
fn api_key(headers: &HeaderMap) -> Result<Option<Presented>, Denied> {
    match only(headers, "x-api-key")?.map(<[u8]>::trim_ascii) {
        None | Some([]) => Ok(None),
        Some(text) => ApiKey::parse(text).map(Presented::Key).ok_or(Denied::Invalid).map(Some),
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Denied> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.len() <= LONGEST => Ok(Some(value.as_bytes())),
        (Some(_), None) => Err(Denied::Invalid),
        (Some(_), Some(_)) => Err(Denied::Several),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn presented(headers: &[(&'static str, &str)], leaf: Option<&[u8]>) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        match Presented::of(&map, leaf) {
            Ok(Presented::Key(key)) => format!("key {}", key.secret().expose_str().unwrap()),
            Ok(Presented::Token(token)) => format!("token {}", token.expose_str().unwrap()),
            Ok(Presented::Certificate(leaf)) => format!("leaf {}", leaf.len()),
            Err(denied) => format!("{denied:?}"),
        }
    }

    #[test]
    fn one_credential_is_taken_from_where_it_may_stand() {
        let key = |byte: u8| ApiKey::new(&[byte; 32]).secret().expose_str().unwrap().to_owned();
        let (a, b) = (key(1), key(2));
        let (bearer_a, x_a) = (format!("Bearer {a}"), format!("\t {a} "));
        let long = format!("Bearer {}", "x".repeat(LONGEST));
        let same = format!("key {a}");
        for (headers, leaf, want) in [
            (vec![], None, "Missing"),
            (vec![("authorization", bearer_a.as_str())], None, &same),
            (vec![("authorization", &format!("bEARER   {a}"))], None, &same),
            (vec![("x-api-key", &x_a)], None, &same),
            (vec![("x-api-key", " ")], None, "Missing"),
            (vec![("x-api-key", ""), ("authorization", &bearer_a)], None, &same),
            (vec![("x-api-key", &a), ("authorization", &bearer_a)], None, &same),
            (vec![("x-api-key", &b), ("authorization", &bearer_a)], None, "Several"),
            (vec![("x-api-key", &a), ("x-api-key", &a)], None, "Several"),
            (vec![("authorization", &bearer_a), ("authorization", &bearer_a)], None, "Several"),
            (vec![("x-api-key", &a), ("authorization", "Bearer e.y.J")], None, "Several"),
            (vec![("authorization", "Bearer e.y.J")], None, "token e.y.J"),
            (vec![("authorization", "Bearer e.y.J")], Some(&[1][..]), "Several"),
            (vec![("x-api-key", &a)], Some(&[1][..]), "Several"),
            (vec![], Some(&[1][..]), "leaf 1"),
            (vec![("x-api-key", "e.y.J")], None, "Invalid"),
            (vec![("x-api-key", &a[..a.len() - 1])], None, "Invalid"),
            (vec![("authorization", "Bearer nx_live_x")], None, "Invalid"),
            (vec![("authorization", "Bearer")], None, "Invalid"),
            (vec![("authorization", "Bearer ")], None, "Invalid"),
            (vec![("authorization", "")], None, "Invalid"),
            (vec![("authorization", "Basic dTpw")], None, "Invalid"),
            (vec![("authorization", "Basic dTpw"), ("x-api-key", &a)], None, "Invalid"),
            (vec![("authorization", &long)], None, "Invalid"),
        ] {
            assert_eq!(presented(&headers, leaf), want, "{headers:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let token = Presented::Token(Secret::new("e.y.J"));
        assert!(!format!("{token:?}").contains("e.y.J"));
    }
}
