//! A provider's document: as written -> checked by itself. Anything wrong with it is an error,
//! since it is compiled in.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use super::{RuleDoc, open, rule, test};
use crate::config::yaml::{self, Content, Fields, Findings, Node};
use crate::config::{
    At, FieldDoc, PLACEHOLDER_MARKER, PermissionSet, Placeholder, Problems, Provider, SetName, UserCall,
};
use crate::model::{Binding, Bindings, ConnectionName, HostPattern, RefusedAs, RefusedLine, Strategy};

/// Reads a provider's document. `file` is only what problems call it.
pub(in crate::config) fn read(file: &Path, text: &str) -> Result<Provider, Problems> {
    let mut findings = Findings::default();
    let root = yaml::parse(&Arc::new(file.to_owned()), text, &mut findings);
    let provider = root.as_ref().and_then(|root| document(root, &mut findings));
    findings.or(provider)
}

/// Reads a document that is part of this program, in a third of the time.
pub(in crate::config) fn read_own(file: &Path, text: &str) -> Result<Provider, Problems> {
    let at = At { file: Arc::new(file.to_owned()), line: 1, column: 1 };
    let mut findings = Findings::default();
    let root = yaml::parse_own(&at.file, text).map_err(|error| findings.at(&at, error));
    let provider = root.ok().and_then(|root| document(&root, &mut findings));
    findings.or(provider)
}

fn document(root: &Node, findings: &mut Findings) -> Option<Provider> {
    let mut fields = Fields::open(root, findings)?;
    open::version(&mut fields, findings);
    let described = fields.get("provider");
    let tests = fields.get("tests").map(|list| list.list(findings)).unwrap_or_default();
    fields.finish(&[], findings);
    let Some(described) = described else {
        findings.with(root, "`provider` is missing");
        return None;
    };
    let mut provider = provider(described, findings)?;
    let tests = tests.iter().flat_map(|node| test::of_provider(node, &provider.connection, findings));
    provider.tests = tests.collect();
    Some(provider)
}

fn provider(node: &Node, findings: &mut Findings) -> Option<Provider> {
    let mut fields = Fields::open(node, findings)?;
    let connection = fields.get("name").and_then(|node| rule::connection(node, findings));
    let title = needed(&mut fields, "title", findings);
    let about = needed(&mut fields, "about", findings);
    let owned = fields.get("owned").and_then(|node| node.flag(findings)).unwrap_or(false);
    let bindings = fields.get("contract").and_then(|node| contract(node, owned, findings));
    let given = each(fields.get("fields"), findings, field);
    let key_headers = each(fields.get("key_headers"), findings, header);
    let variables = each(fields.get("variables"), findings, word);
    let placeholders = fields.get("placeholders").map(|node| placeholders(node, findings)).unwrap_or_default();
    let user = fields.get("user").and_then(|node| user(node, findings));
    let refused = refused(&mut fields, findings);
    let mints = each(fields.get("mints"), findings, |node, findings| rule::matching(node, "call", findings));
    let sets = fields.get("sets");
    fields.finish(&[], findings);
    let connection = connection?.value;
    let sets = sets.map(|node| permission_sets(node, &connection, findings)).unwrap_or_default();
    Some(Provider {
        connection,
        title: title?,
        about: about?,
        bindings: bindings?,
        owned,
        fields: given,
        key_headers,
        variables,
        placeholders,
        user,
        refused,
        mints,
        sets,
        tests: Vec::new(),
    })
}

pub(super) fn needed(fields: &mut Fields<'_>, key: &'static str, findings: &mut Findings) -> Option<String> {
    match fields.get(key) {
        Some(node) => node.text(findings).map(str::to_owned),
        None => {
            findings.with(fields.node(), format!("`{key}` is missing"));
            None
        }
    }
}

pub(super) fn each<T>(
    node: Option<&Node>,
    findings: &mut Findings,
    mut read: impl FnMut(&Node, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let nodes = node.map(|node| node.list(findings)).unwrap_or_default();
    nodes.iter().filter_map(|node| read(node, findings)).collect()
}

pub(super) fn word(node: &Node, findings: &mut Findings) -> Option<String> {
    node.text(findings).map(str::to_owned)
}

fn header(node: &Node, findings: &mut Findings) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(node.text(findings)?.as_bytes());
    name.map_err(|_| findings.with(node, "this is no header name (RFC 9110, section 5.1)")).ok()
}

pub(super) fn field(node: &Node, findings: &mut Findings) -> Option<FieldDoc> {
    let mut fields = Fields::open(node, findings)?;
    let name = needed(&mut fields, "name", findings);
    let about = needed(&mut fields, "about", findings);
    let optional = fields.get("optional").and_then(|node| node.flag(findings)).unwrap_or(false);
    fields.finish(&[], findings);
    Some(FieldDoc { name: name?, optional, about: about? })
}

pub(super) fn contract(node: &Node, owned: bool, findings: &mut Findings) -> Option<Bindings> {
    let lines = node.list(findings).iter().filter_map(|node| binding(node, findings)).collect();
    Bindings::new(lines, owned).map_err(|error| findings.with(node, error.to_string())).ok()
}

