use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::model::Secret;

/// An answer in JSON that holds secrets: every text in it is wiped when it is dropped. A name that
/// is written twice in one object makes it unreadable.
pub(super) enum SecretJson {
    /// `null`, a list, and a number that is no count: nothing that anybody here asks for.
    Other,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number from 0.
    Count(u64),
    /// A text.
    Text(Secret),
    /// An object.
    Object(BTreeMap<String, SecretJson>),
}

impl SecretJson {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is no JSON; where, without a word of it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let read = serde_json::from_slice(bytes);
        read.map_err(|error| format!("its answer is no JSON (line {}, column {})", error.line(), error.column()))
    }

    /// The value behind these names, one below the other.
    pub(super) fn at(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |value, name| value.members()?.get(*name))
    }

    /// The text behind these names.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        self.secret(names)?.expose_str()
    }

    /// The same as it is, to be duplicated.
    pub(super) fn secret(&self, names: &[&str]) -> Option<&Secret> {
        match self.at(names)? {
            Self::Text(secret) => Some(secret),
            _ => None,
        }
    }

    /// The count behind these names.
    pub(super) fn count(&self, names: &[&str]) -> Option<u64> {
        match self.at(names)? {
            Self::Count(count) => Some(*count),
            _ => None,
        }
    }

    /// Whether `true` stands behind these names.
    pub(super) fn is_true(&self, names: &[&str]) -> bool {
        matches!(self.at(names), Some(Self::Flag(true)))
    }

    /// The members of an object.
    pub(super) fn members(&self) -> Option<&BTreeMap<String, SecretJson>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for SecretJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = SecretJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no name is written twice")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<SecretJson, E> {
        Ok(SecretJson::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<SecretJson, E> {
        Ok(u64::try_from(number).map_or(SecretJson::Other, SecretJson::Count))
    }

    fn visit_u64<E>(self, number: u64) -> Result<SecretJson, E> {
        Ok(SecretJson::Count(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<SecretJson, E> {
        Ok(SecretJson::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<SecretJson, E> {
        Ok(SecretJson::Text(Secret::new(text)))
    }

    fn visit_unit<E>(self) -> Result<SecretJson, E> {
        Ok(SecretJson::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<SecretJson, A::Error> {
        while items.next_element::<SecretJson>()?.is_some() {}
        Ok(SecretJson::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<SecretJson, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, SecretJson>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is written twice"));
            }
        }
        Ok(SecretJson::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_found() {
        let text = br#"{"a":{"t":"canary","n":7,"f":true,"l":["canary"],"x":-1,"z":null}}"#;
        let json = SecretJson::parse(text).unwrap();
        assert_eq!((json.text(&["a", "t"]), json.count(&["a", "n"])), (Some("canary"), Some(7)));
        assert!(json.is_true(&["a", "f"]) && !json.is_true(&["a", "n"]) && !json.is_true(&["b"]));
        for name in ["l", "x", "z", "y"] {
            assert!(json.text(&["a", name]).is_none() && json.count(&["a", name]).is_none(), "{name}");
        }
        assert!(json.text(&["a", "t", "t"]).is_none() && json.at(&["a"]).is_some());
    }

    #[test]
    fn what_is_none_is_refused_without_a_word_of_it() {
        for bad in ["", "canary", "\"canary", r#"{"a":"canary","a":1}"#, "{} canary", r#"["canary"#, "\u{feff}{}"] {
            let error = SecretJson::parse(bad.as_bytes()).err().unwrap();
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(SecretJson::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
