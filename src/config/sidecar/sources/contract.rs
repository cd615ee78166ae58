//! The contract of a connection whose source does not know it: where its credentials may go, and how.

use serde_json::{Map, Value};

use super::super::reader::Reader;
use crate::config::Catalogue;
use crate::config::document::{host_pattern, json, many};
use crate::config::yaml::Fields;
use crate::model::{Binding, Bindings, HostPattern, Strategy};

/// Reads `provider`, or `hosts`, `strategy`, `settings` and `owned`.
pub(super) fn read(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Bindings> {
    let provider = fields.get("provider");
    let strategy = fields.get("strategy");
    let settings = fields.get("settings");
    let owned = fields.get("owned").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let hosts = hosts(fields, reader);
    if let Some(node) = provider {
        let name = node.text(reader.findings)?;
        if let Some(other) = strategy.or(settings).or(fields.get("hosts")) {
            reader.findings.with(other, "a `provider` says hosts and strategy itself: leave this out, or the provider");
            return None;
        }
        let found = Catalogue::built_in().provider(name);
        if found.is_none() {
            reader.findings.with(node, format!("the catalogue has no provider {name:?}: say `hosts` and `strategy`"));
        }
        return found.map(|provider| provider.bindings.clone());
    }
    if hosts.is_empty() {
        return reader.missing(fields.node(), "hosts");
    }
    let Some(node) = strategy else { return reader.missing(fields.node(), "strategy") };
    let kind = node.text(reader.findings)?;
    let settings: Map<String, Value> = match settings {
        Some(node) => node.entries(reader.findings).iter().map(|one| (one.key.clone(), json(&one.node))).collect(),
        None => Map::new(),
    };
    let strategy = Strategy::from_settings(kind, &settings);
    let strategy = strategy.map_err(|error| reader.findings.with(node, error.to_string())).ok()?;
    let bindings = Bindings::new(vec![Binding { hosts, strategy }], owned);
    bindings.map_err(|error| reader.findings.with(fields.node(), error.to_string())).ok()
}

/// Reads `hosts`, one or a list.
pub(super) fn hosts(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Vec<HostPattern> {
    many(fields.get("hosts"), reader.findings, host_pattern).into_iter().map(|host| host.value).collect()
}

/// Complains of a field that a strategy of the contract needs and the source will not give.
pub(super) fn needs<'f>(
    contract: &Bindings,
    given: impl Iterator<Item = &'f String> + Clone,
    node: &crate::config::yaml::Node,
    reader: &mut Reader<'_>,
) {
    for binding in contract.iter() {
        for field in binding.strategy.required_fields() {
            if !given.clone().any(|given| given == field) {
                let kind = binding.strategy.kind();
                reader.findings.with(node, format!("the strategy {kind} needs the field {field}, which is not given"));
                return;
            }
        }
    }
}
