use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::Secret;

/// What is read of an endpoint's answer; the rest, an ID token among it, is not kept.
const NAMES: [&str; 10] = [
    "access_token",
    "refresh_token",
    "token_type",
    "scope",
    "expires_in",
    "expires_at",
    "expiry",
    "error",
    "ok",
    "success",
];

/// The answer of an endpoint: a JSON object, its strings wiped when dropped.
pub(super) struct Reply(BTreeMap<&'static str, Value>);

/// A value of whichever type: endpoints are not all alike.
pub(super) enum Value {
    /// A string.
    Text(Secret),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A list or an object.
    Other,
}

impl Reply {
    /// Reads a body; `None` where it is no JSON object, or names one of the fields twice.
    pub(super) fn parse(body: &Secret) -> Option<Self> {
        serde_json::from_slice(body.expose()).ok()
    }

    /// A value; `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A string that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => text.expose_str().filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// Tells whether it is a success by its own word: Slack and others refuse with status 200.
    pub(super) fn denies_itself(&self) -> bool {
        ["ok", "success"].iter().any(|name| matches!(self.get(name), Some(Value::Flag(false))))
    }

    /// Tells whether it names an error; an empty one is none.
    pub(super) fn has_error(&self) -> bool {
        match self.get("error") {
            None | Some(Value::Flag(false)) => false,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(_) => true,
        }
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Reply;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reply, A::Error> {
                let mut found = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    match NAMES.iter().find(|known| **known == name) {
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        Some(known) => {
                            let value: Option<Value> = map.next_value()?;
                            if found.insert(*known, value).is_some() {
                                return Err(A::Error::custom("a field stands twice"));
                            }
                        }
                    }
                }
                Ok(Reply(found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(Secret::new(text)))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Flag(flag))
            }

            #[expect(clippy::cast_precision_loss, reason = "seconds: exact up to 2^53")]
            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value::Number(number as f64))
            }

            #[expect(clippy::cast_precision_loss, reason = "seconds: exact up to 2^53")]
            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Number(number))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
