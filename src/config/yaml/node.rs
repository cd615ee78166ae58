use serde_yaml::{Number, Value};

use super::Findings;
use super::places::{self, Places};
use crate::config::{At, Located};

/// A value and its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct Node {
    /// Where it starts, in a file.
    pub(in crate::config) at: At,
    /// The environment variable that set it instead.
    pub(in crate::config) variable: Option<String>,
    /// What it is.
    pub(in crate::config) content: Content,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(in crate::config) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entry {
    pub(in crate::config) key: String,
    pub(in crate::config) at: At,
    pub(in crate::config) node: Node,
}

impl Entry {
    /// Reports a problem with the key, or with the variable that set it.
    pub(in crate::config) fn problem(&self, message: String, findings: &mut Findings) {
        match &self.node.variable {
            None => findings.at(&self.at, message),
            Some(_) => findings.with(&self.node, message),
        }
    }
}

impl Node {
    pub(in crate::config) fn new(at: At, content: Content) -> Self {
        Self { at, variable: None, content }
    }

    /// The word for what it is.
    pub(in crate::config) fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "empty",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    /// A value that was made of this one.
    pub(in crate::config) fn located<T>(&self, value: T) -> Located<T> {
        Located { value, at: self.at.clone() }
    }

    /// Text, not empty.
    pub(in crate::config) fn text<'a>(&'a self, findings: &mut Findings) -> Option<&'a str> {
        match &self.content {
            Content::Text(text) if text.is_empty() => findings.with(self, "this must not be empty"),
            Content::Text(text) => return Some(text),
            Content::Bool(_) | Content::Number(_) => {
                findings
                    .with(self, format!("this must be text, and YAML reads it as {}: put it in quotes", self.kind()));
            }
            _ => findings.with(self, format!("this must be text, not {}", self.kind())),
        }
        None
    }

    /// `true` or `false`; as text if a variable set it.
    pub(in crate::config) fn flag(&self, findings: &mut Findings) -> Option<bool> {
        match &self.content {
            Content::Bool(flag) => return Some(*flag),
            Content::Text(text) if self.variable.is_some() && text == "true" => return Some(true),
            Content::Text(text) if self.variable.is_some() && text == "false" => return Some(false),
            Content::Text(text) => findings.with(self, format!("this must be true or false, not {text:?}")),
            _ => findings.with(self, format!("this must be true or false, not {}", self.kind())),
        }
        None
    }

    /// A whole number within bounds; as text if a variable set it.
    pub(in crate::config) fn number(&self, least: u64, most: u64, findings: &mut Findings) -> Option<u64> {
        let number = match &self.content {
            Content::Number(number) => number.as_u64(),
            Content::Text(text) if self.variable.is_some() => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            findings.with(self, format!("this must be a whole number from {least} to {most}"));
        }
        number
    }

    /// One value or a list of them. An empty list is a problem: it reads as "any" and as "none".
    pub(in crate::config) fn one_or_list(&self, findings: &mut Findings) -> &[Node] {
        match &self.content {
            Content::List(nodes) if nodes.is_empty() => {
                findings.with(self, "this list is empty: leave the key out, or name something");
                &[]
            }
            Content::List(nodes) => nodes,
            _ => std::slice::from_ref(self),
        }
    }

    /// A list, which may be empty.
    pub(in crate::config) fn list(&self, findings: &mut Findings) -> &[Node] {
        match &self.content {
            Content::List(nodes) => nodes,
            Content::Null => &[],
            _ => {
                findings.with(self, format!("this must be a list, not {}", self.kind()));
                &[]
            }
        }
    }

    /// The entries of a mapping with free keys.
    pub(in crate::config) fn entries(&self, findings: &mut Findings) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Null => &[],
            _ => {
                findings.with(self, format!("this must be a mapping, not {}", self.kind()));
                &[]
            }
        }
    }
}

/// Puts a value and the index of places together. A place that is not found (the two parsers
/// differ in some corner) is that of the nearest value above it.
pub(super) fn build(value: Value, path: &mut String, places: &Places, above: &At, findings: &mut Findings) -> Node {
    let at = places.value(path).unwrap_or(above).clone();
    let content = match value {
        Value::Null => Content::Null,
        Value::Bool(flag) => Content::Bool(flag),
        Value::Number(number) => Content::Number(number),
        Value::String(text) => Content::Text(text),
        Value::Sequence(items) => {
            let item = |(index, value): (usize, Value)| {
                below(path, &index.to_string(), |path| build(value, path, places, &at, findings))
            };
            Content::List(items.into_iter().enumerate().map(item).collect())
        }
        Value::Mapping(mapping) => {
            let mut entries = Vec::with_capacity(mapping.len());
            for (key, value) in mapping {
                let Value::String(key) = key else {
                    findings.at(&at, "a key in this mapping is not text: put it in quotes");
                    continue;
                };
                entries.push(below(path, &key, |path| {
                    let node = build(value, path, places, &at, findings);
                    Entry { at: places.key(path).unwrap_or(&node.at).clone(), key: key.clone(), node }
                }));
            }
            Content::Map(entries)
        }
        // The pass over the events refuses tags before this.
        Value::Tagged(tagged) => return build(tagged.value, path, places, above, findings),
    };
    Node::new(at, content)
}

fn below<T>(path: &mut String, step: &str, read: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    places::push(path, step);
    let read = read(path);
    path.truncate(length);
    read
}
