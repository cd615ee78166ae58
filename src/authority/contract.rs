//! What a connection is bound to, as a row keeps it, and whether its fields serve it.

use serde_json::{Value, json};

use super::ConnectionError;
use super::store::Row;
use crate::lease::optional_fields;
use crate::model::{BasicUser, Binding, Bindings, Fields, HostPattern, Secret, Strategy};

/// Checks that every strategy finds its fields, that nothing else is kept, and that what is sent
/// as text can be sent.
pub(super) fn check_fields(bindings: &Bindings, fields: &Fields) -> Result<(), ConnectionError> {
    let (mut needed, mut known) = (Vec::new(), Vec::new());
    for Binding { strategy, .. } in bindings.iter() {
        let required = strategy.required_fields();
        let missing = required.iter().find(|field| fields.get(field).is_none());
        if let Some(&field) = missing {
            return Err(ConnectionError::Missing { strategy: strategy.kind(), field: field.to_owned() });
        }
        let of_this = required.iter().chain(optional_fields(strategy));
        for (field, value) in of_this.filter_map(|&field| Some((field, fields.get(field)?))) {
            check_value(strategy, field, value)
                .map_err(|why| ConnectionError::Value { field: field.to_owned(), why })?;
            known.push(field);
        }
        needed.extend(required);
    }
    match fields.names().find(|name| !known.contains(name)) {
        Some(field) => Err(ConnectionError::Unused { field: field.to_owned(), known: needed.join(", ") }),
        None => Ok(()),
    }
}

/// What a request could not be made with is refused before it is kept.
fn check_value(strategy: &Strategy, field: &str, value: &Secret) -> Result<(), &'static str> {
    let text = value.expose_str().ok_or("is not UTF-8")?;
    let signs = matches!(strategy, Strategy::HmacPayload { .. });
    let names_user =
        matches!(strategy, Strategy::BasicAuth { user: BasicUser::Field(user), .. } if user.as_str() == field);
    if text.is_empty() {
        return Err("is empty");
    }
    if !signs && text.chars().any(|c| c.is_control() && c != '\t') {
        return Err("holds a line break or another control character");
    }
    if !signs && text.trim().is_empty() {
        return Err("holds blanks alone");
    }
    if names_user && text.contains(':') {
        return Err("is a user name with a colon, which Basic authentication cannot carry");
    }
    Ok(())
}

/// The names of fields, sorted, as a row keeps them.
pub(super) fn names_json(fields: &Fields) -> String {
    Value::from(fields.names().collect::<Vec<_>>()).to_string()
}

/// A contract as a row keeps it.
pub(super) fn bindings_json(bindings: &Bindings) -> String {
    let line = |binding: &Binding| {
        let hosts: Vec<String> = binding.hosts.iter().map(ToString::to_string).collect();
        json!({ "hosts": hosts, "strategy": binding.strategy.to_json() })
    };
    Value::from(bindings.iter().map(line).collect::<Vec<_>>()).to_string()
}

/// Reads the contract of a row, checked as when it was made.
pub(super) fn read_bindings(row: &Row) -> Result<Bindings, String> {
    let lines: Vec<Value> = serde_json::from_str(&row.bindings).map_err(|e| e.to_string())?;
    let line = |line: &Value| {
        let hosts = line.get("hosts").and_then(Value::as_array).ok_or("its hosts are no list")?;
        let pattern = |host: &Value| HostPattern::parse(host.as_str().unwrap_or_default()).map_err(|e| e.to_string());
        let hosts = hosts.iter().map(pattern).collect::<Result<_, _>>()?;
        let strategy = Strategy::from_json(line.get("strategy").unwrap_or(&Value::Null)).map_err(|e| e.to_string())?;
        Ok::<_, String>(Binding { hosts, strategy })
    };
    let lines = lines.iter().map(line).collect::<Result<_, _>>()?;
    Bindings::new(lines, row.owned).map_err(|e| e.to_string())
}

/// Reads the names of a row's fields.
pub(super) fn read_names(row: &Row) -> Result<Vec<String>, String> {
    serde_json::from_str(&row.field_names).map_err(|e| e.to_string())
}
