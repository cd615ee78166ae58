//! Roles: what a session is made of, and how far it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AssumeRole, AwsBase, AwsConnection, AwsSource, fits, policy_text};
use crate::config::document::scope_value;
use crate::config::sidecar::reader::Reader;
use crate::config::units;
use crate::config::yaml::{Content, Fields, Node};

/// The token service takes 50 tags; two are ours.
const MOST_TAGS: usize = 48;

pub(super) fn web_identity(node: &Node, reader: &mut Reader<'_>) -> Option<AwsBase> {
    let mut fields = Fields::open(node, reader.findings)?;
    let token_file = match fields.get("token_file") {
        Some(node) => reader.path(node),
        None => reader.missing(node, "token_file"),
    };
    let role_arn = role_arn(node, &mut fields, reader);
    fields.finish(&[], reader.findings);
    Some(AwsBase::WebIdentity { token_file: token_file?, role_arn: role_arn? })
}

/// What an entry of `connections:` says: `assume_role`, or, where the source makes sessions by
/// itself, how far they go.
pub(in super::super) fn connection(
    source: &AwsSource,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<AwsConnection> {
    let Some(node) = fields.get("assume_role") else {
        let is_minted = matches!(source.base, AwsBase::WebIdentity { .. });
        let (duration, session_policy) = if is_minted { session(fields, reader)? } else { (None, None) };
        return Some(AwsConnection { role: None, is_minted, duration, session_policy });
    };
    if source.region.is_none() {
        reader.findings.with(node, "`assume_role` asks the token service of a region: say `region` in the source");
        return None;
    }
    let mut fields = Fields::open(node, reader.findings)?;
    let role_arn = role_arn(node, &mut fields, reader);
    let external_id = match fields.get("external_id") {
        Some(node) => Some(visible(node, 1224, reader)?),
        None => None,
    };
    let (duration, session_policy) = session(&mut fields, reader)?;
    let tags = fields.get("tags").map(|node| tags(node, reader)).unwrap_or_default();
    fields.finish(&[], reader.findings);
    let role = AssumeRole { role_arn: role_arn?, external_id, tags };
    Some(AwsConnection { role: Some(role), is_minted: true, duration, session_policy })
}

/// `duration` and `session_policy`.
fn session(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<(Option<Duration>, Option<String>)> {
    let duration = match fields.get("duration") {
        Some(node) => match &node.content {
            Content::Text(text) => units::time(text).filter(|time| fits(*time)).or_else(|| {
                reader.findings.with(node, "a session lasts from 15m to 12h");
                None
            }),
            _ => {
                reader.findings.with(node, "this must be a time with its unit, from 15m to 12h");
                None
            }
        },
        None => None,
    };
    let session_policy = match fields.get("session_policy") {
        Some(node) => match policy_text(&scope_value(node, reader.findings)?) {
            Ok(text) => Some(text),
            Err(why) => {
                reader.findings.with(node, why);
                None
            }
        },
        None => None,
    };
    Some((duration, session_policy))
}

fn role_arn(node: &Node, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let Some(node) = fields.get("role_arn") else { return reader.missing(node, "role_arn") };
    let text = visible(node, 2048, reader)?;
    if !text.starts_with("arn:") || !text.contains(":role/") {
        reader.findings.with(node, "this is no role, such as arn:aws:iam::123456789012:role/reader");
        return None;
    }
    Some(text)
}

fn visible(node: &Node, longest: usize, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    if text.len() > longest || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.findings.with(node, format!("this is at most {longest} visible ASCII characters"));
        return None;
    }
    Some(text.to_owned())
}

fn tags(node: &Node, reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let good = |text: &str, most: usize| {
        let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        text.chars().count() <= most && text.chars().all(allowed)
    };
    for entry in node.entries(reader.findings) {
        let Some(value) = entry.node.text(reader.findings) else { continue };
        if ["agent", "connection"].iter().any(|own| entry.key.eq_ignore_ascii_case(own)) {
            entry.problem("this tag says who borrows: it is set for every session".to_owned(), reader.findings);
        } else if entry.key.is_empty() || !good(&entry.key, 128) || !good(value, 256) {
            entry.problem("this is no tag: letters, digits, blanks and _.:/=+-@".to_owned(), reader.findings);
        } else {
            tags.insert(entry.key.clone(), value.to_owned());
        }
    }
    if tags.len() > MOST_TAGS {
        reader.findings.with(node, format!("a session has at most {MOST_TAGS} tags beside ours"));
    }
    tags
}
