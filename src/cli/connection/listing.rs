//! How connections are shown: names, hosts, settings and versions; never a value.

use serde_json::{Value, json};

use crate::authority::{Connection, Revocation};
use crate::cli::moment::moment;
use crate::cli::output::columns;
use crate::cli::revoke::told;
use crate::config::Provider;
use crate::model::Binding;

const HEADINGS: [&str; 8] = ["NAME", "PROVIDER", "STATE", "STRATEGY", "HOSTS", "VERSION", "EXPIRES", "REFRESH"];

/// A table, one line a connection.
pub(super) fn table(connections: &[Connection]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(connections.iter().map(cells));
    columns(&rows)
}

fn cells(connection: &Connection) -> [String; 8] {
    let mut strategies: Vec<&str> = connection.bindings.iter().map(|binding| binding.strategy.kind()).collect();
    strategies.dedup();
    let hosts: Vec<String> = connection.bindings.hosts().map(ToString::to_string).collect();
    [
        connection.name.to_string(),
        connection.provider.clone().unwrap_or_else(|| "-".to_owned()),
        state(connection),
        strategies.join(","),
        hosts.join(","),
        connection.version.to_string(),
        connection.expires_at.map_or_else(|| "-".to_owned(), moment),
        connection.refresh_at.map_or_else(|| "-".to_owned(), moment),
    ]
}

/// Its state, and why it is in it; for a revoked one, whether its provider knows.
pub(in crate::cli) fn state(connection: &Connection) -> String {
    let state = connection.state.as_str();
    match (connection.revocation, &connection.why) {
        (Some(revocation), _) if revocation != Revocation::Nothing => format!("{state} ({})", revocation.as_str()),
        (_, Some(why)) => format!("{state}: {why}"),
        (_, None) => state.to_owned(),
    }
}

/// What comes of such a word, for a person.
pub(in crate::cli) fn meaning(why: &str) -> Option<&'static str> {
    Some(match why {
        "invalid_grant" => "its provider refuses the refresh token",
        "misconfigured_client" => "its provider refuses the client: see its id, its secret and its endpoints",
        "no_refresh_token" | "no_token_endpoint" => "there is nothing to renew it with",
        "provider_changed" => "its provider has other endpoints or hosts now than when it was made",
        "provider_deleted" => "its provider was deleted",
        "unreadable" | "provider_unreadable" => "what is stored does not open: see nexus-sidecar authority doctor",
        "unfinished" => "nobody gave consent in time",
        "ended" => "its credentials have ended, and nothing renews them",
        _ => return None,
    })
}

/// What a refresh left, in some words.
pub(super) fn after_refresh(connection: &Connection, refreshed: bool) -> String {
    let comma = if refreshed { "," } else { "" };
    let end = connection.expires_at.map(|end| format!(", expires {}", moment(end))).unwrap_or_default();
    format!("{comma} version {}{end}", connection.version)
}

/// All that may be known of one connection, one fact a line.
pub(super) fn detail(connection: &Connection) -> String {
    let mut lines = vec![
        ("name", connection.name.to_string()),
        ("id", connection.id.clone()),
        ("provider", connection.provider.clone().unwrap_or_else(|| "none".to_owned())),
        ("state", state(connection)),
        ("version", connection.version.to_string()),
        ("fields", connection.field_names.join(", ")),
    ];
    if let Some(revocation) = &connection.revocation {
        lines.push(("revoked", told::said(revocation)));
    }
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
    lines.extend(connection.refresh_at.map(|at| ("refresh", moment(at) + &tries(connection))));
    lines.extend(connection.why.as_deref().and_then(meaning).map(|meaning| ("why", meaning.to_owned())));
    lines.iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect()
}

fn tries(connection: &Connection) -> String {
    match connection.refresh_tries {
        0 => String::new(),
        tries => format!(", after {tries} tries that gave nothing"),
    }
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
        "why": connection.why,
        "refresh_at": connection.refresh_at.map(moment),
        "refresh_tries": connection.refresh_tries,
        "revocation": connection.revocation.map(Revocation::as_str),
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

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
            why: None,
            refresh_at: None,
            refresh_tries: 0,
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
    fn who_waits_for_a_person_says_why_and_who_is_renewed_says_when() {
        let at = connection("a").created_at;
        let waits = Connection { state: State::Attention, why: Some("invalid_grant".into()), ..connection("a") };
        assert!(table(std::slice::from_ref(&waits)).contains("attention: invalid_grant"));
        assert!(detail(&waits).contains("why       its provider refuses the refresh token"), "{}", detail(&waits));
        let renewed = Connection { refresh_at: Some(at), refresh_tries: 2, ..connection("a") };
        assert!(table(std::slice::from_ref(&renewed)).trim_end().ends_with("2027-01-15T08:00:00Z"));
        assert!(detail(&renewed).contains("refresh   2027-01-15T08:00:00Z, after 2 tries that gave nothing"));
        assert_eq!(
            (as_json(&waits)["why"].as_str(), as_json(&renewed)["refresh_tries"].as_u64()),
            (Some("invalid_grant"), Some(2))
        );
        assert_eq!(
            after_refresh(&Connection { expires_at: Some(at), ..connection("a") }, true),
            ", version 2, expires 2027-01-15T08:00:00Z"
        );
    }

    #[test]
    fn a_revoked_connection_says_whether_its_provider_knows() {
        let gone = |revocation| Connection { state: State::Revoked, revocation: Some(revocation), ..connection("a") };
        assert!(table(&[gone(Revocation::Upstream)]).contains("  revoked (upstream)  "));
        assert!(table(&[gone(Revocation::Nothing)]).contains("  revoked  "));
        let local = gone(Revocation::Local { until: None });
        assert!(
            detail(&local).contains("revoked   local only, valid until its provider ends it"),
            "{}",
            detail(&local)
        );
        assert_eq!(
            (&as_json(&local)["revocation"], &as_json(&connection("a"))["revocation"]),
            (&json!("local"), &json!(null))
        );
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
