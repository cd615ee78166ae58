//! What is different between two definitions, key by key.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::definition::Definition;

/// One key that is different. Nested objects are compared member by member: `params.prompt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, with dots.
    pub key: String,
    /// What it was, as JSON; none where it was not there.
    pub before: Option<String>,
    /// What it is to be.
    pub after: Option<String>,
}

impl Definition {
    /// Every key that `newer` has otherwise. Nothing in a definition is secret.
    pub fn differences(&self, newer: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare("", &self.to_json(), &newer.to_json(), &mut found);
        found
    }
}

fn compare(above: &str, before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Vec<Difference>) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) if before == after => {}
            (Some(Value::Object(before)), Some(Value::Object(after))) => compare(&key, before, after, found),
            (before, after) => {
                let text = |value: Option<&Value>| value.map(Value::to_string);
                found.push(Difference { key, before: text(before), after: text(after) });
            }
        }
    }
}
