//! A GitHub App: its key mints tokens of an installation, narrowed to repositories and permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::super::reader::Reader;
use super::authority::address;
use super::narrowed::{texts, unknown};
use crate::config::yaml::{Content, Fields, Node};
use crate::model::Url;

/// `github_app:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubAppSource {
    /// The app's id, or its client id.
    pub app_id: String,
    /// Its private key, in PEM form.
    pub key_file: PathBuf,
    /// The API.
    pub url: Url,
    /// The certificates that the API's must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// What a connection there says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubAppConnection {
    /// Where the app is installed.
    pub installation: Installation,
    /// The names of the repositories; none: all of the installation.
    pub repositories: BTreeSet<String>,
    /// `read`, `write` or `admin`, by what it is to; none: all that the installation has.
    pub permissions: BTreeMap<String, String>,
}

/// An installation of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installation {
    /// Its number.
    Id(u64),
    /// At this organisation or user.
    Owner(String),
}

/// How much a level opens, the least first.
const LEVELS: [&str; 3] = ["read", "write", "admin"];

impl GithubAppConnection {
    /// What is left of it under a rule's `scope: { repositories: […], permissions: {…} }`.
    ///
    /// # Errors
    /// It names something else, or more than the connection has.
    pub fn narrowed(&self, scope: &Map<String, Value>) -> Result<Self, String> {
        unknown(scope, &["repositories", "permissions"])?;
        let mut narrowed = self.clone();
        if let Some(names) = scope.get("repositories") {
            narrowed.repositories = texts(names, "repositories")?.into_iter().collect();
            let beyond = narrowed.repositories.iter().find(|name| {
                !is_repository(name) || !(self.repositories.is_empty() || self.repositories.contains(*name))
            });
            if let Some(name) = beyond {
                return Err(format!("{name:?} is none of its repositories"));
            }
        }
        if let Some(named) = scope.get("permissions") {
            let named = named.as_object().filter(|named| !named.is_empty());
            let named = named.ok_or("its `permissions` are a mapping, such as { contents: read }")?;
            narrowed.permissions = BTreeMap::new();
            for (what, level) in named {
                let level = level.as_str().unwrap_or_default();
                self.check_permission(what, level)?;
                narrowed.permissions.insert(what.clone(), level.to_owned());
            }
        }
        Ok(narrowed)
    }

    fn check_permission(&self, what: &str, level: &str) -> Result<(), String> {
        if !is_permission(what) || !LEVELS.contains(&level) {
            return Err(format!("{what:?} is no permission with the level {}", LEVELS.join(", ")));
        }
        let rank = |level: &str| LEVELS.iter().position(|one| *one == level);
        let most = self.permissions.get(what);
        if self.permissions.is_empty() || most.is_some_and(|most| rank(level) <= rank(most)) {
            return Ok(());
        }
        Err(format!("its permissions do not have {what}: {level}"))
    }
}

fn is_repository(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('.')
}

fn is_permission(what: &str) -> bool {
    (1..=64).contains(&what.len()) && what.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn is_owner(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<GithubAppSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let app_id = match fields.get("app_id") {
        Some(node) => identifier(node, reader),
        None => reader.missing(node, "app_id"),
    };
    let key_file = match fields.get("key_file") {
        Some(node) => reader.path(node),
        None => reader.missing(node, "key_file"),
    };
    let url = match fields.get("url") {
        Some(node) => address(node, false, reader),
        None => Url::parse("https://api.github.com").ok(),
    };
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    fields.finish(&[], reader.findings);
    Some(GithubAppSource { app_id: app_id?, key_file: key_file?, url: url?, ca_file })
}

/// A number, or the text that a client id is.
fn identifier(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let id = match &node.content {
        Content::Number(number) => number.as_u64().map(|number| number.to_string()),
        Content::Text(text) => Some(text.clone()),
        _ => None,
    };
    let good = |id: &String| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    let id = id.filter(good);
    if id.is_none() {
        reader.findings.with(node, "this must be the number of the app, or its client id");
    }
    id
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<GithubAppConnection> {
    let (id, owner) = (fields.get("installation"), fields.get("owner"));
    let installation = match (id, owner) {
        (Some(node), None) => node.number(1, u64::MAX, reader.findings).map(Installation::Id),
        (None, Some(node)) => {
            let name = node.text(reader.findings)?;
            if !is_owner(name) {
                reader.findings.with(node, "this is no name of a user or an organisation");
                return None;
            }
            Some(Installation::Owner(name.to_owned()))
        }
        (Some(_), Some(node)) => {
            reader.findings.with(node, "`installation` or `owner` says where the app is installed: not both");
            None
        }
        (None, None) => reader.missing(fields.node(), "owner"),
    };
    let mut repositories = BTreeSet::new();
    if let Some(node) = fields.get("repositories") {
        for node in node.one_or_list(reader.findings) {
            match node.text(reader.findings) {
                Some(name) if is_repository(name) => drop(repositories.insert(name.to_owned())),
                Some(_) => reader.findings.with(node, "this is no repository's name, which stands without its owner"),
                None => {}
            }
        }
    }
    let mut permissions = BTreeMap::new();
    if let Some(node) = fields.get("permissions") {
        for entry in node.entries(reader.findings) {
            let level = reader.word(&entry.node, &LEVELS)?;
            if !is_permission(&entry.key) {
                entry.problem(
                    format!("{:?} is no permission, such as contents or pull_requests", entry.key),
                    reader.findings,
                );
            }
            permissions.insert(entry.key.clone(), level.to_owned());
        }
    }
    Some(GithubAppConnection { installation: installation?, repositories, permissions })
}
