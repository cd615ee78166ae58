//! How a connection authenticates and where, read from the flags of `connection add`.

use serde_json::{Map, Value};

use super::Add;
use crate::cli::failure::Failure;
use crate::model::{Binding, HostPattern, Strategy};

/// Reads how and where a connection authenticates.
pub(super) fn binding(args: &Add) -> Result<Binding, Failure> {
    if args.provider.is_some() {
        return Err(Failure::usage("--provider is not available yet: say --strategy and --host"));
    }
    let name = &args.name;
    let strategy = args.strategy.as_deref().ok_or_else(|| {
        Failure::usage(format!(
            "how does {name} authenticate, and where? There is no catalogue of providers yet: say --strategy and \
             --host, such as: nexus-sidecar connection add {name} --strategy oauth2 --host api.{name}.com"
        ))
    })?;
    let strategy = Strategy::from_settings(strategy, &settings(&args.settings)?);
    let strategy = strategy.map_err(|error| Failure::usage(&error))?;
    if args.host.is_empty() {
        return Err(Failure::usage("say --host: the credentials go to the hosts that you name, and to no other"));
    }
    let pattern = |text: &String| {
        HostPattern::parse(text).map_err(|error| {
            Failure::usage(format!(
                "--host {text:?}: {error} (a host has no scheme, port or path; *.zone names those below it, and a * further right stands for one label)"
            ))
        })
    };
    let hosts = args.host.iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
    match hosts.iter().enumerate().find(|(index, host)| hosts[..*index].contains(host)) {
        Some((_, twice)) => Err(Failure::usage(format!("the host {twice} is given twice"))),
        None => Ok(Binding { hosts, strategy }),
    }
}

/// The settings as the strategy reads them; two of them are lists.
fn settings(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut settings = Map::new();
    for text in given {
        let (key, value) =
            text.split_once('=').ok_or_else(|| Failure::usage(format!("--set {text:?}: it takes KEY=VALUE")))?;
        let value = match key {
            "allowed_services" | "allowed_regions" => value.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => Value::from(value),
        };
        if settings.insert(key.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("the setting {key} is given twice")));
        }
    }
    Ok(settings)
}
