//! `freeze` and `unfreeze`: lend nothing for now, and lend again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::failure::{Failure, finish};
use super::moment::moment;
use super::output::print;
use super::{harden, revoke, start};
use crate::authority::{Authority, Freeze, StoreError};
use crate::model::Workspace;

const FREEZE: &str = "\
Examples:
  nexus-sidecar freeze
  nexus-sidecar unfreeze
  nexus-sidecar revoke --all                    what cannot be undone";

const UNFREEZE: &str = "\
Examples:
  nexus-sidecar unfreeze
  nexus-sidecar connection list                 says whether all is frozen";

/// Lend nothing until `unfreeze`, and end nothing
///
/// Every request that needs a connection is refused from now on, in every sidecar of this store, within
/// a second. Connections stay as they are, and those that are refreshed go on being refreshed. What is
/// under way ends by itself: to close it, revoke.
#[derive(clap::Args)]
#[command(after_help = FREEZE)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

/// Lend again what `freeze` held back
#[derive(clap::Args)]
#[command(after_help = UNFREEZE)]
pub(super) struct UnfreezeArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// The configuration that says where store and key are [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The workspace that it is about
    #[arg(long, value_name = "NAME", value_parser = Workspace::parse, default_value = "local")]
    workspace: Workspace,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `freeze` and answers its exit code.
pub(super) fn freeze(args: &Args) -> ExitCode {
    finish(execute(&args.common, Authority::freeze).map(|()| ExitCode::SUCCESS))
}

/// Runs `unfreeze` and answers its exit code.
pub(super) fn unfreeze(args: &UnfreezeArgs) -> ExitCode {
    finish(execute(&args.common, Authority::unfreeze).map(|()| ExitCode::SUCCESS))
}

fn execute(args: &Common, work: fn(&Authority) -> Result<Freeze, StoreError>) -> Result<(), Failure> {
    harden::harden()?;
    let config = start::config(args.config.as_deref())?;
    let freeze =
        work(&revoke::existing(&config)?.within(args.workspace.clone())).map_err(|error| Failure::because(&error))?;
    if args.json {
        let since = freeze.since.map(moment);
        let line = json!({ "frozen": freeze.since.is_some(), "since": since, "changed": freeze.changed });
        return print(&format!("{line:#}\n"));
    }
    print(&format!("{}\n", said(freeze)))
}

fn said(freeze: Freeze) -> String {
    match (freeze.since, freeze.changed) {
        (Some(_), true) => "frozen: nothing is lent until nexus-sidecar unfreeze".to_owned(),
        (Some(since), false) => format!("frozen already, since {}", moment(since)),
        (None, true) => "unfrozen: connections are lent again".to_owned(),
        (None, false) => "nothing was frozen".to_owned(),
    }
}

/// What a listing says of a frozen store.
pub(super) fn notice(since: SystemTime) -> String {
    format!("frozen since {}: nothing is lent until nexus-sidecar unfreeze", moment(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_its_words() {
        let at = Some(SystemTime::UNIX_EPOCH);
        for (since, changed, want) in [
            (at, true, "frozen: nothing is lent until nexus-sidecar unfreeze"),
            (at, false, "frozen already, since 1970-01-01T00:00:00Z"),
            (None, true, "unfrozen: connections are lent again"),
            (None, false, "nothing was frozen"),
        ] {
            assert_eq!(said(Freeze { since, changed }), want);
        }
        assert!(notice(SystemTime::UNIX_EPOCH).starts_with("frozen since 1970-01-01T00:00:00Z: "));
    }
}
