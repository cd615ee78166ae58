//! The first page of help: every command on one screen of 24 lines and 80 columns.

use std::fmt::Write as _;

use clap::Command;

/// Commands by what one wants to do, each with its one line. A command that this build has not is
/// left out; one that stands nowhere here is listed last, with the first words of its own help.
const PAGE: [(&str, &[(&str, &str)]); 6] = [
    (
        "Use",
        &[
            ("run", "run a command whose requests get credentials on the way"),
            ("connection", "store credentials, and name the hosts they may go to"),
            ("provider", "list the services that are known, and what each allows"),
        ],
    ),
    (
        "Rules",
        &[
            ("policy", "check a policy, run its tests, explain a decision"),
            ("why", "say why a request was refused, and what would allow it"),
            ("audit", "follow, search and verify the record of what was done"),
        ],
    ),
    (
        "Serve",
        &[
            ("proxy", "serve agents that run elsewhere, with names and passwords"),
            ("authority", "serve connections to a fleet, and say who may borrow them"),
            ("ready", "ask a running sidecar whether it is ready"),
            ("env", "print the variables of an agent that `run` cannot start"),
            ("ca", "write the certificates that such an agent must trust"),
        ],
    ),
    (
        "Stop",
        &[
            ("revoke", "end what an agent may borrow, or connections for good"),
            ("freeze", "lend nothing for now, and end nothing"),
            ("unfreeze", "lend again what was held back"),
        ],
    ),
    (
        "Look",
        &[
            ("doctor", "check the whole set-up, and say what to do"),
            ("demo", "see the whole loop on this machine alone, without a token"),
        ],
    ),
    ("More", &[("completions", "print the completions of a shell")]),
];

/// The page of this command line.
pub(super) fn page(command: &Command) -> String {
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{about}\n\nUsage: {name} COMMAND; its options and examples: COMMAND --help\n\n");
    let there: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let mut rows = Vec::new();
    for (group, commands) in PAGE {
        let present = commands.iter().filter(|(name, _)| there.iter().any(|there| there.get_name() == *name));
        rows.extend(present.enumerate().map(|(index, (name, says))| {
            (if index == 0 { group } else { "" }, (*name).to_owned(), (*says).to_owned())
        }));
    }
    for other in there {
        if other.get_name() != "help" && !rows.iter().any(|(_, name, _)| name == other.get_name()) {
            let says = other.get_about().map(ToString::to_string).unwrap_or_default();
            rows.push(("", other.get_name().to_owned(), says.chars().take(58).collect()));
        }
    }
    for (group, name, says) in rows {
        let _ = writeln!(text, "  {group:<6} {name:<12} {says}");
    }
    let demo = if command.find_subcommand("demo").is_some() { format!("{name} demo, then: ") } else { String::new() };
    let _ = write!(
        text,
        "\nStart with: {demo}{name} doctor\n\
         Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 denied; `run`: its command's\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn every_command_stands_on_one_screen() {
        let command = Cli::command();
        let page = page(&command);
        assert!(page.lines().count() <= 24, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        for own in command.get_subcommands().filter(|own| !own.is_hide_set()) {
            let line = page.lines().find(|line| line.split_whitespace().take(2).any(|word| word == own.get_name()));
            assert!(line.is_some_and(|line| line.split_whitespace().count() > 4), "{}: {page}", own.get_name());
        }
    }

    /// A line of its own, in its own group: the page is written, not generated.
    #[test]
    fn every_command_has_its_line() {
        for own in Cli::command().get_subcommands().filter(|own| !own.is_hide_set()) {
            let known = PAGE.iter().any(|(_, commands)| commands.iter().any(|(name, _)| *name == own.get_name()));
            assert!(known, "`{}` needs a line in PAGE", own.get_name());
        }
    }

    #[test]
    fn every_command_is_told_as_an_order_and_without_a_full_stop() {
        let mut found = Vec::new();
        all(&Cli::command(), "", &mut found);
        for (name, command) in found.iter().filter(|(name, _)| name.contains(' ')) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let first = about.split(' ').next().unwrap_or_default();
            assert!(!first.ends_with('s') && !about.ends_with('.') && first.len() > 1, "{name}: {about}");
        }
    }

    #[test]
    fn no_help_is_wider_than_a_hundred_columns() {
        fn walk(command: &mut Command, wide: &mut Vec<String>) {
            let name = command.get_name().to_owned();
            let text = command.render_long_help().to_string();
            wide.extend(text.lines().filter(|line| line.chars().count() > 100).map(|line| format!("{name}: {line}")));
            command.get_subcommands_mut().for_each(|own| walk(own, wide));
        }
        let mut wide = Vec::new();
        walk(&mut Cli::command(), &mut wide);
        assert!(wide.is_empty(), "{}", wide.join("\n"));
    }

    /// Every command below a command, itself included, under its whole name.
    fn all(command: &Command, above: &str, found: &mut Vec<(String, Command)>) {
        let name = format!("{above}{}", command.get_name());
        for own in command.get_subcommands().filter(|own| !own.is_hide_set() && own.get_name() != "help") {
            all(own, &format!("{name} "), found);
        }
        found.push((name, command.clone()));
    }

    /// What stands in a command's examples, one command line each.
    fn examples(text: &str) -> Vec<String> {
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().filter_map(|line| {
            let start = line.strip_prefix("  ")?.find("nexus-sidecar ")?;
            // Two blanks and more stand before a remark; a pipe and a file end a command line.
            let line = &line[start + 2..];
            let ends = ["   ", " | ", " > ", " >> ", " < "];
            let end = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
            Some(line[..end].trim().to_owned())
        });
        lines.collect()
    }

    /// Splits as a shell would, as far as examples go.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if open == c => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, ' ') if !word.is_empty() => words.push(std::mem::take(&mut word)),
                (None, ' ') => {}
                _ => word.push(c),
            }
        }
        words.extend((!word.is_empty()).then_some(word));
        words
    }

    #[test]
    fn every_command_has_examples_and_each_is_a_command_line_of_ours() {
        let mut found = Vec::new();
        all(&Cli::command(), "", &mut found);
        let mut wrong = Vec::new();
        for (name, mut command) in found {
            let text = command.render_long_help().to_string();
            let examples = examples(&text);
            if examples.is_empty() {
                wrong.push(format!("{name}: its --help has no example"));
            }
            for line in examples {
                use clap::error::ErrorKind::{DisplayHelp, DisplayVersion, InvalidSubcommand};
                match Cli::command().try_get_matches_from(words(&line)) {
                    // What the lean build leaves to another, such as `ca export`.
                    Err(error) if !cfg!(feature = "authority") && error.kind() == InvalidSubcommand => {}
                    Err(error) if !matches!(error.kind(), DisplayHelp | DisplayVersion) => {
                        wrong.push(format!("{name}: {line}: {error}"));
                    }
                    _ => {}
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(words("a 'b c' \"d\"e"), ["a", "b c", "de"]);
    }
}
