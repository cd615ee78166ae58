//! `provider`: the services that are compiled in, where their credentials go, and what their
//! permission sets allow; and those that somebody told the store of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::exit;
use super::failure::{Failure, finish};
use super::output::{columns, print, print_json};
use crate::config::{Catalogue, Provider, SetName};

#[cfg(feature = "authority")]
mod apply;
mod json;
#[cfg(feature = "authority")]
mod own;
mod show;
#[cfg(feature = "authority")]
mod told;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar provider list
  nexus-sidecar provider show github
  nexus-sidecar provider show github/read@1      everything that this set allows
  nexus-sidecar provider apply tickets.yaml      a service of your own, as a file says it

A permission set is a list of rules under a name and a version. In a policy:
  rules:
    - use: github/read@1
What a version means never changes; `policy check` says when there is a newer one.";

const LIST: &str = "\
Examples:
  nexus-sidecar provider list
  nexus-sidecar provider list --json";

const SHOW: &str = "\
Examples:
  nexus-sidecar provider show aws
  nexus-sidecar provider show slack --json
  nexus-sidecar provider show slack/read@1";

#[cfg(feature = "authority")]
const DELETE: &str = "\
Examples:
  nexus-sidecar provider delete tickets
  nexus-sidecar provider delete tickets --yes";

/// List the services that are known, and what their permission sets allow; add services of your own
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The result as JSON, on standard output
    #[arg(long, global = true)]
    json: bool,
    /// The configuration that says where the store is [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the services, their permission sets and their hosts
    #[command(after_help = LIST)]
    List,
    /// Show where a service's credentials go, what its sets allow and what is refused
    #[command(after_help = SHOW)]
    Show {
        /// A provider, or one of its permission sets in full
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make the store's providers what files say: the difference is shown before it is done
    ///
    /// All of it is done, or nothing; a second time there is nothing to do. A connection pins hosts and
    /// endpoints of its provider when it is made: those that a file moves need attention, which is said
    /// before anything is asked.
    #[cfg(feature = "authority")]
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::Apply),
    /// Delete a provider of the store; its connections need attention, and are lent no more
    #[cfg(feature = "authority")]
    #[command(after_help = DELETE)]
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Answers from the catalogue that is compiled in, and from the store.
pub(super) fn run(args: &Args) -> ExitCode {
    finish(answer(args).map(|()| ExitCode::from(exit::OK)))
}

fn answer(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List if args.json => print_json(&listed(args).into_iter().map(|(_, json)| json).collect()),
        Command::List => print(&table(listed(args))),
        Command::Show { name } => show(args, name),
        #[cfg(feature = "authority")]
        Command::Apply(apply) => apply::apply(&own::config(args.config.as_deref())?, apply, args.json),
        #[cfg(feature = "authority")]
        Command::Delete { name, yes } => apply::delete(&own::config(args.config.as_deref())?, name, *yes, args.json),
    }
}

/// Every provider as a row and as JSON, by name. One of the store stands for one of its name that is
/// built in.
#[cfg_attr(not(feature = "authority"), expect(unused_variables, reason = "this build has no store to look into"))]
fn listed(args: &Args) -> Vec<([String; 5], Value)> {
    let mut listed: BTreeMap<String, ([String; 5], Value)> = BTreeMap::new();
    for provider in Catalogue::built_in().providers() {
        listed.insert(provider.connection.to_string(), (row(provider), json::in_short(provider)));
    }
    #[cfg(feature = "authority")]
    for provider in own::all(args.config.as_deref()) {
        let name = provider.definition.name().to_string();
        let is_built_in = listed.contains_key(&name);
        listed.insert(name, own::listed(&provider, is_built_in));
    }
    listed.into_values().collect()
}

fn show(args: &Args, name: &str) -> Result<(), Failure> {
    #[cfg(feature = "authority")]
    if !name.contains('/')
        && let Some(provider) =
            own::all(args.config.as_deref()).iter().find(|own| own.definition.name().as_str() == name)
    {
        return if args.json { print_json(&own::json(provider)) } else { print(&own::text(provider)) };
    }
    built_in(Catalogue::built_in(), name, args.json)
}

fn built_in(catalogue: &Catalogue, name: &str, json: bool) -> Result<(), Failure> {
    if let Some(provider) = catalogue.provider(name) {
        return if json { print_json(&json::whole(provider)) } else { print(&show::provider(provider)) };
    }
    if !name.contains('/') {
        return Err(Failure::invalid(&catalogue.unknown(name)));
    }
    let called = SetName::parse(name).map_err(|error| Failure::invalid(&error))?;
    let (_, set) = catalogue.set(&called).map_err(|error| Failure::invalid(&error))?;
    if json { print_json(&json::set(set)) } else { print(&show::set(set)) }
}

fn row(provider: &Provider) -> [String; 5] {
    let sets: Vec<String> = provider.sets.iter().map(|set| set.name.versioned()).collect();
    let hosts: Vec<String> = provider.bindings.hosts().map(ToString::to_string).collect();
    let name = provider.connection.to_string();
    [name, provider.title.clone(), "built in".to_owned(), sets.join(", "), hosts.join(", ")]
}

fn table(listed: Vec<([String; 5], Value)>) -> String {
    let mut rows = vec![["NAME", "TITLE", "SOURCE", "SETS", "HOSTS"].map(str::to_owned)];
    rows.extend(listed.into_iter().map(|(row, _)| row));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each() {
        let rows = Catalogue::built_in().providers().iter().map(|provider| (row(provider), Value::Null));
        let table = table(rows.collect());
        assert_eq!(table.lines().count(), 6, "{table}");
        let github = table.lines().find(|line| line.starts_with("github")).unwrap();
        assert!(
            github.contains("GitHub") && github.contains("read@1") && github.contains("api.github.com"),
            "{github}"
        );
    }

    #[test]
    fn what_nobody_knows_is_a_usage_error_with_advice() {
        for (name, want) in [
            ("githbu", "did you mean github?"),
            ("nowhere", "there are anthropic, aws, github"),
            ("github/read", "write github/read@1"),
            ("github/reed@1", "it has clone@1, read@1"),
            ("gitbuh/read@1", "no provider is called"),
        ] {
            let failure = built_in(Catalogue::built_in(), name, false).unwrap_err();
            assert!(failure.code() == exit::USAGE && failure.message().contains(want), "{name}: {}", failure.message());
        }
    }
}
