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

/// A connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileConnection {
    /// `fields:` by the field's name, the file.
    Fields(BTreeMap<String, PathBuf>),
    /// `folder:` each file there is the field of its name.
    Folder(PathBuf),
}

impl FileConnection {
    /// The fields that it gives, where they are known.
    pub(super) fn names(&self) -> Option<impl Iterator<Item = &String> + Clone> {
        match self {
            Self::Fields(fields) => Some(fields.keys()),
            Self::Folder(_) => None,
        }
    }
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
    let path = |node: &Node, reader: &mut Reader<'_>| match &source.dir {
        Some(dir) => node.text(reader.findings).map(|text| dir.join(text)),
        None => reader.path(node),
    };
    match (fields.get("fields"), fields.get("folder")) {
        (Some(node), None) => {
            let mut files = BTreeMap::new();
            for entry in node.entries(reader.findings) {
                files.extend(path(&entry.node, reader).map(|path| (entry.key.clone(), path)));
            }
            Some(FileConnection::Fields(files))
        }
        (None, Some(node)) => path(node, reader).map(FileConnection::Folder),
        (None, None) => reader.missing(fields.node(), "fields"),
        (Some(_), Some(node)) => {
            reader.findings.with(node, "either `fields` names files, or `folder` has one for each field: not both");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConnectionAt, Environment};

    fn load(connection: &str) -> Result<Option<FileConnection>, String> {
        let text = format!(
            "version: 1\nsources: {{ f: {{ file: {{ dir: /run/secrets }} }} }}\n\
             connections:\n  a: {{ hosts: api.example.com, strategy: oauth2, {connection} }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.yaml");
        std::fs::write(&file, text).unwrap();
        let config =
            Config::load(&file, &Environment::of([("HOME", "/h")])).map_err(|problems| problems.to_string())?;
        Ok(config.connections.into_values().find_map(|one| match one.at {
            ConnectionAt::File(_, there) => Some(there),
            _ => None,
        }))
    }

    #[test]
    fn files_or_a_folder() {
        let named = BTreeMap::from([("access_token".to_owned(), PathBuf::from("/run/secrets/t"))]);
        assert_eq!(load("fields: { access_token: t }"), Ok(Some(FileConnection::Fields(named))));
        assert_eq!(load("folder: jira"), Ok(Some(FileConnection::Folder("/run/secrets/jira".into()))));
        for (connection, words) in [
            ("fields: { access_token: t }, folder: jira", "not both"),
            ("fields: { token: t }", "needs the field access_token"),
            ("settings: {}", "`fields` is missing"),
        ] {
            let problems = load(connection).unwrap_err();
            assert!(problems.contains(words), "{words} is not in\n{problems}");
        }
    }
}
