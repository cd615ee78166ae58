//! `use: PROVIDER/SET@VERSION`: an item of `rules:` that stands for the rules of a permission set.

use super::{RuleDoc, rule, scope};
use crate::config::yaml::{Fields, Findings, Node};
use crate::config::{Catalogue, PermissionSet, Provider, SetName};

/// Keys of a rule that a permission set fixes.
const FIXED: [&str; 11] = [
    "host",
    "method",
    "path",
    "query",
    "headers",
    "action",
    "protocol",
    "plaintext",
    "pass_headers",
    "mints",
    "strict_path",
];

/// Reads who may use the set, with which connection and at which addresses; the rest is the set's.
pub(super) fn read(
    node: &Node,
    set: &Node,
    mut fields: Fields<'_>,
    catalogue: &Catalogue,
    findings: &mut Findings,
) -> Vec<RuleDoc> {
    let before = findings.len();
    let name = fields.get("name").and_then(|node| rule::name(node, "rule", findings));
    let called = set_name(set, findings);
    let name = name.map(|name| name.value).or_else(|| called.as_ref().map(ToString::to_string));
    findings.in_rule(name.clone());
    let found = called.and_then(|called| find(set, &called, catalogue, findings));
    let given = RuleDoc {
        agents: rule::many(fields.get("agent"), findings, rule::name_of_agent),
        ports: rule::many(fields.get("port"), findings, rule::port),
        networks: rule::many(fields.get("networks"), findings, rule::network),
        connection: fields.get("connection").and_then(|node| rule::connection(node, findings)),
        scope: fields.get("scope").and_then(|node| scope::read(node, findings)),
        ..RuleDoc::nothing(node.at.clone(), name.unwrap_or_default())
    };
    for key in FIXED {
        if fields.get(key).is_some() {
            findings.at(&node.at, format!("`{key}` does not stand beside `use`: the permission set says it"));
        }
    }
    fields.refuse(&rule::NOT_YET, findings);
    fields.finish(&rule::NOT_YET, findings);
    match found {
        Some((provider, set)) if findings.len() == before => expand(given, provider, set),
        _ => Vec::new(),
    }
}

fn expand(given: RuleDoc, provider: &Provider, set: &PermissionSet) -> Vec<RuleDoc> {
    let connection = given
        .connection
        .clone()
        .unwrap_or_else(|| crate::config::Located { value: provider.connection.clone(), at: given.at.clone() });
    let of_set = |rule: &RuleDoc| RuleDoc {
        name: format!("{}:{}", given.name, rule.name),
        hosts: rule.hosts.clone(),
        methods: rule.methods.clone(),
        paths: rule.paths.clone(),
        not_paths: rule.not_paths.clone(),
        query: rule.query.clone(),
        headers: rule.headers.clone(),
        connection: Some(connection.clone()),
        uses: Some(set.name.clone()),
        ..given.clone()
    };
    set.rules.iter().map(of_set).collect()
}

fn find<'c>(
    node: &Node,
    called: &SetName,
    catalogue: &'c Catalogue,
    findings: &mut Findings,
) -> Option<(&'c Provider, &'c PermissionSet)> {
    match catalogue.set(called) {
        Ok(found) => Some(found),
        Err(error) => {
            findings.with(node, error.to_string());
            None
        }
    }
}

/// Reads `PROVIDER/SET@VERSION`.
pub(super) fn set_name(node: &Node, findings: &mut Findings) -> Option<SetName> {
    match SetName::parse(node.text(findings)?) {
        Ok(name) => Some(name),
        Err(error) => {
            findings.with(node, error.to_string());
            None
        }
    }
}