fn binding(node: &Node, findings: &mut Findings) -> Option<Binding> {
    let mut fields = Fields::open(node, findings)?;
    let hosts: Vec<HostPattern> =
        rule::many(fields.get("hosts"), findings, rule::host).into_iter().map(|host| host.value).collect();
    let strategy = needed(&mut fields, "strategy", findings);
    let settings: Map<String, Value> = match fields.get("settings") {
        Some(node) => node.entries(findings).iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
        None => Map::new(),
    };
    fields.finish(&[], findings);
    let strategy = Strategy::from_settings(&strategy?, &settings);
    let strategy = strategy.map_err(|error| findings.with(node, error.to_string())).ok()?;
    Some(Binding { hosts, strategy })
}

pub(in crate::config) fn json(node: &Node) -> Value {
    match &node.content {
        Content::Text(text) => text.as_str().into(),
        Content::Bool(flag) => (*flag).into(),
        Content::List(items) => items.iter().map(json).collect(),
        Content::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
        Content::Number(_) | Content::Null => Value::Null,
    }
}

fn placeholders(node: &Node, findings: &mut Findings) -> Vec<Placeholder> {
    let entries = node.entries(findings);
    let read = |entry: &yaml::Entry| {
        let value = entry.node.text(findings)?.to_owned();
        if !value.to_ascii_lowercase().contains(&PLACEHOLDER_MARKER.to_ascii_lowercase()) {
            findings.with(&entry.node, format!("a placeholder holds {PLACEHOLDER_MARKER}, by which it is recognised"));
        }
        Some(Placeholder { variable: entry.key.clone(), value })
    };
    entries.iter().filter_map(read).collect()
}

pub(super) fn user(node: &Node, findings: &mut Findings) -> Option<UserCall> {
    let mut fields = Fields::open(node, findings)?;
    let request = needed(&mut fields, "request", findings);
    let ok = fields.get("ok").and_then(|node| word(node, findings));
    let name = each(fields.get("name"), findings, word);
    let headers = fields.get("headers").map(|node| node.entries(findings)).unwrap_or_default();
    let headers = headers.iter().filter_map(|entry| {
        let name = HeaderName::from_bytes(entry.key.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(entry.node.text(findings)?).ok()?))
    });
    let headers = headers.collect();
    fields.finish(&[], findings);
    let request = request?;
    let (method, url) = request.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some(UserCall { method, url: url.to_owned(), headers, ok, name })
}

/// `refused` and `refused_before_effect`: 401 where nothing else is said.
fn refused(fields: &mut Fields<'_>, findings: &mut Findings) -> RefusedAs {
    let mut refused = RefusedAs::default();
    if let Some(node) = fields.get("refused") {
        refused.lines = each(Some(node), findings, refused_line);
    }
    if let Some(flag) = fields.get("refused_before_effect").and_then(|node| node.flag(findings)) {
        refused.before_effect = flag;
    }
    refused
}

fn refused_line(node: &Node, findings: &mut Findings) -> Option<RefusedLine> {
    let mut fields = Fields::open(node, findings)?;
    let statuses = each(fields.get("status"), findings, |node, findings| {
        let status = node.number(400, 499, findings).and_then(|number| u16::try_from(number).ok())?;
        StatusCode::from_u16(status).ok()
    });
    let words = each(fields.get("holds"), findings, word);
    fields.finish(&[], findings);
    if statuses.is_empty() {
        findings.with(node, "a refusal needs its `status`, from 400 to 499");
        return None;
    }
    Some(RefusedLine { statuses, words })
}

fn permission_sets(node: &Node, provider: &ConnectionName, findings: &mut Findings) -> Vec<PermissionSet> {
    let mut sets: Vec<PermissionSet> = Vec::new();
    for entry in node.entries(findings) {
        match SetName::parse(&format!("{provider}/{}", entry.key)) {
            Ok(name) => {
                let set = permission_set(&entry.node, name, &sets, findings);
                sets.extend(set);
            }
            Err(error) => entry.problem(error.to_string(), findings),
        }
    }
    sets
}

/// A set, with the rules of those above it that it includes, under their own names.
fn permission_set(
    node: &Node,
    name: SetName,
    above: &[PermissionSet],
    findings: &mut Findings,
) -> Option<PermissionSet> {
    let mut fields = Fields::open(node, findings)?;
    let about = needed(&mut fields, "about", findings);
    let included = each(fields.get("includes"), findings, |node, findings| {
        let called = node.text(findings)?;
        let set = above.iter().find(|set| set.name.versioned() == called);
        if set.is_none() {
            findings.with(node, format!("no set above this one is called {called}"));
        }
        set.map(|set| set.rules.clone())
    });
    let mut rules: Vec<RuleDoc> = included.concat();
    rules.extend(each(fields.get("rules"), findings, |node, findings| rule::matching(node, "rule", findings)));
    fields.finish(&[], findings);
    if rules.is_empty() {
        findings.with(node, "a permission set needs `rules`");
    }
    Some(PermissionSet { name, about: about?, rules })
}
