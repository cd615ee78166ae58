//! `authority`: the Authority as a service of its own. One file per subcommand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::failure::finish;

mod serve;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority serve                         where, limits and TLS: its --help
  curl http://127.0.0.1:14110/openapi.json              every call, with who may make it";

/// Serve the Authority, and say who may use it
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
}

/// Runs the command and answers its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    let config = args.config.as_deref();
    finish(match args.command {
        Command::Serve(args) => serve::execute(config, &args),
    })
}
