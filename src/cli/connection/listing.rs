//! How connections are shown: names, hosts, settings and versions; never a value.

use std::time::SystemTime;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::authority::Connection;
use crate::cli::output::columns;
use crate::config::Provider;
use crate::model::Binding;

const HEADINGS: [&str; 7] = ["NAME", "PROVIDER", "STATE", "STRATEGY", "HOSTS", "VERSION", "EXPIRES"];

/// A table, one line a connection.
pub(super) fn table(connections: &[Connection]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(connections.iter().map(cells));
    columns(&rows)
}

fn cells(connection: &Connection) -> [String; 7] {
    let mut strategies: Vec<&str> = connection.bindings.iter().map(|binding| binding.strategy.kind()).collect();
    strategies.dedup();
    let hosts: Vec<String> = connection.bindings.hosts().map(ToString::to_string).collect();
    [
        connection.name.to_string(),
        connection.provider.clone().unwrap_or_else(|| "-".to_owned()),
        connection.state.as_str().to_owned(),
        strategies.join(","),
        hosts.join(","),
        connection.version.to_string(),
        connection.expires_at.map_or_else(|| "-".to_owned(), moment),
    ]
}

/// All that may be known of one connection, one fact a line.
pub(super) fn detail(connection: &Connection) -> String {
    let mut lines = vec![
        ("name", connection.name.to_string()),
        ("id", connection.id.clone()),
        ("provider", connection.provider.clone().unwrap_or_else(|| "none".to_owned())),
        ("state", connection.state.as_str().to_owned()),
        ("version", connection.version.to_string()),
        ("fields", connection.field_names.join(", ")),
    ];
    for binding in connection.bindings.iter() {
        lines.push(("hosts", hosts(binding).join(", ")));
        lines.push(("strategy", binding.strategy.kind().to_owned()));
        if let Some(settings) = binding.strategy.to_json()["config"].as_object() {
            let given = settings.iter().filter(|(_, value)| !is_nothing(value));
            lines.extend(given.map(|(name, value)| ("setting", format!("{name} = {}", plain(value)))));
        }
    }
    if connection.owned {
        lines.push(("owned", "yes: the zones of its wildcards are ours".to_owned()));
    }
    lines.push(("made", moment(connection.created_at)));
    lines.push(("changed", moment(connection.updated_at)));
    lines.push(("expires", connection.expires_at.map_or_else(|| "never".to_owned(), moment)));
    lines.iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect()
}

/// The same as JSON.
pub(super) fn as_json(connection: &Connection) -> Value {
    let line = |binding: &Binding| json!({ "hosts": hosts(binding), "strategy": binding.strategy.to_json() });
    json!({
        "name": connection.name.as_str(),
        "id": connection.id,
        "provider": connection.provider,
        "state": connection.state.as_str(),
        "version": connection.version,
        "bindings": connection.bindings.iter().map(line).collect::<Vec<_>>(),
        "owned": connection.owned,
        "fields": connection.field_names,
        "created_at": moment(connection.created_at),
        "updated_at": moment(connection.updated_at),
        "expires_at": connection.expires_at.map(moment),
    })
}

/// In one line: what was made or changed.
pub(super) fn summary(connection: &Connection) -> String {
    let hosts: Vec<String> = connection.bindings.hosts().map(ToString::to_string).collect();
    let kinds = &cells(connection)[3];
    format!("connection {}: {kinds} at {}, version {}", connection.name, hosts.join(", "), connection.version)
}

/// What a connection of a provider can be used for at once.
pub(super) fn next(connection: &Connection, provider: &Provider) -> Option<String> {
    let set = provider.first_set()?;
    let name = &connection.name;
    let test = provider.user.as_ref().map(|_| format!("nexus-sidecar connection test {name}, then "));
    let test = test.unwrap_or_default();
    Some(if *name == provider.connection {
        format!("next: {test}nexus-sidecar run --use {} -- CMD", set.name)
    } else {
        format!("next: {test}borrow it in a policy, by the rule {{ use: {}, connection: {name} }}", set.name)
    })
}

fn hosts(binding: &Binding) -> Vec<String> {
    binding.hosts.iter().map(ToString::to_string).collect()
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn moment(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_else(|_| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::authority::State;
    use crate::config::Catalogue;
    use crate::model::{Bindings, ConnectionName, HostPattern, Strategy};

    fn connection(name: &str) -> Connection {
        let strategy = json!({"type": "header", "config": {"header_name": "x-key", "value_prefix": "Bearer "}});
        let hosts = vec![HostPattern::parse("api.example.com").unwrap(), HostPattern::parse("example.com").unwrap()];
        let binding = Binding { hosts, strategy: Strategy::from_json(&strategy).unwrap() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Connection {
            id: "id-1".into(),
            name: ConnectionName::parse(name).unwrap(),
            provider: Some("github".into()),
            state: State::Active,
            version: 2,
            bindings: Bindings::new(vec![binding], false).unwrap(),
            owned: false,
            field_names: vec!["api_key".into()],
            created_at: at,
            updated_at: at,
            expires_at: None,
            revocation: None,
        }
    }

    #[test]
    fn a_table_stands_in_columns() {
        let shown = table(&[connection("a"), connection("a-longer-name")]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        let column = lines[0].find("STATE").unwrap();
        assert!(lines[1..].iter().all(|line| line[column..].starts_with("active")), "{shown}");
        assert!(lines[2].contains("api.example.com,example.com"), "{shown}");
    }

    #[test]
    fn a_detail_names_fields_and_settings() {
        let shown = detail(&connection("a"));
        for want in [
            "provider  github",
            "fields    api_key",
            "setting   value_prefix = \"Bearer \"",
            "made      2027-01-15T08:00:00Z",
            "expires   never",
        ] {
            assert!(shown.contains(want), "{shown}");
        }
        assert_eq!(as_json(&connection("a"))["provider"], "github");
        assert!(detail(&Connection { provider: None, ..connection("a") }).contains("provider  none"));
        assert_eq!(as_json(&connection("a"))["bindings"][0]["strategy"]["type"], "header");
        assert_eq!(summary(&connection("a")), "connection a: header at api.example.com, example.com, version 2");
    }

    #[test]
    fn what_comes_next_is_a_command_or_a_rule() {
        let github = Catalogue::built_in().provider("github").unwrap();
        let said = |name: &str| next(&connection(name), github).unwrap();
        assert_eq!(
            said("github"),
            "next: nexus-sidecar connection test github, then nexus-sidecar run --use github/read@1 -- CMD"
        );
        assert!(said("work").ends_with("{ use: github/read@1, connection: work }"), "{}", said("work"));
    }
}
