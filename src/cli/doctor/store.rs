//! The store: does it open with its key, and has it what the policy borrows?

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::report::Finding;
use crate::authority::{Authority, Connection, State};
use crate::cli::connection::listing::{meaning, state};
use crate::cli::store;
use crate::config::{Config, KeySource};
use crate::model::{ConnectionName, HostPattern};
use crate::policy::Policy;
use crate::telemetry::Clock;

const OF: &str = "store";

/// What ends sooner than this is told.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// Opens the store, if there is one, and looks for the connections of the policy. Nothing is made.
pub(super) fn look(config: &Config, policy: Option<&Policy>, clock: &Arc<dyn Clock>) -> Vec<Finding> {
    let mut found = Vec::new();
    let connections = if Authority::has_store(&config.authority) {
        match open(config, clock) {
            Ok((finding, connections)) => {
                found.push(finding);
                connections
            }
            Err(finding) => return vec![finding],
        }
    } else {
        found.push(Finding::skip(OF, "there is none yet").then("nexus-sidecar connection add makes it, and its key"));
        Vec::new()
    };
    found.extend(key(config));
    let named = policy.map(|policy| borrowed(config, policy, &connections, clock.wall()));
    found.extend(waiting(&connections, named.as_deref().unwrap_or_default()));
    found.extend(named.unwrap_or_default());
    found
}

fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<(Finding, Vec<Connection>), Finding> {
    if config.authority.key == KeySource::Passphrase && !io::stdin().is_terminal() {
        return Err(Finding::skip(OF, "its key is a passphrase, and there is no terminal to ask for it")
            .then("run doctor in a terminal to look into the store"));
    }
    let authority =
        store::open(&config.authority, Arc::clone(clock)).map_err(|failure| Finding::fail(OF, failure.message()))?;
    let connections = authority.list().map_err(|error| Finding::fail(OF, error.to_string()))?;
    let said = format!("{} opens with its key; connections: {}", authority.store_name(), connections.len());
    Ok((Finding::ok(OF, said), connections))
}

/// A known gap of `run`: what it starts is the same user, and may read what that user may.
fn key(config: &Config) -> Option<Finding> {
    let KeySource::File(path) = &config.authority.key else { return None };
    let shown = path.display();
    std::fs::File::open(path).ok()?;
    let said = format!("any program of this user, the command of `run` too, can read {shown} and with it the store");
    Some(
        Finding::warn("key", said)
            .then("against a hostile command: authority.key as passphrase, fd or command, or `proxy` as another user"),
    )
}

fn borrowed(config: &Config, policy: &Policy, connections: &[Connection], now: SystemTime) -> Vec<Finding> {
    let mut names: Vec<&ConnectionName> = policy.survey().filter_map(|rule| rule.connection).collect();
    names.sort_unstable();
    names.dedup();
    let each = names.into_iter().map(|name| {
        let stored = config.named_there(name);
        let rules: Vec<_> = policy.survey().filter(|rule| rule.connection == Some(name)).collect();
        let of = format!("connection {name}");
        let Some(connection) = connections.iter().find(|connection| connection.name == *stored) else {
            let first = rules.first().map(|rule| rule.name).unwrap_or_default();
            return Finding::fail(
                &of,
                format!("rule {first:?} borrows {stored}, and the store has no such connection"),
            )
            .then(format!("nexus-sidecar connection add {stored}"));
        };
        let hosts = rules.iter().flat_map(|rule| rule.hosts.iter().map(|host| (rule.name, host)));
        judge(&of, connection, hosts, now)
    });
    each.collect()
}

/// Those that wait for a person, though no rule borrows them.
fn waiting(connections: &[Connection], told: &[Finding]) -> Vec<Finding> {
    let waits = connections.iter().filter(|connection| connection.state == State::Attention);
    let found = waits.map(|connection| {
        let said = format!("it is {}, so that nothing is lent", state(connection));
        Finding::warn(&format!("connection {}", connection.name), said).then(renewal(connection))
    });
    found.filter(|finding| !told.iter().any(|other| other.of == finding.of)).collect()
}

