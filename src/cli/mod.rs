//! The command line: one file per subcommand; the only place that prints.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod audit;
#[cfg(feature = "authority")]
mod connection;
mod demo;
mod policy;
mod proxy;
mod ready;
mod run;

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
}

#[derive(Parser)]
#[command(name = "nexus-sidecar", version, about, arg_required_else_help = true)]
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
    Policy(policy::Args),
    Audit(audit::Args),
    Ready(ready::Args),
    Demo(demo::Args),
}

/// Parses the command line, runs the command and answers its exit code.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Proxy(args) => proxy::run(args),
        #[cfg(feature = "authority")]
        Command::Connection(args) => connection::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Ready(args) => ready::run(args),
        Command::Demo(args) => demo::run(args),
    }
}
