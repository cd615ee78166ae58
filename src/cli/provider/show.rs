//! A provider and its permission sets, for people.

use std::fmt::Write;

use crate::cli::output::columns;
use crate::config::{FieldDoc, PermissionSet, Provider, RuleDoc, Said};
use crate::model::Strategy;

/// Of a long list of paths this many are shown beside the others' number.
const SHOWN: usize = 4;

/// Everything of a provider that fits on a page or two.
pub(super) fn provider(provider: &Provider) -> String {
    let name = &provider.connection;
    let mut text = format!("{name}: {}\n{}\n", provider.title, provider.about);
    let fields = provider.fields.iter().map(|field| {
        let optional = if field.optional { "optional: " } else { "" };
        [format!("  {}", field.name), format!("{optional}{}", field.about)]
    });
    section(&mut text, "Fields", fields.collect());
    let hosts = provider.bindings.iter().map(|line| {
        let hosts: Vec<String> = line.hosts.iter().map(ToString::to_string).collect();
        [format!("  {}", hosts.join(", ")), way(&line.strategy)]
    });
    section(&mut text, "Where they go", hosts.collect());
    text.push_str("\nPermission sets\n");
    for set in &provider.sets {
        let _ = writeln!(text, "  {}: {}", set.name, set.about);
        let rules = set.rules.iter().map(|rule| [format!("    {}", rule.name), in_short(rule)]);
        text += &columns(&rules.collect::<Vec<_>>());
    }
    let calls = provider.mints.iter().map(|call| [format!("  {}", call.name), in_short(call)]);
    section(&mut text, "Refused unless the rule says `mints: true`, since they hand out credentials", calls.collect());
    let variables = provider.variables.iter().map(|variable| {
        let placeholder = provider.placeholders.iter().find(|placeholder| placeholder.variable == *variable);
        let instead = placeholder.map_or("removed".to_owned(), |placeholder| placeholder.value.clone());
        [format!("  {variable}"), instead]
    });
    section(&mut text, "What a command finds in its environment", variables.collect());
    text += &start(provider);
    text
}

/// A permission set in full, one thing that it says a line.
pub(super) fn set(set: &PermissionSet) -> String {
    let mut text = format!("{}: {}\n", set.name, set.about);
    for rule in &set.rules {
        let _ = writeln!(text, "\n{}", rule.name);
        let lines = rule.says().into_iter().map(|said| [format!("  {}", said.about), said.what]);
        text += &columns(&lines.collect::<Vec<_>>());
    }
    text
}

fn section(text: &mut String, heading: &str, rows: Vec<[String; 2]>) {
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{heading}");
        *text += &columns(&rows);
    }
}

/// How a credential is put on a request.
pub(super) fn way(strategy: &Strategy) -> String {
    match strategy {
        Strategy::Header { header_name, credential_field, value_prefix } => {
            format!("header {header_name}: {value_prefix}<{credential_field}>")
        }
        Strategy::AwsSigV4 { .. } => "signed by AWS Signature Version 4".to_owned(),
        other => other.kind().to_owned(),
    }
}

/// A rule on one line: what it says, kind by kind, long lists cut.
fn in_short(rule: &RuleDoc) -> String {
    let says = rule.says();
    let parts = says.chunk_by(|a, b| a.about == b.about).map(|kind| {
        // Methods are few, and which one is missing matters.
        let most = if kind.first().is_some_and(|said| said.about == "method") { kind.len() } else { SHOWN };
        let shown: Vec<&str> = kind.iter().take(most).map(|said| said.what.as_str()).collect();
        let more = kind.len().saturating_sub(most);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        match kind.first() {
            Some(Said { about: about @ ("not path" | "query" | "header"), .. }) => {
                format!("{about} {}{more}", shown.join(", "))
            }
            _ => format!("{}{more}", shown.join(", ")),
        }
    });
    parts.collect::<Vec<_>>().join("  ")
}

/// The commands to begin with.
fn start(provider: &Provider) -> String {
    let name = &provider.connection;
    let needed: Vec<&FieldDoc> = provider.fields.iter().filter(|field| !field.optional).collect();
    let add = match &needed[..] {
        [one] => format!("printf %s \"${}\" | nexus-sidecar connection add {name}", one.name.to_uppercase()),
        several => {
            let names: Vec<&str> = several.iter().map(|field| field.name.as_str()).collect();
            format!("nexus-sidecar connection add {name}      asks for {}", names.join(" and "))
        }
    };
    let run =
        provider.first_set().map(|set| format!("  nexus-sidecar run --use {} -- CMD\n", set.name)).unwrap_or_default();
    format!("\nTo begin\n  {add}\n{run}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Catalogue, SetName};

    #[test]
    fn a_provider_is_told_on_a_page_or_two() {
        for own in Catalogue::built_in().providers() {
            let text = provider(own);
            for want in ["\nFields\n", "\nWhere they go\n", "\nPermission sets\n", "mints: true", "\nTo begin\n"] {
                assert!(text.contains(want), "{want} in {text}");
            }
            assert!(own.mints.iter().all(|call| text.contains(&format!("  {} ", call.name))), "{text}");
        }
        let github = provider(Catalogue::built_in().provider("github").unwrap());
        assert!(github.contains("header authorization: Bearer <token>"), "{github}");
        assert!(github.contains("printf %s \"$TOKEN\" | nexus-sidecar connection add github\n"), "{github}");
        assert!(github.contains("nexus-sidecar run --use github/read@1 -- CMD\n"), "{github}");
        assert!(github.contains("GET  github.com  /*/*/info/refs  query service: git-upload-pack\n"), "{github}");
        assert!(github.contains("  app-token           GET, HEAD, POST, PUT, PATCH  api.github.com  "), "{github}");
        let aws = provider(Catalogue::built_in().provider("aws").unwrap());
        assert!(aws.contains("connection add aws      asks for access_key and secret_key\n"), "{aws}");
    }

    #[test]
    fn a_set_is_told_in_full() {
        let name = SetName::parse("github/read@1").unwrap();
        let (_, found) = Catalogue::built_in().set(&name).unwrap();
        let text = set(found);
        assert!(found.rules.iter().flat_map(RuleDoc::says).all(|said| text.contains(&said.what)), "{text}");
        assert!(!text.contains(" more"), "{text}");
    }
}
