//! `provider`: the services that are compiled in, where their credentials go, and what their
//! permission sets allow.

use std::process::ExitCode;

use clap::Subcommand;

use super::exit;
use super::failure::{Failure, finish};
use super::output::{columns, print, print_json};
use crate::config::{Catalogue, Provider, SetName};

mod json;
mod show;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar provider list
  nexus-sidecar provider show github
  nexus-sidecar provider show github/read@1      everything that this set allows

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

/// List the services that are known, and what their permission sets allow
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The result as JSON, on standard output
    #[arg(long, global = true)]
    json: bool,
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
}

/// Answers from the catalogue that is compiled in.
pub(super) fn run(args: &Args) -> ExitCode {
    finish(answer(args).map(|()| ExitCode::from(exit::OK)))
}

fn answer(args: &Args) -> Result<(), Failure> {
    let catalogue = Catalogue::built_in();
    match &args.command {
        Command::List if args.json => print_json(&catalogue.providers().iter().map(json::in_short).collect()),
        Command::List => print(&table(catalogue.providers())),
        Command::Show { name } => show(catalogue, name, args.json),
    }
}

fn show(catalogue: &Catalogue, name: &str, json: bool) -> Result<(), Failure> {
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

fn table(providers: &[Provider]) -> String {
    let mut rows = vec![["NAME", "TITLE", "SETS", "HOSTS"].map(str::to_owned)];
    rows.extend(providers.iter().map(|provider| {
        let sets: Vec<String> = provider.sets.iter().map(|set| set.name.versioned()).collect();
        let hosts: Vec<String> = provider.bindings.hosts().map(ToString::to_string).collect();
        [provider.connection.to_string(), provider.title.clone(), sets.join(", "), hosts.join(", ")]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each() {
        let table = table(Catalogue::built_in().providers());
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
            let failure = show(Catalogue::built_in(), name, false).unwrap_err();
            assert!(failure.code() == exit::USAGE && failure.message().contains(want), "{name}: {}", failure.message());
        }
    }
}
