//! What sources read of a rule's `scope`. Errors follow "and", for whoever wrote the rule.

use serde_json::{Map, Value};

/// Complains of keys that mean nothing here.
pub(super) fn unknown(scope: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match scope.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(other) => Err(format!("that source knows {} there, not {other:?}", known.join(" and "))),
    }
}

/// One text or a list of them, not empty.
pub(super) fn texts(value: &Value, key: &str) -> Result<Vec<String>, String> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let texts: Option<Vec<String>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    texts.filter(|texts| !texts.is_empty()).ok_or_else(|| format!("its `{key}` are a list of texts"))
}
