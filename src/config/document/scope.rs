//! `scope:` of a rule: what a lease is narrowed to, as an object. Its source says what the keys mean.

use serde_json::{Map, Value};

use crate::config::Located;
use crate::config::yaml::{Content, Findings, Node};
use crate::model::Scope;

/// Reads it into its canonical form.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Option<Located<Scope>> {
    let before = findings.len();
    let narrowing = match &node.content {
        Content::Map(entries) if !entries.is_empty() => {
            let pairs = entries.iter().filter_map(|entry| Some((entry.key.clone(), value(&entry.node, findings)?)));
            pairs.collect::<Map<_, _>>()
        }
        Content::Map(_) | Content::Null => {
            findings.with(node, "`scope` narrows nothing: leave it out, or say to what");
            return None;
        }
        _ => {
            findings.with(node, format!("this must be a mapping, not {}", node.kind()));
            return None;
        }
    };
    (findings.len() == before).then(|| node.located(Scope::of(&narrowing)))
}

/// A value that has one text: no fractions, which have several, and nothing empty, which means
/// everything here and nothing there.
pub(in crate::config) fn value(node: &Node, findings: &mut Findings) -> Option<Value> {
    match &node.content {
        Content::Text(text) => Some(text.as_str().into()),
        Content::Bool(flag) => Some((*flag).into()),
        Content::List(items) => items.iter().map(|item| value(item, findings)).collect(),
        Content::Map(entries) => {
            let pair = |entry: &crate::config::yaml::Entry| Some((entry.key.clone(), value(&entry.node, findings)?));
            entries.iter().map(pair).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        Content::Number(number) => {
            let whole = number.as_i64().map(Value::from).or_else(|| number.as_u64().map(Value::from));
            if whole.is_none() {
                findings.with(node, "a scope has no fractions: put it in quotes");
            }
            whole
        }
        Content::Null => {
            findings.with(node, "this is empty: say what is meant, or leave the key out");
            None
        }
    }
}
