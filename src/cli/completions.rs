//! `completions`: what a shell needs to complete our command line.

use std::io::Write;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::exit;
use super::failure::{Failure, finish};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar completions bash > ~/.local/share/bash-completion/completions/nexus-sidecar
  nexus-sidecar completions zsh  > ~/.zfunc/_nexus-sidecar      with ~/.zfunc in fpath, before compinit
  nexus-sidecar completions fish > ~/.config/fish/completions/nexus-sidecar.fish";

/// Print the completions of a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for one shell.
pub(super) fn run(args: Args, command: Command) -> ExitCode {
    let script = script(args.shell, command);
    let written = std::io::stdout().lock().write_all(&script);
    finish(
        written
            .map(|()| ExitCode::from(exit::OK))
            .map_err(|error| Failure::failed(format!("cannot write the completions: {error}"))),
    )
}

/// The script as bytes: writing it into memory cannot fail, where a closed pipe would panic.
fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    if shell == Shell::Bash {
        script = with_its_name_in_one_spelling(script);
    }
    script
}

/// clap_complete spells the dash of a program's name in two ways, so that bash finds the flags of
/// no command (clap issue 6421). Without that bug there is nothing to replace.
fn with_its_name_in_one_spelling(script: Vec<u8>) -> Vec<u8> {
    String::from_utf8_lossy(&script).replace("nexus__subcmd__sidecar", "nexus__sidecar").into_bytes()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn each_script_knows_every_command_and_a_flag() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(script(shell, Cli::command())).unwrap();
            for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(text.contains("no-proxy"), "{shell}");
        }
    }

    #[test]
    fn bash_has_an_arm_for_every_state_that_it_reaches() {
        let text = String::from_utf8(script(Shell::Bash, Cli::command())).unwrap();
        let states = text.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"'));
        let states: Vec<_> = states.filter(|state| !state.is_empty()).collect();
        assert!(states.len() > 10);
        for state in states {
            assert!(text.lines().any(|line| line.trim() == format!("{state})")), "{state}");
        }
    }
}
