//! Reads JSON that a stranger sent. No error quotes a value: it may be a credential.

use std::fmt;

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::model::strict_json;

/// Exactly one JSON value; a member that stands twice in its object is refused, since readers differ
/// on which one counts.
pub(super) fn strict(bytes: &[u8]) -> Result<Value, Problem> {
    strict_json(bytes).map_err(|error| broken(&error))
}

/// The first JSON value, whatever follows it.
pub(super) fn lenient(bytes: &[u8]) -> Result<Value, Problem> {
    let first = serde_json::Deserializer::from_slice(bytes).into_iter().next();
    let no_value = || Problem::invalid("the body is no JSON").known_as("invalid_json");
    first.ok_or_else(no_value)?.map_err(|error| broken(&error))
}

/// Says where, and nothing of what stood there.
fn broken(error: &serde_json::Error) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    let what = if error.is_data() { "names a member twice" } else { "is no JSON" };
    Problem::invalid(format!("the body {what}: {place}")).known_as("invalid_json")
}

/// The members of an object. Each is taken once; what is left at the end is unknown.
pub(in crate::authority) struct Members {
    members: Map<String, Value>,
    /// Where it stands in the body, to name members by.
    path: String,
}

impl Members {
    pub(super) fn of(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(members) => Ok(Self { members, path: String::new() }),
            _ => Err(Problem::invalid("the body must be a JSON object")),
        }
    }

    /// A member that has to be there.
    pub(in crate::authority) fn text(&mut self, name: &str) -> Result<String, Problem> {
        self.text_or_none(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Text, if it is there. `null` is not.
    pub(in crate::authority) fn text_or_none(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    /// A whole number, if it is there.
    pub(in crate::authority) fn number_or_none(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number from 0")),
        }
    }

    /// True or false; `otherwise` where it is left out.
    pub(in crate::authority) fn flag(&mut self, name: &str, otherwise: bool) -> Result<bool, Problem> {
        match self.members.remove(name) {
            None => Ok(otherwise),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// An array, if it is there.
    pub(in crate::authority) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Problem> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(self.wrong(name, "must be an array")),
        }
    }

    /// An array of strings, if it is there.
    pub(in crate::authority) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        let Some(items) = self.list(name)? else { return Ok(None) };
        let text = |item| match item {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong(name, "must be an array of strings")),
        };
        items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// An object, if it is there, to be read in its turn.
    pub(in crate::authority) fn object(&mut self, name: &str) -> Result<Option<Self>, Problem> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { members, path: format!("{}{name}.", self.path) })),
            Some(_) => Err(self.wrong(name, "must be an object")),
        }
    }

    /// What is left, as it is.
    pub(in crate::authority) fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// Refuses what nobody took.
    pub(in crate::authority) fn finish(self) -> Result<(), Problem> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.wrong(name, "is unknown")),
        }
    }

    /// The refusal of a member of this object.
    pub(in crate::authority) fn wrong(&self, name: &str, why: impl fmt::Display) -> Problem {
        let field = format!("{}{name}", self.path);
        Problem::invalid(format!("the member {field:?} {why}")).with("field", field)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::problem::Surface;
    use super::*;
    use crate::model::TraceId;

    fn said(problem: &Problem) -> String {
        problem.body(Surface::New, TraceId::from_random([0; 16]))["error"].to_string()
    }

    #[test]
    fn a_value_reads_as_it_was_written() {
        let text = r#"{"a": [1, -2, 2.5, "x\n", null, true], "b": {"c": {}}}"#;
        let want: Value = serde_json::from_str(text).unwrap();
        assert_eq!(strict(text.as_bytes()).unwrap(), want);
    }

    #[test]
    fn what_is_no_json_is_placed_and_never_quoted() {
        for text in ["", "{", "canary", "{\"a\": canary}", "{} canary", "{\"canary\": 1, \"canary\": 2}", "\"canary"] {
            let problem = strict(text.as_bytes()).unwrap_err();
            assert!(said(&problem).contains("line 1, column ") && !said(&problem).contains("canary"), "{text}");
        }
        assert!(strict(br#"{"a": {"b": 1, "b": 1}}"#).is_err());
        assert!(strict("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
    }

    #[test]
    fn the_reference_ignores_what_follows() {
        assert_eq!(lenient(b" {\"a\": 1, \"a\": 2} rest").unwrap(), json!({"a": 2}));
        for text in ["", "  ", "rest {}"] {
            let problem = lenient(text.as_bytes()).unwrap_err();
            assert_eq!(problem.body(Surface::Old, TraceId::from_random([0; 16]))["error"], "invalid_json");
        }
    }

    #[test]
    fn members_are_taken_once_and_named_by_their_path() {
        let members = || {
            let value = json!({"t": "x", "f": true, "l": ["a"], "n": null, "o": {"p": 1}, "c": "canary"});
            Members::of(value).unwrap()
        };
        let mut all = members();
        assert_eq!(all.text("t").unwrap(), "x");
        assert!(all.flag("f", false).unwrap() && all.flag("absent", true).unwrap());
        assert_eq!(all.texts("l").unwrap(), Some(vec!["a".to_owned()]));
        let mut inner = all.object("o").unwrap().unwrap();
        assert!(said(&inner.text_or_none("p").unwrap_err()).contains("\"o.p\""));
        for problem in [
            members().text("absent").map(drop).unwrap_err(),
            members().text("n").map(drop).unwrap_err(),
            members().flag("c", false).map(drop).unwrap_err(),
            members().texts("c").map(drop).unwrap_err(),
            members().object("c").map(drop).unwrap_err(),
            members().finish().unwrap_err(),
            Members::of(json!("canary")).map(drop).unwrap_err(),
        ] {
            assert!(!said(&problem).contains("canary"), "{}", said(&problem));
        }
    }
}
