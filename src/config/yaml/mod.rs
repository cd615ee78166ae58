//! Reads YAML into nodes that know their place.
//!
//! `serde_yaml` says what each scalar is, and keeps no positions; a second pass over the events
//! ([`places`]) finds them, duplicate keys, and what is refused outright: anchors, aliases and
//! tags, since nobody needs them in a policy and each can make two readers see two documents.
//! Readers collect what is wrong in [`Findings`] instead of stopping at the first.

mod findings;
mod mapping;
mod node;
mod own;
mod places;
mod suggest;
#[cfg(test)]
mod tests;

pub(super) use findings::Findings;
pub(super) use mapping::Fields;
pub(super) use node::{Content, Entry, Node};
pub(super) use own::parse_own;
pub(super) use suggest::did_you_mean;

use std::path::PathBuf;
use std::sync::Arc;

use super::At;

/// The longest file that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// Parses one document. An empty file is an empty mapping. What is wrong goes to `findings`;
/// then there may be no node.
pub(super) fn parse(file: &Arc<PathBuf>, text: &str, findings: &mut Findings) -> Option<Node> {
    let start = At { file: file.clone(), line: 1, column: 1 };
    if text.len() > LONGEST {
        findings.at(&start, format!("the file is longer than {LONGEST} bytes"));
        return None;
    }
    // Some editors begin a file with a byte order mark, which the two parsers read differently.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let before = findings.len();
    let places = places::find(file, text, findings)?;
    if findings.len() > before {
        return None;
    }
    let value: serde_yaml::Value = match serde_yaml::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let mark = error.location();
            let at = mark.map_or(start, |mark| At { file: file.clone(), line: mark.line(), column: mark.column() });
            findings.at(&at, format!("this is not YAML: {}", without_place(&error.to_string())));
            return None;
        }
    };
    if value.is_null() {
        return Some(Node::new(start, Content::Map(Vec::new())));
    }
    Some(node::build(value, &mut String::new(), &places, &start, findings))
}

/// `serde_yaml` ends its messages with a position that ours already has.
fn without_place(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}
