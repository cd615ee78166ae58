//! `authority`: the Authority as a service of its own, and who may use it. One file per subcommand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Subcommand;

use super::failure::{Failure, finish};
use super::moment::moment;
use super::{harden, start, store};
use crate::authority::{AccessError, Authority};
use crate::model::Workspace;
use crate::telemetry::SystemClock;

mod agent;
mod allow;
mod backup;
mod doctor;
mod key;
mod policy;
mod restore;
mod rotate_key;
mod serve;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority serve                         where, limits and TLS: its --help
  nexus-sidecar authority agent add triage-bot          an agent, by the name that its sidecar says
  nexus-sidecar authority allow triage-bot github       what it may borrow
  nexus-sidecar authority key add --scope sidecar --agent triage-bot --out sidecar.key
                                                        what its sidecar shows
  nexus-sidecar authority backup store.backup           the store as it is now; see rotate-key, too
  nexus-sidecar authority doctor                        whether all of it is well
  curl http://127.0.0.1:14110/openapi.json              every call, with who may make it";

/// Serve the Authority, say who may use it, and look after its store
///
/// The Authority keeps connections and lends their credentials. `run` and `proxy` have one of their
/// own, in the same store; served, sidecars and programs elsewhere borrow from it over HTTP.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration that says where store and key are [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Key(key::Args),
    Agent(agent::Args),
    Allow(allow::Args),
    Policy(policy::Args),
    RotateKey(rotate_key::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Doctor(doctor::Args),
}

/// Runs the command and answers its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    let config = args.config.as_deref();
    let done = match args.command {
        Command::Serve(args) => return finish(serve::execute(config, &args)),
        Command::RotateKey(args) => return finish(rotate_key::execute(config, &args)),
        Command::Doctor(args) => return finish(doctor::execute(config, &args)),
        Command::Backup(args) => backup::execute(config, &args),
        Command::Restore(args) => restore::execute(config, &args),
        Command::Key(args) => key::execute(config, args),
        Command::Agent(args) => agent::execute(config, args),
        Command::Allow(args) => allow::execute(config, &args),
        Command::Policy(args) => policy::execute(config, args),
    };
    finish(done.map(|()| ExitCode::SUCCESS))
}

/// Which workspace a command is about.
#[derive(clap::Args)]
struct In {
    /// The workspace that it is about
    #[arg(long, value_name = "NAME", value_parser = Workspace::parse, default_value = "local", global = true)]
    workspace: Workspace,
}

impl In {
    /// Opens the store, made on first use.
    fn open(&self, config: Option<&Path>) -> Result<Authority, Failure> {
        harden::harden()?;
        let config = start::config(config)?;
        Ok(store::open(&config.authority, Arc::new(SystemClock))?.within(self.workspace.clone()))
    }

    /// The store, if there is one: whoever only looks makes none.
    fn existing(&self, config: Option<&Path>) -> Result<Option<Authority>, Failure> {
        harden::harden()?;
        let found = start::config(config)?;
        if Authority::has_store(&found.authority) { self.open(config).map(Some) } else { Ok(None) }
    }
}

/// What was asked for wrongly is wrong usage; the rest went wrong.
fn refused(error: &AccessError) -> Failure {
    match error {
        AccessError::AgentName | AccessError::KeyName | AccessError::NoAgentNamed | AccessError::NoConnectionNamed => {
            Failure::invalid(error)
        }
        _ => Failure::because(error),
    }
}

fn moment_or_dash(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "-".to_owned(), moment)
}
