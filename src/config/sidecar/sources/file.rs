//! Files, each of which holds one field: what a laptop, a container or a mounted Secret has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::reader::Reader;
use crate::config::yaml::{Fields, Node};

/// `file:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// Where relative names start.
    pub dir: Option<PathBuf>,
}

/// `fields:` of a connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConnection {
    /// By the field's name, the file.
    pub fields: BTreeMap<String, PathBuf>,
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<FileSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let dir = fields.get("dir").and_then(|node| reader.path(node));
    fields.finish(&[], reader.findings);
    Some(FileSource { dir })
}

pub(super) fn connection(
    source: &FileSource,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<FileConnection> {
    let Some(node) = fields.get("fields") else { return reader.missing(fields.node(), "fields") };
    let mut files = BTreeMap::new();
    for entry in node.entries(reader.findings) {
        let path = match &source.dir {
            Some(dir) => entry.node.text(reader.findings).map(|text| dir.join(text)),
            None => reader.path(&entry.node),
        };
        files.extend(path.map(|path| (entry.key.clone(), path)));
    }
    Some(FileConnection { fields: files })
}
