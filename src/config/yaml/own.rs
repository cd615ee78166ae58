//! Reads a document that is part of this program: one pass, and nothing of what makes a file of
//! somebody else's safe to read. A test reads every such document both ways.

use std::path::PathBuf;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{Content, Entry, Node};
use crate::config::At;

/// Parses a document; says where it could not.
pub(in crate::config) fn parse_own(file: &Arc<PathBuf>, text: &str) -> Result<Node, String> {
    let mut building = Building { file, open: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("{}: {error}", file.display()))?;
        building.event(&event, span);
    }
    building.root.ok_or_else(|| format!("{}: there is no document", file.display()))
}

struct Building<'a> {
    file: &'a Arc<PathBuf>,
    /// Collections that have begun and not ended.
    open: Vec<Open>,
    root: Option<Node>,
}

struct Open {
    at: At,
    content: Content,
    /// Of a mapping: the key that waits for its value.
    key: Option<(String, At)>,
}

impl Building<'_> {
    fn event(&mut self, event: &Event<'_>, span: Span) {
        let at = At { file: self.file.clone(), line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::SequenceStart(..) => self.open.push(Open { at, content: Content::List(Vec::new()), key: None }),
            Event::MappingStart(..) => self.open.push(Open { at, content: Content::Map(Vec::new()), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { at, content, .. }) = self.open.pop() {
                    self.value(Node::new(at, content));
                }
            }
            Event::Scalar(text, style, ..) => match self.open.last_mut() {
                Some(Open { content: Content::Map(_), key: key @ None, .. }) => *key = Some((text.to_string(), at)),
                _ => self.value(Node::new(at, scalar(text, *style))),
            },
            _ => {}
        }
    }

    fn value(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open { content: Content::List(items), .. }) => items.push(node),
            Some(Open { content: Content::Map(entries), key, .. }) => {
                entries.extend(key.take().map(|(key, at)| Entry { key, at, node }));
            }
            _ => self.root = Some(node),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Content {
    if style != ScalarStyle::Plain {
        return Content::Text(text.to_owned());
    }
    match text {
        "null" => Content::Null,
        "true" => Content::Bool(true),
        "false" => Content::Bool(false),
        number => match number.parse::<u64>() {
            Ok(number) => Content::Number(number.into()),
            Err(_) => Content::Text(text.to_owned()),
        },
    }
}
