//! `man`: the manual, one page for the program and one for each command, as `man` finds them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;

use super::exit;
use super::failure::{Failure, finish};

/// Write the manual pages into a folder
///
/// nexus-sidecar.1 is the program's page, nexus-sidecar-run.1 that of `run`, and so on. The folder
/// is made if it is not there: ~/.local/share/man/man1 is where a user's `man` looks.
#[derive(clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the pages.
pub(super) fn run(args: Args, command: Command) -> ExitCode {
    let dir = args.dir.display();
    let written = fs::create_dir_all(&args.dir).and_then(|()| clap_mangen::generate_to(command, &args.dir));
    finish(
        written
            .map(|()| ExitCode::from(exit::OK))
            .map_err(|error| Failure::failed(format!("cannot write the manual into {dir}: {error}"))),
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("share/man/man1");
        assert_eq!(run(Args { dir: dir.clone() }, Cli::command()), ExitCode::SUCCESS);
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = fs::read_to_string(dir.join(format!("nexus-sidecar-{}.1", command.get_name()))).unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{}", command.get_name());
        }
        let run = fs::read_to_string(dir.join("nexus-sidecar-run.1")).unwrap();
        assert!(run.contains("\\-\\-no\\-proxy"), "{run}");
        assert!(!dir.join("nexus-sidecar-man.1").exists() && !dir.join("nexus-sidecar-help.1").exists());
    }
}
