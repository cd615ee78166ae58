//! What `provider apply` would do, told before it is done.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::authority::{Definition, Difference, Plan, Step};
use crate::cli::output::safe;
use crate::config::Catalogue;

/// For people: a line for each provider and for each key that changes.
pub(super) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for step in plan.steps() {
        let name = step.name();
        let _ = match step {
            Step::Keep(_) => Ok(()),
            Step::Add(profile) => {
                writeln!(text, "+ {name}: {}{}", summary(&profile.definition), instead(name.as_str()))
            }
            Step::Remove { attention: moved, .. } => {
                let moved = attention(moved).map(|line| format!("\n    {line}")).unwrap_or_default();
                writeln!(text, "- {name}{moved}")
            }
            Step::Change { differences, secret, attention: moved, .. } => {
                let mut lines: Vec<String> = differences.iter().map(line).collect();
                lines.extend(secret.then(|| "client_secret: changed".to_owned()));
                lines.extend(attention(moved));
                writeln!(text, "~ {name}\n    {}", lines.join("\n    "))
            }
        };
    }
    let same = plan.steps().iter().filter(|step| matches!(step, Step::Keep(_))).count();
    let _ = match same {
        0 => Ok(()),
        1 => writeln!(text, "1 provider is as its file says"),
        _ => writeln!(text, "{same} providers are as their files say"),
    };
    text
}

/// For programs.
pub(super) fn json(plan: &Plan) -> Value {
    let (mut added, mut changed, mut removed, mut unchanged) = (vec![], vec![], vec![], vec![]);
    for step in plan.steps() {
        let name = step.name().as_str();
        match step {
            Step::Keep(_) => unchanged.push(Value::from(name)),
            Step::Add(profile) => added.push(json!({ "name": name, "profile": profile.definition.to_json() })),
            Step::Remove { attention, .. } => removed.push(json!({ "name": name, "attention": attention })),
            Step::Change { differences, secret, attention, .. } => {
                let keys: Vec<Value> = differences.iter().map(key).collect();
                changed.push(json!({ "name": name, "keys": keys, "client_secret": secret, "attention": attention }));
            }
        }
    }
    json!({ "added": added, "changed": changed, "removed": removed, "unchanged": unchanged })
}

/// Which connections will need a person, if any does.
pub(super) fn attention(names: &[String]) -> Option<String> {
    let listed = || safe(&names.join(", "));
    let why = "it is lent again once it has new credentials";
    match names.len() {
        0 => None,
        1 => Some(format!("needs attention: the connection {} ({why})", listed())),
        many => Some(format!("need attention: {many} connections, {} (each of them: {why})", listed())),
    }
}

fn key(difference: &Difference) -> Value {
    let value = |text: &Option<String>| -> Value {
        text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    json!({ "key": difference.key, "before": value(&difference.before), "after": value(&difference.after) })
}

fn line(Difference { key, before, after }: &Difference) -> String {
    safe(&match (before, after) {
        (Some(before), Some(after)) => format!("{key}: {before} -> {after}"),
        (None, Some(after)) => format!("{key}: added, {after}"),
        (Some(before), None) => format!("{key}: removed, {before}"),
        (None, None) => key.clone(),
    })
}

fn summary(definition: &Definition) -> String {
    let hosts = definition.bindings().map(|bindings| bindings.hosts().map(ToString::to_string).collect::<Vec<_>>());
    let how = if definition.is_oauth() { "consent by OAuth" } else { "credentials that a person gives" };
    safe(&format!("{how}, for {}", hosts.map_or_else(|| "no host yet".to_owned(), |hosts| hosts.join(", "))))
}

fn instead(name: &str) -> &'static str {
    if Catalogue::built_in().provider(name).is_some() { ", instead of the one that is built in" } else { "" }
}
