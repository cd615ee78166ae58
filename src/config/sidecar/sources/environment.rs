//! Environment variables, each of which holds one field: what a job of a CI system has.

use std::collections::BTreeMap;

use super::super::reader::Reader;
use crate::config::yaml::{Fields, Node};

/// `fields:` of a connection whose source is `environment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentConnection {
    /// By the field's name, the variable.
    pub fields: BTreeMap<String, String>,
}

/// `environment: {}` says all that there is to say.
pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<()> {
    Fields::open(node, reader.findings)?.finish(&[], reader.findings);
    Some(())
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<EnvironmentConnection> {
    let Some(node) = fields.get("fields") else { return reader.missing(fields.node(), "fields") };
    let mut variables = BTreeMap::new();
    for entry in node.entries(reader.findings) {
        let name = entry.node.text(reader.findings).and_then(|name| variable(name, &entry.node, reader));
        variables.extend(name.map(|name| (entry.key.clone(), name)));
    }
    Some(EnvironmentConnection { fields: variables })
}

/// The name of a variable. What is none may be a value, and is not repeated.
pub(super) fn variable(name: &str, node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(good) || name.starts_with(|first: char| first.is_ascii_digit()) {
        reader.findings.with(node, "this is the name of a variable, of letters, digits and underscores");
        return None;
    }
    Some(name.to_owned())
}
