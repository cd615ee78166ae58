//! `authority policy`: the policy of sidecars that say `policy: [ authority ]`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{In, moment};
use crate::authority::{PolicyError, PolicyVersion};
use crate::cli::failure::{Failure, say};
use crate::cli::output::{columns, print, print_json, safe};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority policy set policy.yaml
  nexus-sidecar authority policy show
  nexus-sidecar authority policy history";

/// Manage the policy that sidecars take from here: set, show, history
///
/// A sidecar whose configuration says `policy: [ authority ]` follows it within seconds, and keeps
/// the last one that it could read.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    within: In,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set the policy: a file that `policy check` and its own tests accept
    ///
    /// The same text again changes nothing. What is not valid is refused as a whole, and the policy
    /// stays as it is.
    #[command(after_help = "Examples:\n  nexus-sidecar authority policy set policy.yaml --after 6")]
    Set {
        /// The document; - reads standard input
        file: PathBuf,
        /// Refuse unless this is the version now
        #[arg(long, value_name = "VERSION")]
        after: Option<u64>,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show the policy as it is now, or a version of it
    #[command(after_help = "Examples:\n  nexus-sidecar authority policy show --version 6 > policy-6.yaml")]
    Show {
        /// Which one
        #[arg(long)]
        version: Option<u64>,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List its versions, newest first
    #[command(after_help = "Examples:\n  nexus-sidecar authority policy history --limit 5")]
    History {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1000))]
        limit: i64,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) fn execute(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Set { file, after, json } => set(config, &args.within, &file, after, json),
        Command::Show { version, json } => {
            let Some(authority) = args.within.existing(config)? else { return Err(none()) };
            let found = match version {
                Some(version) => authority.policy_at(version),
                None => authority.policy(),
            };
            let found = found.map_err(|error| Failure::because(&error))?.ok_or_else(none)?;
            if json { print_json(&as_json(&found)) } else { print(&found.document) }
        }
        Command::History { limit, json } => {
            let found = match args.within.existing(config)? {
                Some(authority) => {
                    authority.policies_before(u64::MAX, limit).map_err(|error| Failure::because(&error))?
                }
                None => Vec::new(),
            };
            if json {
                return print_json(&found.iter().map(as_json).collect());
            }
            if found.is_empty() {
                say("no policy was set: authority policy set FILE does");
                return Ok(());
            }
            let row = |policy: &PolicyVersion| [policy.version.to_string(), moment(policy.at), safe(&policy.set_by)];
            let head = ["VERSION", "SET", "BY"].map(str::to_owned);
            print(&columns(&std::iter::once(head).chain(found.iter().map(row)).collect::<Vec<_>>()))
        }
    }
}

fn set(config: Option<&Path>, within: &In, file: &Path, after: Option<u64>, json: bool) -> Result<(), Failure> {
    let document = read(file)?;
    let set = within.open(config)?.set_policy(&document, after);
    let (policy, new) = set.map_err(|error| match error {
        PolicyError::Store(_) | PolicyError::Moved { .. } => Failure::because(&error),
        _ => Failure::invalid(&error),
    })?;
    if json {
        return print_json(&as_json(&policy));
    }
    let what = if new { "set: sidecars follow it" } else { "unchanged" };
    print(&format!("policy version {}: {what}\n", policy.version))
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read the policy {}: {error}", file.display()));
    if file != Path::new("-") {
        return std::fs::read_to_string(file).map_err(failed);
    }
    let mut text = String::new();
    std::io::stdin().take(1 << 20).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn none() -> Failure {
    Failure::failed("there is no such policy: authority policy history lists those that there are")
}

fn as_json(policy: &PolicyVersion) -> Value {
    json!({
        "version": policy.version,
        "document": policy.document,
        "set_by": policy.set_by,
        "at": moment(policy.at),
    })
}
