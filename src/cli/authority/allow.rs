//! `authority allow`: which agent may borrow which connection.

use std::path::Path;

use serde_json::json;

use super::{In, refused};
use crate::authority::Changed;
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority allow triage-bot github
  nexus-sidecar authority allow triage-bot github --remove
  nexus-sidecar authority agent list                       what each agent may borrow";

/// Let an agent borrow a connection, or no longer
///
/// This is the Authority's own rule: a sidecar's policy says what an agent may do with what it
/// borrows, and cannot give it more. Sidecars that run follow within seconds.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    within: In,
    /// The agent
    agent: String,
    /// The connection, by name or id
    connection: String,
    /// Take it away
    #[arg(long)]
    remove: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn execute(config: Option<&Path>, args: &Args) -> Result<(), Failure> {
    let authority = args.within.open(config)?;
    let granted = match args.remove {
        false => authority.allow(&args.agent, &args.connection),
        true => authority.disallow(&args.agent, &args.connection),
    };
    let (granted, changed) = granted.map_err(|error| refused(&error))?;
    if args.json {
        let connection = json!({"id": granted.connection, "name": granted.name});
        let changed = changed == Changed::Yes;
        let allowed = !args.remove;
        return print_json(
            &json!({"agent": granted.agent, "connection": connection, "allowed": allowed, "changed": changed}),
        );
    }
    let done = match (args.remove, changed) {
        (false, Changed::Yes) => "may borrow",
        (false, Changed::No) => "may borrow already",
        (true, Changed::Yes) => "may no longer borrow",
        (true, Changed::No) => "was not allowed to borrow",
    };
    print(&format!("agent {} {done} {}\n", granted.agent, granted.name))
}
