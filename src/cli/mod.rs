//! The command line: one file per subcommand; the only place that prints.
//!
//! A command answers an exit code. What fails is a `Failure`, said once on standard
//! error as `error: …` with its causes.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::dial;

mod audit;
#[cfg(feature = "authority")]
mod authority;
#[cfg(feature = "authority")]
mod ca;
mod client;
mod completions;
#[cfg(feature = "authority")]
mod connection;
#[cfg(feature = "authority")]
mod demo;
mod descriptors;
mod doctor;
mod env;
mod environment;
mod failure;
#[cfg(feature = "authority")]
mod freeze;
mod harden;
mod help;
mod input;
mod man;
#[cfg(feature = "authority")]
mod moment;
mod output;
mod policy;
mod provider;
mod proxy;
mod ready;
mod remote;
#[cfg(feature = "authority")]
mod revoke;
mod run;
mod start;
mod stop;
#[cfg(feature = "authority")]
mod store;
mod why;

/// Exit codes that scripts rely on.
pub mod exit {
    /// It worked.
    pub const OK: u8 = 0;
    /// It failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage or invalid configuration.
    pub const USAGE: u8 = 2;
    /// Denied.
    pub const DENIED: u8 = 3;
    /// `run`: the command exists and cannot be executed, as a shell says it.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// `run`: there is no such command, as a shell says it.
    pub const NOT_FOUND: u8 = 127;
}

#[cfg(feature = "authority")]
const EXAMPLES: &str = "\
A first use:
  nexus-sidecar demo                          see the whole loop on this machine alone
  nexus-sidecar connection add github         store a token, asked for without echo
  nexus-sidecar run --use github/read@1 -- claude
                                              run a command that never holds the token
  nexus-sidecar why --use github/read@1       say why its last request was refused
  nexus-sidecar doctor                        see what the set-up lacks

Exit codes: 0 ok, 1 failed, 2 wrong usage or invalid configuration, 3 denied;
`run` answers the exit code of its command.";

#[cfg(not(feature = "authority"))]
const EXAMPLES: &str = "\
A first use:
  nexus-sidecar run --use github/read@1 --field github.token=env:PAT -- claude
                                              run a command that never holds the token
  nexus-sidecar why --use github/read@1       say why its last request was refused
  nexus-sidecar doctor                        see what the set-up lacks

Exit codes: 0 ok, 1 failed, 2 wrong usage or invalid configuration, 3 denied;
`run` answers the exit code of its command.";

/// Gives programs access to services without giving them credentials.
///
/// A program sends plain requests through HTTP_PROXY. nexus-sidecar intercepts them, asks the
/// policy, adds the credential on the way out, and records what it did. The program never holds
/// a secret: not in its environment, not in its memory, not in an answer.
#[derive(Parser)]
#[command(name = "nexus-sidecar", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Proxy(proxy::Args),
    #[cfg(feature = "authority")]
    Connection(connection::Args),
    Provider(provider::Args),
    #[cfg(feature = "authority")]
    Authority(authority::Args),
    Policy(policy::Args),
    Why(why::Args),
    Audit(audit::Args),
    #[cfg(feature = "authority")]
    Revoke(revoke::Args),
    #[cfg(feature = "authority")]
    Freeze(freeze::Args),
    #[cfg(feature = "authority")]
    Unfreeze(freeze::UnfreezeArgs),
    Doctor(doctor::Args),
    Ready(ready::Args),
    Env(env::Args),
    #[cfg(feature = "authority")]
    Ca(ca::Args),
    #[cfg(feature = "authority")]
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses the command line, runs the command and answers its exit code.
pub fn main() -> ExitCode {
    dial::resolve_without_plugins();
    match parsed().command {
        Command::Run(args) => run::run(args),
        Command::Proxy(args) => proxy::run(args),
        #[cfg(feature = "authority")]
        Command::Connection(args) => connection::run(args),
        Command::Provider(args) => provider::run(&args),
        #[cfg(feature = "authority")]
        Command::Authority(args) => authority::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Why(args) => why::run(&args),
        Command::Audit(args) => audit::run(args),
        #[cfg(feature = "authority")]
        Command::Revoke(args) => revoke::run(args),
        #[cfg(feature = "authority")]
        Command::Freeze(args) => freeze::freeze(&args),
        #[cfg(feature = "authority")]
        Command::Unfreeze(args) => freeze::unfreeze(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Ready(args) => ready::run(args),
        Command::Env(args) => env::run(args),
        #[cfg(feature = "authority")]
        Command::Ca(args) => ca::run(args),
        #[cfg(feature = "authority")]
        Command::Demo(args) => demo::run(args),
        Command::Completions(args) => completions::run(args, Cli::command()),
        Command::Man(args) => man::run(args, Cli::command()),
    }
}

/// The command line of this process. Its first page of help is our own.
fn parsed() -> Cli {
    let command = Cli::command();
    let page = help::page(&command);
    let matches = command.override_help(page).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_of_run_stands_behind_two_dashes_and_keeps_its_flags() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["nexus-sidecar", "run"], arguments].concat());
        let Ok(Cli { command: Command::Run(args) }) = parse(&["--agent", "a", "--", "curl", "--agent", "b"]) else {
            panic!("it is a run")
        };
        assert_eq!((args.agent.as_str(), args.command.len()), ("a", 3));
        assert!(parse(&["curl"]).is_err() && parse(&[]).is_err() && parse(&["--"]).is_err());
    }
}
