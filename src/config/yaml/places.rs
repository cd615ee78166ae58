use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};

use super::Findings;
use crate::config::At;

/// The deepest nesting that is read; ours needs five.
const DEEPEST: usize = 16;

/// Where keys and values stand: the path of a value (`/rules/0/host`) -> its places.
pub(super) struct Places(HashMap<String, Place>);

#[derive(Clone)]
struct Place {
    key: Option<At>,
    value: At,
}

impl Places {
    /// Where the value at a path starts.
    pub(super) fn value(&self, path: &str) -> Option<&At> {
        self.0.get(path).map(|place| &place.value)
    }

    /// Where the key of the value at a path starts.
    pub(super) fn key(&self, path: &str) -> Option<&At> {
        self.0.get(path).and_then(|place| place.key.as_ref())
    }
}

/// Appends a step to a path, escaped as in a JSON pointer (RFC 6901, section 3).
pub(super) fn push(path: &mut String, step: &str) {
    path.push('/');
    path.push_str(&step.replace('~', "~0").replace('/', "~1"));
}

/// Walks the events of a text. `None` if nothing after the problems found makes sense.
pub(super) fn find(file: &Arc<PathBuf>, text: &str, findings: &mut Findings) -> Option<Places> {
    let mut walk = Walk { file, found: HashMap::new(), open: Vec::new(), documents: 0, findings, broken: false };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => walk.event(&event, span),
            Err(error) => {
                let mark = error.marker();
                let at = At { file: file.clone(), line: mark.line().max(1), column: mark.col() + 1 };
                walk.findings.at(&at, format!("this is not YAML: {}", error.info()));
                return None;
            }
        }
        if walk.broken {
            return None;
        }
    }
    Some(Places(walk.found))
}

struct Walk<'a> {
    file: &'a Arc<PathBuf>,
    found: HashMap<String, Place>,
    open: Vec<Open>,
    documents: usize,
    findings: &'a mut Findings,
    broken: bool,
}

/// A collection that has begun and not ended.
enum Open {
    List { path: String, next: usize },
    Map { path: String, key: Option<(String, At)> },
}

impl Walk<'_> {
    fn event(&mut self, event: &Event<'_>, span: Span) {
        let at = At { file: self.file.clone(), line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.refuse(&at, "a file holds one document: remove the line of three dashes");
                }
            }
            Event::Alias(_) => self.refuse(&at, "aliases are not read: write the value out"),
            Event::Scalar(text, _, anchor, tag) => {
                self.refuse_extras(&at, *anchor, tag.is_some());
                self.scalar(text, at);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(&at, *anchor, tag.is_some());
                if let Some(path) = self.place(at) {
                    self.open.push(Open::List { path, next: 0 });
                }
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(&at, *anchor, tag.is_some());
                if let Some(path) = self.place(at) {
                    self.open.push(Open::Map { path, key: None });
                }
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }

    fn scalar(&mut self, text: &str, at: At) {
        let Some(Open::Map { path, key: key @ None }) = self.open.last_mut() else {
            self.place(at);
            return;
        };
        let mut whole = path.clone();
        push(&mut whole, text);
        *key = Some((text.to_owned(), at.clone()));
        if let Some(first) = self.found.get(&whole).and_then(|place| place.key.as_ref()) {
            // The walk goes on, to find the others.
            let place = format!("{}:{}", first.line, first.column);
            self.findings.at(&at, format!("the key {text:?} is written twice: first at {place}"));
        }
    }

    /// Notes where a value starts and answers its path; `None` where the walk cannot go on.
    fn place(&mut self, at: At) -> Option<String> {
        if self.open.len() >= DEEPEST {
            self.refuse(&at, "this is nested too deeply");
            return None;
        }
        let (path, key) = match self.open.last_mut() {
            None => (String::new(), None),
            Some(Open::List { path, next }) => {
                let mut whole = path.clone();
                push(&mut whole, &next.to_string());
                *next += 1;
                (whole, None)
            }
            Some(Open::Map { path, key }) => {
                let Some((name, key_at)) = key.take() else {
                    self.refuse(&at, "a key must be plain text");
                    return None;
                };
                let mut whole = path.clone();
                push(&mut whole, &name);
                (whole, Some(key_at))
            }
        };
        self.found.insert(path.clone(), Place { key, value: at });
        Some(path)
    }

    fn refuse_extras(&mut self, at: &At, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.refuse(at, "anchors are not read: write the value out");
        }
        if tagged {
            self.refuse(at, "tags are not read: write the plain value, in quotes if it is text");
        }
    }

    /// Reports what makes the rest of the file not worth reading.
    fn refuse(&mut self, at: &At, message: &str) {
        self.broken = true;
        self.findings.at(at, message);
    }
}
