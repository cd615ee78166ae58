//! `connection`: makes, lists, changes and deletes the connections of the embedded Authority.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Subcommand;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::contract::{Contract, Known, contract, wanted};
use self::given::Given;
use super::failure::{Failure, finish, say};
use super::input::Input;
use super::output::print;
use super::{freeze, harden, start, store};
use crate::authority::{Authority, ConnectionError, NewConnection};
use crate::config::{Catalogue, Config};
use crate::model::{Bindings, ConnectionName};
use crate::telemetry::{Clock as _, SystemClock};

mod contract;
mod examples;
mod given;
pub(super) mod listing;
mod refresh;
mod revoke;
mod who;

const ADD: &str = "\
A provider of the catalogue (`provider list`) needs nothing but its credential. For any other
service: strategies, their fields, and their settings (with the defaults of --set):
  oauth2        access_token             -
  header        api_key                  header_name=authorization value_prefix=
                                         credential_field=api_key
  query_param   api_key                  param_name (needed) credential_field=api_key
  basic_auth    username password        username (a literal name instead of the field)
                                         username_field=username password_field=password
  hmac_payload  api_secret               header_name (needed) secret_field=api_secret
                                         algo=sha256 encoding=hex
  aws_sigv4     access_key secret_key    service region
                [session_token]          allowed_services=a,b allowed_regions=a,b

