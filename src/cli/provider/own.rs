//! Providers of the store, beside those that are compiled in.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::show::way;
use crate::authority::{Authority, ProviderError, Registered};
use crate::cli::failure::{Failure, chain, say};
use crate::cli::output::{columns, safe};
use crate::cli::{harden, start, store};
use crate::config::{Catalogue, Config};
use crate::telemetry::SystemClock;

/// More than anybody reads of a list.
const MOST: u32 = 10_000;

/// The store, if there is one: whoever only looks makes none.
pub(super) fn existing(config: &Config) -> Result<Option<Authority>, Failure> {
    if Authority::has_store(&config.authority) { open(config).map(Some) } else { Ok(None) }
}

/// The store, made on first use.
pub(super) fn open(config: &Config) -> Result<Authority, Failure> {
    store::open(&config.authority, Arc::new(SystemClock))
}

/// The configuration of a command that opens the store.
pub(super) fn config(named: Option<&Path>) -> Result<Config, Failure> {
    harden::harden()?;
    start::config(named)
}

/// Every provider of the store, by name. A store that cannot be opened hides none of those that are
/// compiled in: it is said, and the rest is shown.
pub(super) fn all(named: Option<&Path>) -> Vec<Registered> {
    let read = || {
        let Some(authority) = existing(&config(named)?)? else { return Ok(Vec::new()) };
        authority.providers("", MOST).map_err(|error| refused(&error))
    };
    read().unwrap_or_else(|failure: Failure| {
        say(&format!("warning: the providers of the store are not shown: {}", failure.message()));
        Vec::new()
    })
}

/// One of a listing: as a row, and for programs.
pub(super) fn listed(provider: &Registered, is_built_in: bool) -> ([String; 5], Value) {
    let definition = &provider.definition;
    let hosts: Vec<String> =
        definition.bindings().map(|bindings| bindings.hosts().map(ToString::to_string).collect()).unwrap_or_default();
    let json = serde_json::json!({
        "name": definition.name().as_str(),
        "title": definition.title(),
        "sets": [],
        "hosts": hosts,
        "source": "own",
        "instead_of_built_in": is_built_in,
        "id": provider.id,
        "version": provider.version,
    });
    let source = if is_built_in { "own, instead of built in" } else { "own" };
    let name = definition.name().to_string();
    ([name, safe(definition.title()), source.to_owned(), String::new(), hosts.join(", ")], json)
}

/// No such provider in the store.
pub(super) fn missing(name: &str) -> Failure {
    match Catalogue::built_in().provider(name) {
        Some(_) => {
            Failure::failed(format!("the provider {name} is built in, and stays: the store has none of its name"))
        }
        None => {
            Failure::failed(format!("there is no provider {name}: nexus-sidecar provider list shows those that are"))
        }
    }
}

/// What was said wrongly is wrong usage; the rest went wrong.
pub(super) fn refused(error: &ProviderError) -> Failure {
    match error {
        ProviderError::Profile(_) | ProviderError::SecretMoves => Failure::usage(chain(error)),
        _ => Failure::because(error),
    }
}

/// A provider of the store, for programs: its profile with what the store knows of it.
pub(super) fn json(provider: &Registered) -> Value {
    let mut json = provider.definition.to_json();
    json.insert("id".to_owned(), provider.id.as_str().into());
    json.insert("version".to_owned(), provider.version.into());
    json.insert("client_secret_set".to_owned(), provider.has_secret.into());
    json.insert("source".to_owned(), "own".into());
    Value::Object(json)
}

/// A provider of the store, for people.
pub(super) fn text(provider: &Registered) -> String {
    let definition = &provider.definition;
    let profile = definition.to_json();
    let said = |name: &str| match profile.get(name) {
        Some(Value::String(text)) => Some(safe(text)),
        Some(Value::Array(items)) if !items.is_empty() => {
            Some(items.iter().map(|item| safe(item.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", "))
        }
        Some(Value::Object(_)) => profile.get(name).map(|value| safe(&value.to_string())),
        _ => None,
    };
    let mut text = format!("{}: {}\n", definition.name(), safe(definition.title()));
    for name in ["description", "about"] {
        text.extend(said(name).map(|line| line + "\n"));
    }
    section(&mut text, "Where they go", hosts(provider));
    let fields = definition.fields().into_iter().map(|field| {
        let optional = if field.optional { "optional: " } else { "" };
        [format!("  {}", safe(&field.name)), format!("{optional}{}", safe(&field.about))]
    });
    section(&mut text, "Fields", fields.collect());
    if definition.is_oauth() {
        let names = ["auth_url", "token_url", "issuer", "client_id", "auth_header", "scopes", "revocation", "params"];
        let mut rows: Vec<[String; 2]> =
            names.iter().filter_map(|name| Some([format!("  {name}"), said(name)?])).collect();
        let secret = if provider.has_secret { "set" } else { "none: a public client" };
        rows.push(["  client_secret".to_owned(), secret.to_owned()]);
        section(&mut text, "Consent", rows);
    }
    let _ = writeln!(text, "\nversion {} of the store's own document", provider.version);
    text
}

fn hosts(provider: &Registered) -> Vec<[String; 2]> {
    let Some(bindings) = provider.definition.bindings() else {
        return vec![["  no host yet".to_owned(), "no connection can be made of it".to_owned()]];
    };
    let line = |line: &crate::model::Binding| {
        let hosts: Vec<String> = line.hosts.iter().map(ToString::to_string).collect();
        [format!("  {}", hosts.join(", ")), safe(&way(&line.strategy))]
    };
    bindings.iter().map(line).collect()
}

fn section(text: &mut String, heading: &str, rows: Vec<[String; 2]>) {
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{heading}");
        *text += &columns(&rows);
    }
}