fn renewal(connection: &Connection) -> String {
    let name = &connection.name;
    let why = connection.why.as_deref().and_then(meaning).map(|meaning| format!("{meaning}; ")).unwrap_or_default();
    match connection.state {
        State::Revoked | State::Pending => format!("nexus-sidecar connection show {name}; delete it and add it again"),
        _ => format!("{why}nexus-sidecar connection set {name} gives it new credentials"),
    }
}

fn judge<'p>(
    of: &str,
    connection: &Connection,
    hosts: impl Iterator<Item = (&'p str, &'p HostPattern)>,
    now: SystemTime,
) -> Finding {
    let name = &connection.name;
    let renew = format!("nexus-sidecar connection set {name} --expires-at TIME, with a new credential");
    match connection.state {
        State::Active => {}
        // The same to whoever looks, before a worker has swept it and after.
        State::Expired => return Finding::fail(of, "it has expired, so that nothing is lent").then(renew),
        _ => {
            let said = format!("it is {}, so that nothing is lent", state(connection));
            return Finding::fail(of, said).then(renewal(connection));
        }
    }
    if let (Some(end), Some(_)) = (connection.expires_at, connection.refresh_at) {
        if end <= now {
            let said = format!("its credentials have ended, and {} tries gave no new ones", connection.refresh_tries);
            return Finding::fail(of, said).then(format!("nexus-sidecar connection refresh {name} says why"));
        }
    } else if let Some(end) = connection.expires_at {
        match end.duration_since(now) {
            Err(_) => return Finding::fail(of, "it has expired, so that nothing is lent").then(renew),
            Ok(left) if left < SOON => {
                return Finding::warn(of, format!("it expires in {}", super::span(left))).then(renew);
            }
            Ok(_) => {}
        }
    }
    for (rule, host) in hosts {
        if !connection.bindings.hosts().any(|bound| bound.overlaps(host)) {
            let bound: Vec<String> = connection.bindings.hosts().map(ToString::to_string).collect();
            return Finding::fail(
                of,
                format!("rule {rule:?} wants it for {host}, and it is bound to {}", bound.join(", ")),
            )
            .then(format!("correct the rule's host, or add a connection with --host {host}"));
        }
    }
    Finding::ok(of, format!("version {}, bound to the hosts of its rules", connection.version))
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;
    use crate::model::{Binding, Bindings, Strategy};

    fn level(state: State, ends: Option<u64>, host: &str) -> Finding {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let bound = HostPattern::parse("api.example.com").unwrap();
        let connection = Connection {
            id: "id".into(),
            name: ConnectionName::parse("c").unwrap(),
            provider: None,
            state,
            version: 3,
            bindings: Bindings::new(vec![Binding { hosts: vec![bound], strategy: Strategy::OAuth2 }], false).unwrap(),
            owned: false,
            field_names: vec![],
            created_at: at,
            updated_at: at,
            expires_at: ends.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
            why: None,
            refresh_at: None,
            refresh_tries: 0,
            revocation: None,
        };
        judge("c", &connection, [("r", &HostPattern::parse(host).unwrap())].into_iter(), at)
    }

    #[test]
    fn a_connection_is_there_alive_and_bound() {
        let (now, day) = (1_800_000_000, 86_400);
        for (state, ends, host, want, words) in [
            (State::Active, None, "api.example.com", Level::Ok, "version 3"),
            (State::Active, Some(now + 30 * day), "api.example.com", Level::Ok, "version 3"),
            (State::Active, None, "*.example.com", Level::Ok, "version 3"),
            (State::Active, Some(now + 6 * day), "api.example.com", Level::Warn, "expires in 6 days"),
            (State::Active, Some(now - 1), "api.example.com", Level::Fail, "expired"),
            (State::Revoked, None, "api.example.com", Level::Fail, "revoked"),
            (State::Active, None, "evil.example.com", Level::Fail, "bound to api.example.com"),
        ] {
            let found = level(state, ends, host);
            assert_eq!(found.level, want, "{found:?}");
            assert!(found.said.contains(words), "{found:?}");
        }
    }
}
