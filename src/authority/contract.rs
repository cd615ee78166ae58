//! What a connection is bound to, and what its fields are called, as a row keeps it.

use serde_json::{Value, json};

use super::rows::ConnectionRow;
use crate::model::{Binding, Bindings, Fields, HostPattern, Strategy};

/// The names of fields, sorted, as a row keeps them.
pub(super) fn names_json(fields: &Fields) -> String {
    Value::from(fields.names().collect::<Vec<_>>()).to_string()
}

/// A contract as a row keeps it.
pub(super) fn bindings_json(bindings: &Bindings) -> String {
    bindings_value(bindings).to_string()
}

/// A contract as JSON.
pub(super) fn bindings_value(bindings: &Bindings) -> Value {
    let line = |binding: &Binding| {
        let hosts: Vec<String> = binding.hosts.iter().map(ToString::to_string).collect();
        json!({ "hosts": hosts, "strategy": binding.strategy.to_json() })
    };
    bindings.iter().map(line).collect()
}

/// Reads the contract of a row, checked as when it was made.
pub(super) fn read_bindings(row: &ConnectionRow) -> Result<Bindings, String> {
    read_lines(&serde_json::from_str(&row.bindings).map_err(|e| e.to_string())?, row.owned)
}

/// Reads a contract.
pub(super) fn read_lines(value: &Value, owned: bool) -> Result<Bindings, String> {
    let lines = value.as_array().ok_or("a contract is a list")?;
    let line = |line: &Value| {
        let hosts = line.get("hosts").and_then(Value::as_array).ok_or("its hosts are no list")?;
        let pattern = |host: &Value| HostPattern::parse(host.as_str().unwrap_or_default()).map_err(|e| e.to_string());
        let hosts = hosts.iter().map(pattern).collect::<Result<_, _>>()?;
        let strategy = Strategy::from_json(line.get("strategy").unwrap_or(&Value::Null)).map_err(|e| e.to_string())?;
        Ok::<_, String>(Binding { hosts, strategy })
    };
    let lines = lines.iter().map(line).collect::<Result<_, _>>()?;
    Bindings::new(lines, owned).map_err(|e| e.to_string())
}

/// Reads the names of a row's fields.
pub(super) fn read_names(row: &ConnectionRow) -> Result<Vec<String>, String> {
    serde_json::from_str(&row.field_names).map_err(|e| e.to_string())
}
