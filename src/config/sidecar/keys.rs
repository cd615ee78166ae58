//! `authority:`: where its keys come from, and how it is served.

use std::path::Path;

use super::reader::Reader;
use super::service::{self, ServiceConfig};
use super::{AuthorityConfig, StoreConfig, store};
use crate::config::KeySource;
use crate::config::yaml::{Fields, Node};

/// Reads the section.
pub(super) fn authority(
    node: Option<&Node>,
    data_dir: &Path,
    reader: &mut Reader<'_>,
) -> (AuthorityConfig, ServiceConfig) {
    let key = KeySource::File(data_dir.join("key"));
    let mut authority =
        AuthorityConfig { data_dir: data_dir.to_owned(), key, store: StoreConfig::default(), other_keys: Vec::new() };
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else {
        return (authority, ServiceConfig::default());
    };
    if let Some(found) = fields.get("store").and_then(|node| store::store(node, reader)) {
        authority.store = found;
    }
    if let Some(found) = fields.get("key").and_then(|node| key_source(node, reader)) {
        authority.key = found;
    }
    if let Some(node) = fields.get("other_keys") {
        authority.other_keys = others(node, &authority.key, reader);
    }
    let service = service::read(&mut fields, reader);
    fields.finish(&[], reader.findings);
    (authority, service)
}

/// Keys beside the store's own. None is made, and none is asked for.
fn others(node: &Node, key: &KeySource, reader: &mut Reader<'_>) -> Vec<KeySource> {
    let mut found: Vec<KeySource> = Vec::new();
    for node in node.list(reader.findings) {
        let Some(source) = key_source(node, reader) else { continue };
        if source == KeySource::Passphrase {
            let why = "a key beside `key` comes from file, env, fd or command: a passphrase is asked for once";
            reader.findings.with(node, why);
        } else if source == *key || found.contains(&source) {
            reader.findings.with(node, "this key is named twice: say each once, the one to seal under as `key`");
        } else {
            found.push(source);
        }
    }
    found
}

fn key_source(node: &Node, reader: &mut Reader<'_>) -> Option<KeySource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mut sources = Vec::new();
    let before = reader.findings.len();
    if let Some(node) = fields.get("file") {
        sources.extend(reader.path(node).map(KeySource::File));
    }
    if let Some(node) = fields.get("env") {
        sources.extend(node.text(reader.findings).map(|name| KeySource::Env(name.to_owned())));
    }
    if let Some(node) = fields.get("fd") {
        let number = node.number(3, 1 << 20, reader.findings);
        sources.extend(number.and_then(|fd| i32::try_from(fd).ok()).map(KeySource::Fd));
    }
    if let Some(node) = fields.get("passphrase") {
        match node.flag(reader.findings) {
            Some(true) => sources.push(KeySource::Passphrase),
            Some(false) => reader.findings.with(node, "this is `true`, or left out"),
            None => {}
        }
    }
    if let Some(node) = fields.get("command") {
        let words = node.one_or_list(reader.findings).iter();
        let words: Option<Vec<String>> = words.map(|word| word.text(reader.findings).map(str::to_owned)).collect();
        sources.extend(words.filter(|words| !words.is_empty()).map(KeySource::Command));
    }
    fields.finish(&[], reader.findings);
    if sources.len() != 1 && reader.findings.len() == before {
        reader.findings.with(node, "the key comes from exactly one of file, env, fd, passphrase and command");
    }
    sources.into_iter().next()
}
