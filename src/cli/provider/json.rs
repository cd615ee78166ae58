//! A provider and its permission sets, for programs.

use serde_json::{Map, Value, json};

use crate::config::{Located, Matcher, PermissionSet, Provider, RuleDoc};

/// One of a listing.
pub(super) fn in_short(provider: &Provider) -> Value {
    json!({
        "name": provider.connection.as_str(),
        "title": provider.title,
        "sets": provider.sets.iter().map(|set| set.name.to_string()).collect::<Vec<_>>(),
        "hosts": provider.bindings.hosts().map(ToString::to_string).collect::<Vec<_>>(),
        "source": "built-in",
    })
}

/// Everything of a provider.
pub(super) fn whole(provider: &Provider) -> Value {
    let fields = provider
        .fields
        .iter()
        .map(|field| json!({ "name": field.name, "optional": field.optional, "about": field.about }));
    let bindings = provider.bindings.iter().map(|line| {
        let hosts: Vec<String> = line.hosts.iter().map(ToString::to_string).collect();
        json!({ "hosts": hosts, "strategy": line.strategy.to_json() })
    });
    let placeholders: Map<String, Value> = provider
        .placeholders
        .iter()
        .map(|placeholder| (placeholder.variable.clone(), placeholder.value.as_str().into()))
        .collect();
    json!({
        "name": provider.connection.as_str(),
        "title": provider.title,
        "about": provider.about,
        "fields": fields.collect::<Vec<_>>(),
        "bindings": bindings.collect::<Vec<_>>(),
        "sets": provider.sets.iter().map(set).collect::<Vec<_>>(),
        "mints": provider.mints.iter().map(rule).collect::<Vec<_>>(),
        "key_headers": provider.key_headers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "variables": provider.variables,
        "placeholders": placeholders,
    })
}

/// A permission set with its rules.
pub(super) fn set(set: &PermissionSet) -> Value {
    let rules: Vec<Value> = set.rules.iter().map(rule).collect();
    json!({ "name": set.name.to_string(), "about": set.about, "rules": rules })
}

fn rule(rule: &RuleDoc) -> Value {
    let items = |matchers: &[Located<Matcher>]| -> Map<String, Value> {
        matchers.iter().map(|item| (item.value.name.clone(), item.value.pattern.clone().into())).collect()
    };
    json!({
        "name": rule.name,
        "hosts": rule.hosts.iter().map(|host| host.value.to_string()).collect::<Vec<_>>(),
        "methods": rule.methods.iter().map(|method| method.value.to_string()).collect::<Vec<_>>(),
        "paths": rule.paths.iter().map(|path| path.value.as_str()).collect::<Vec<_>>(),
        "not_paths": rule.not_paths.iter().map(|path| path.value.as_str()).collect::<Vec<_>>(),
        "query": items(&rule.query),
        "headers": items(&rule.headers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Catalogue;

    #[test]
    fn a_program_finds_what_a_person_reads() {
        let aws = whole(Catalogue::built_in().provider("aws").unwrap());
        assert_eq!(
            aws["fields"][2],
            json!({ "name": "session_token", "optional": true, "about": aws["fields"][2]["about"] })
        );
        assert_eq!(aws["placeholders"]["AWS_ACCESS_KEY_ID"], "AKIANEXUSPLACEHOLDER");
        let read = aws["sets"].as_array().unwrap().iter().find(|set| set["name"] == "aws/s3-read@1").unwrap();
        assert_eq!(read["rules"][0]["query"], json!({ "session": null }));
        assert_eq!(read["rules"][0]["methods"], json!(["GET", "HEAD"]));
    }
}