Examples:
  printf %s \"$TOKEN\" | nexus-sidecar connection add github
      one line of standard input is the provider's only field; its line end is no part of it
  nexus-sidecar connection add github
      asks for it, without echo
  gh auth token | nexus-sidecar connection add work --provider github
      a second connection of the same provider, under a name of its own
  nexus-sidecar connection add tickets --strategy oauth2 --host api.tickets.example
      a service that is no provider: how it authenticates, and where
  nexus-sidecar connection add tickets --strategy header --set \"value_prefix=Bearer \" \\
      --host api.tickets.example --field api_key=@/run/secrets/tickets
  nexus-sidecar connection add s3 --strategy aws_sigv4 --host '*.amazonaws.com' \\
      --fields - < keys.json
      {\"access_key\": \"…\", \"secret_key\": \"…\"}";

/// Manage connections: credentials, and the hosts that they may go to
///
/// They lie sealed in a store on this machine, and sidecars that run follow every change within a
/// second. No command shows a credential.
#[derive(clap::Args)]
#[command(after_help = examples::ALL)]
pub(super) struct Args {
    /// The configuration that says where store and key are [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a connection: to a provider of the catalogue, or to any host
    ///
    /// Without --provider and --strategy, its name is its provider. The store and its key are made
    /// on first use.
    Add(Add),
    /// List all connections
    #[command(visible_alias = "ls", after_help = examples::LIST)]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show one connection: hosts, settings, and the names of its fields
    #[command(after_help = examples::SHOW)]
    Show {
        /// Its name
        #[arg(value_parser = ConnectionName::parse)]
        name: ConnectionName,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Give a connection new credentials: a new version that running sidecars follow
    ///
    /// Fields that are not given stay as they are; --expires-at alone changes the end alone. Without
    /// either, all fields are asked for.
    #[command(after_help = examples::SET)]
    Set(Set),
    /// Ask the provider whose credentials these are: they work as that user, or they do not
    ///
    /// One call of the provider's own, recorded as every other; of its answer, the name alone is
    /// shown.
    #[command(after_help = examples::TEST)]
    Test {
        /// Its name
        #[arg(value_parser = ConnectionName::parse)]
        name: ConnectionName,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Get new tokens from the provider now: at most once a minute, whoever asks
    ///
    /// Sidecars and the service renew tokens ahead of their end by themselves.
    #[command(after_help = examples::REFRESH)]
    Refresh {
        /// Its name
        #[arg(value_parser = ConnectionName::parse)]
        name: ConnectionName,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Revoke a connection for good, here and at its provider; what runs with it is closed
    ///
    /// A provider that takes credentials back is told, and its answer is waited for a few seconds:
    /// `revoked upstream`; `local only`, where it cannot be told; or `still trying`, by whatever serves
    /// this store. A revoked connection cannot be set again, only deleted and added.
    #[command(after_help = examples::REVOKE)]
    Revoke {
        /// Its name
        #[arg(value_parser = ConnectionName::parse)]
        name: ConnectionName,
        /// Do not wait for the provider
        #[arg(long)]
        no_wait: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Delete a connection and its credentials; what runs with them is closed
    ///
    /// Its provider is not told, and the credentials stay good there: `connection revoke` first tells
    /// it.
    #[command(after_help = examples::DELETE)]
    Delete {
        /// Its name
        #[arg(value_parser = ConnectionName::parse)]
        name: ConnectionName,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(clap::Args)]
#[command(after_help = ADD)]
struct Add {
    /// Its name, as rules will say it: a-z, 0-9, '.', '_' and '-'
    #[arg(value_parser = ConnectionName::parse)]
    name: ConnectionName,
    /// The provider, where the connection has another name; it says where and how
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// How to authenticate at a service that is no provider
    #[arg(long, value_name = "TYPE")]
    strategy: Option<String>,
    /// A host that the credentials may go to, *.zone or api.*.zone; may be given several times
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// The zones of wildcard hosts are ours alone: a reusable secret may go to every host in them
    #[arg(long)]
    owned: bool,
    /// A setting of the strategy; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    values: Values,
}

#[derive(clap::Args)]
struct Set {
    /// Its name
    #[arg(value_parser = ConnectionName::parse)]
    name: ConnectionName,
    #[command(flatten)]
    values: Values,
}

#[derive(clap::Args)]
struct Values {
    /// A field: SOURCE is - (one line of standard input), @FILE or env:VARIABLE
    #[arg(long = "field", value_name = "NAME=SOURCE")]
    fields: Vec<String>,
    /// All fields as one JSON object, read from standard input
    #[arg(long = "fields", value_name = "-")]
    object: Option<String>,
    /// When the credentials end, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<SystemTime>,
    // A credential, as a rule. Taken so that no message repeats it.
    #[arg(hide = true, value_hint = clap::ValueHint::Other)]
    beside: Vec<String>,
}

/// Runs the command and answers its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(args).map(|()| ExitCode::SUCCESS))
}

fn execute(args: Args) -> Result<(), Failure> {
    harden::harden()?;
    let config = start::config(args.config.as_deref())?;
    match args.command {
        Command::Add(args) => add(&config, args),
        Command::List { json } => list(&config, json),
        Command::Show { name, json } => show(&config, &name, json),
        Command::Set(args) => set(&config, &args),
        Command::Test { name, json } => who::test(config, &name, json),
        Command::Refresh { name, json } => {
            let authority = existing(&config)?.ok_or_else(|| missing(&name))?;
            refresh::refresh(&config, authority, &name, json)
        }
        Command::Revoke { name, no_wait, json } => revoke::one(&config, &name, !no_wait, json),
        Command::Delete { name, yes } => delete(&config, &name, yes),
    }
}

fn add(config: &Config, args: Add) -> Result<(), Failure> {
    let given = args.values.given()?;
    let opened = existing(config)?;
    // Whatever can be refused is refused before a secret is asked for, and before a store is made.
    let Contract { provider, bindings, owned } = contract(&args, |name| match &opened {
        Some(authority) => authority.provider_named(name).map_err(|error| Failure::because(&error)),
        None => Ok(None),
    })?;
    let checked = Bindings::new(bindings.clone(), owned).map_err(|error| Failure::usage(&error))?;
    let documented = provider.as_ref().map(Known::fields).unwrap_or_default();
    if let Some(authority) = &opened
        && authority.show(&args.name).is_ok()
    {
        return Err(refused(&ConnectionError::Exists(args.name)));
    }
    let fields = with_input(|input| {
        let mut fields = input.read(&given)?;
        input.fill(&given, &wanted(&checked, &documented), &mut fields)?;
        Ok(fields)
    })?;
    let Add { name, values: Values { expires_at, .. }, .. } = args;
    let called = provider.as_ref().map(|provider| provider.name().clone());
    let (known, registered) = match provider {
        Some(Known::BuiltIn(provider)) => (Some(provider), None),
        Some(Known::Own(provider)) => (None, Some(*provider)),
        None => (None, None),
    };
    let new = NewConnection { name, provider: called, bindings, owned, fields, expires_at };
    new.check(SystemClock.wall()).map_err(|error| refused(&error))?;
    // A key may be read once only: from a descriptor, or from a person.
    let authority = opened.map_or_else(|| open(config), Ok)?;
    let made = authority.add_of(new, registered).map_err(|error| refused(&error))?;
    print(&format!("{}\n", listing::summary(&made)))?;
    if let Some(next) = known.and_then(|provider| listing::next(&made, provider)) {
        say(&next);
    }
    Ok(())
}

fn list(config: &Config, json: bool) -> Result<(), Failure> {
    let connections = match existing(config)? {
        Some(authority) => {
            if let Some(since) = authority.frozen().map_err(|error| Failure::because(&error))? {
                say(&freeze::notice(since));
            }
            authority.list().map_err(|error| refused(&error))?
        }
        None => Vec::new(),
    };
    if json {
        let all: Vec<Value> = connections.iter().map(listing::as_json).collect();
        return print(&format!("{:#}\n", Value::from(all)));
    }
    if connections.is_empty() {
        say("there are no connections yet: see nexus-sidecar connection add --help");
        return Ok(());
    }
    print(&listing::table(&connections))
}

fn show(config: &Config, name: &ConnectionName, json: bool) -> Result<(), Failure> {
    let authority = existing(config)?.ok_or_else(|| missing(name))?;
    let connection = authority.show(name).map_err(|error| refused(&error))?;
    let text = if json { format!("{:#}\n", listing::as_json(&connection)) } else { listing::detail(&connection) };
    print(&text)
}

fn set(config: &Config, args: &Set) -> Result<(), Failure> {
    let given = args.values.given()?;
    let authority = existing(config)?.ok_or_else(|| missing(&args.name))?;
    let before = authority.show(&args.name).map_err(|error| refused(&error))?;
    let fields = with_input(|input| {
        let mut fields = input.read(&given)?;
        if given.is_empty() && args.values.expires_at.is_none() {
            let provider = before.provider.as_deref().and_then(|name| Catalogue::built_in().provider(name));
            let documented = provider.map(|provider| provider.fields.as_slice()).unwrap_or_default();
            input.fill(&given, &wanted(&before.bindings, documented), &mut fields)?;
        }
        Ok(fields)
    })?;
    let changed = authority.set(&args.name, fields, args.values.expires_at).map_err(|error| refused(&error))?;
    print(&format!("{}\n", listing::summary(&changed)))
}

fn delete(config: &Config, name: &ConnectionName, yes: bool) -> Result<(), Failure> {
    let authority = existing(config)?.ok_or_else(|| missing(name))?;
    authority.show(name).map_err(|error| refused(&error))?;
    if !yes {
        let without = format!("say --yes to delete the connection {name} without being asked");
        if !store::confirmed(&format!("delete the connection {name} and its credentials?"), &without)? {
            return Err(Failure::failed("nothing was deleted"));
        }
    }
    authority.delete(name).map_err(|error| refused(&error))?;
    print(&format!("connection {name}: deleted\n"))
}

fn open(config: &Config) -> Result<Authority, Failure> {
    is_here(config)?;
    store::open(&config.authority, Arc::new(SystemClock))
}

/// Refuses to keep connections in a store that this configuration borrows nothing from.
fn is_here(config: &Config) -> Result<(), Failure> {
    match &config.remote {
        _ if config.is_embedded() => Ok(()),
        Some(remote) => {
            let (name, place) = (&remote.name, remote.url.destination());
            Err(Failure::usage(format!("the connections of the source {name} are kept by the Authority at {place}")))
        }
        None => Err(Failure::usage("none of `sources` is `embedded`: no connection is kept here")),
    }
}

/// The store, if there is one: whoever only looks makes none.
fn existing(config: &Config) -> Result<Option<Authority>, Failure> {
    is_here(config)?;
    if Authority::has_store(&config.authority) { open(config).map(Some) } else { Ok(None) }
}

fn missing(name: &ConnectionName) -> Failure {
    refused(&ConnectionError::NotFound(name.clone()))
}

/// What was asked for wrongly is wrong usage; the rest went wrong.
fn refused(error: &ConnectionError) -> Failure {
    match error {
        ConnectionError::Binding(_) | ConnectionError::Fields(_) | ConnectionError::Past => Failure::invalid(error),
        _ => Failure::because(error),
    }
}

impl Values {
    fn given(&self) -> Result<Given, Failure> {
        if !self.beside.is_empty() || self.object.as_ref().is_some_and(|source| source != "-") {
            return Err(Failure::usage(
                "no credential is taken from the command line, which every process of this machine can read, and a \
                 shell keeps: give it on standard input, by --field NAME=@FILE or NAME=env:VARIABLE, or at a terminal, \
                 where it is asked for. If what you gave was one, have it replaced",
            ));
        }
        Given::new(&self.fields, self.object.is_some())
    }
}

fn with_input<T>(work: impl FnOnce(&mut Input<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    let stdin = io::stdin();
    let is_terminal = stdin.is_terminal();
    work(&mut Input {
        stdin: &mut stdin.lock(),
        is_terminal,
        variable: &|name| std::env::var_os(name),
        ask: &store::ask,
    })
}

fn moment(text: &str) -> Result<SystemTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(SystemTime::from)
        .map_err(|_| "it is not a time of RFC 3339, such as 2027-01-31T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests;
