//! How a connection authenticates and where: as its provider says, or as the flags of
//! `connection add` do.

use serde_json::{Map, Value};

use super::Add;
use crate::authority::Registered;
use crate::cli::failure::Failure;
use crate::cli::input::Wanted;
use crate::config::{Catalogue, FieldDoc, Provider};
use crate::model::{Binding, Bindings, ConnectionName, HostPattern, Strategy};

/// A provider that is known here.
#[derive(Debug)]
pub(super) enum Known {
    /// It is compiled in.
    BuiltIn(&'static Provider),
    /// The store was told of it.
    Own(Box<Registered>),
}

impl Known {
    /// Its name.
    pub(super) fn name(&self) -> &ConnectionName {
        match self {
            Self::BuiltIn(provider) => &provider.connection,
            Self::Own(provider) => provider.definition.name(),
        }
    }

    /// What a person gives.
    pub(super) fn fields(&self) -> Vec<FieldDoc> {
        match self {
            Self::BuiltIn(provider) => provider.fields.clone(),
            Self::Own(provider) => provider.definition.fields(),
        }
    }
}

/// What a connection is made for.
#[derive(Debug)]
pub(super) struct Contract {
    /// The provider whose contract it is.
    pub(super) provider: Option<Known>,
    /// Where it may go, and how.
    pub(super) bindings: Vec<Binding>,
    /// The zones of its wildcards are ours, or the provider's alone.
    pub(super) owned: bool,
}

/// Reads how and where a connection authenticates. Without provider and strategy, the provider is
/// the connection's name. `own` finds a provider of the store, which stands for one of its name that is
/// built in; it is not asked where flags say everything.
pub(super) fn contract(
    args: &Add,
    own: impl FnOnce(&str) -> Result<Option<Registered>, Failure>,
) -> Result<Contract, Failure> {
    let catalogue = Catalogue::built_in();
    let said = [
        ("--strategy", args.strategy.is_some()),
        ("--host", !args.host.is_empty()),
        ("--set", !args.settings.is_empty()),
        ("--owned", args.owned),
    ];
    let said = said.iter().find(|(_, is_said)| *is_said).map(|(flag, _)| *flag);
    let named = match (&args.provider, &args.strategy) {
        (None, Some(strategy)) => return of_flags(args, strategy),
        (Some(provider), _) => provider.as_str(),
        (None, None) => args.name.as_str(),
    };
    let known = match own(named)? {
        Some(own) => Some(Known::Own(Box::new(own))),
        None => catalogue.provider(named).map(Known::BuiltIn),
    };
    match (known, said) {
        (Some(provider), None) => of_provider(provider),
        (Some(_), Some(flag)) => Err(Failure::usage(format!(
            "{flag} does not stand beside the provider {named}, which says itself where its credentials go, and how; \
             for a contract of your own, say --strategy and --host, and no --provider"
        ))),
        (None, Some(flag)) if args.provider.is_none() => {
            Err(Failure::usage(format!("{flag} needs --strategy: how does {named} authenticate?")))
        }
        (None, _) => Err(Failure::usage(format!(
            "{}\n\nFor another service, say how it authenticates and where, such as:\n\n  \
             nexus-sidecar connection add {} --strategy oauth2 --host api.example.com\n",
            catalogue.unknown(named),
            args.name
        ))),
    }
}

fn of_provider(provider: Known) -> Result<Contract, Failure> {
    let (bindings, owned) = match &provider {
        Known::BuiltIn(provider) => (Some(&provider.bindings), provider.owned),
        Known::Own(provider) => (provider.definition.bindings(), provider.definition.is_owned()),
    };
    let Some(bindings) = bindings else {
        return Err(Failure::failed(format!(
            "nobody has said yet to which hosts the credentials of the provider {} go: give it api_base_url or bindings",
            provider.name()
        )));
    };
    let bindings = bindings.iter().cloned().collect();
    Ok(Contract { bindings, owned, provider: Some(provider) })
}

/// The fields that a connection cannot do without, each once, in its provider's order and with
/// its provider's words.
pub(super) fn wanted<'a>(bindings: &'a Bindings, documented: &'a [FieldDoc]) -> Vec<Wanted<'a>> {
    let mut names: Vec<&str> = bindings.iter().flat_map(|binding| binding.strategy.required_fields()).collect();
    let place = |name: &str| documented.iter().position(|field| field.name == name);
    names.sort_unstable_by_key(|name| (place(name).unwrap_or(usize::MAX), *name));
    names.dedup();
    let wanted = |name| Wanted { name, about: place(name).map(|place| documented[place].about.as_str()) };
    names.into_iter().map(wanted).collect()
}

fn of_flags(args: &Add, strategy: &str) -> Result<Contract, Failure> {
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
        None => Ok(Contract { provider: None, bindings: vec![Binding { hosts, strategy }], owned: args.owned }),
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
