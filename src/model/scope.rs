use std::sync::Arc;

use serde_json::{Map, Value};

/// What a rule narrows a lease to, in canonical form: JSON with sorted keys, and no two texts for
/// the same thing. What its keys mean, its source says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The canonical form of an object.
    pub fn of(narrowing: &Map<String, Value>) -> Self {
        // `serde_json` keeps the keys of an object sorted.
        Self(Value::Object(narrowing.clone()).to_string().into())
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object.
    pub fn read(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_meaning_has_one_text() {
        let of = |text: &str| Scope::of(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap());
        let scope = of(r#"{ "b": {"z": 1, "a": ["x"]}, "a": "t" }"#);
        assert_eq!(scope, of(r#"{"a":"t","b":{"a":["x"],"z":1}}"#));
        assert_eq!(scope.as_str(), r#"{"a":"t","b":{"a":["x"],"z":1}}"#);
        assert_eq!(Scope::of(&scope.read()), scope);
    }
}
