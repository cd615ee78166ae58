use std::borrow::Cow;
use std::fmt;

use super::readings::escape_at;

/// The bytes after `?`, kept as they came: visible ASCII, never rewritten.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Query(Box<str>);

impl Query {
    /// Keeps a query whose bytes the head reader has checked.
    pub fn new(raw: &str) -> Self {
        Self(raw.into())
    }

    /// The bytes, without the `?`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pieces between `&`, as they came, empty ones included.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        let text = &*self.0;
        text.split('&').filter(move |_| !text.is_empty())
    }

    /// Names and values, decoded as forms are (`+` is a blank); a bare name has an empty value.
    pub fn pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.pieces().filter(|piece| !piece.is_empty()).map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (decode_form(name), decode_form(value))
        })
    }

    /// The query without every pair of this (decoded) name, all other bytes in their order.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let kept: Vec<&str> = self
            .pieces()
            .filter(|piece| decode_form(piece.split_once('=').map_or(*piece, |(name, _)| name)) != name)
            .collect();
        Self(kept.join("&").into())
    }

    /// The query with a pair added at its end, form-encoded.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut text = String::from(&*self.0);
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&encode_form(name));
        text.push('=');
        text.push_str(&encode_form(value));
        Self(text.into())
    }
}

/// Decodes `application/x-www-form-urlencoded` text; bad escapes stay as they are.
pub fn decode_form(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(byte) = escape_at(bytes, at) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
            at += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Encodes as Go's `url.QueryEscape` does: letters, digits and `-_.~` stay, a blank is `+`.
pub fn encode_form(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                encoded.push('%');
                encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
                encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

impl fmt::Debug for Query {
    /// Shows names alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pairs().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_replaced_and_the_rest_keeps_its_bytes() {
        let query = Query::new("z=1&a=%7e&key=old&b=x%20y&flag&a=2;3&%6bey=older");
        assert_eq!(query.without("key").with("key", "k-123").as_str(), "z=1&a=%7e&b=x%20y&flag&a=2;3&key=k-123");
    }

    #[test]
    fn the_encoding_is_the_bridges() {
        assert_eq!(
            Query::default().with("api key", "a b&c=d+e/f?é~*'()").as_str(),
            "api+key=a+b%26c%3Dd%2Be%2Ff%3F%C3%A9~%2A%27%28%29"
        );
    }
}
