//! `authority key`: API keys. A key's text goes to standard output or into a file, once.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{In, moment, moment_or_dash, refused};
use crate::authority::{ListedKey, NewKey, Scope};
use crate::cli::failure::{Failure, say};
use crate::cli::output::{columns, print, print_json, safe};
use crate::config;
use crate::telemetry::{Clock as _, SystemClock};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority key add --scope sidecar --agent triage-bot --out sidecar.key
  nexus-sidecar authority key list
  nexus-sidecar authority key revoke k_0123456789abcdef";

const ADD: &str = "\
Scopes:
  admin     manages the workspace; reads no credentials
  sidecar   borrows for the agents of --agent; other agents do not exist for it
  lease     takes tokens of the connections of --connection, by the calls of old clients
  app       an application that has signed its own users in
  agent     reads states for the one agent of --agent; no credentials

Examples:
  nexus-sidecar authority key add --scope sidecar --agent triage-bot --agent reviewer \\
      --out sidecar.key
  nexus-sidecar authority key add --scope lease --connection github --name old-bridge \\
      --expires-in 30d
  nexus-sidecar authority key add --name ops | pass insert -m nexus/admin";

const LIST: &str = "\
Examples:
  nexus-sidecar authority key list
  nexus-sidecar authority key list --json";

const REVOKE: &str = "\
Examples:
  nexus-sidecar authority key revoke k_0123456789abcdef    its id, as `key list` shows it";

/// Manage API keys: make, list, revoke
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
    /// Make a key and print it: once, to standard output or into a file
    ///
    /// Only its hash is kept. What else is said about it goes to standard error.
    #[command(after_help = ADD)]
    Add(Add),
    /// List all keys: ids, scopes and ends, never a key
    #[command(visible_alias = "ls", after_help = LIST)]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key for good
    #[command(after_help = REVOKE)]
    Revoke {
        /// Its id
        id: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Add {
    /// What it may do
    #[arg(long, value_enum, default_value_t = Word::Admin)]
    scope: Word,
    /// An agent that it is about; may be given several times for a sidecar
    #[arg(long, value_name = "AGENT")]
    agent: Vec<String>,
    /// A connection that it may take, by name or id; may be given several times
    #[arg(long, value_name = "CONNECTION")]
    connection: Vec<String>,
    /// What it is for, to know it by
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// When it ends, counted from now, such as 12h or 90d [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires_in: Option<Duration>,
    /// Write the key into a new file, mode 0600, and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// As a JSON object; the key is in it, unless --out has it
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Word {
    Admin,
    Sidecar,
    Lease,
    App,
    Agent,
}

/// Runs the command.
pub(super) fn execute(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Add(add) => make(config, &args.within, add),
        Command::List { json } => list(config, &args.within, json),
        Command::Revoke { id, json } => {
            let authority = args.within.existing(config)?;
            let missing = || Failure::failed(format!("there is no key {:?}", safe(&id)));
            let key = authority.ok_or_else(missing)?.revoke_key(&id).map_err(|error| refused(&error))?;
            if json { print_json(&as_json(&key)) } else { print(&format!("key {}: revoked\n", key.id)) }
        }
    }
}

fn make(config: Option<&Path>, within: &In, args: Add) -> Result<(), Failure> {
    let scope = scope(args.scope, args.agent, args.connection)?;
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(Failure::usage(format!("{} is there already, and no file is written over", out.display())));
    }
    let expires_at = args.expires_in.map(|time| SystemClock.wall() + time);
    let authority = within.open(config)?;
    let (key, made) =
        authority.add_key(NewKey { name: args.name, scope, expires_at }).map_err(|error| refused(&error))?;
    if let Some(out) = &args.out {
        if let Err(error) = key.write_to(out) {
            // Nobody will ever have it.
            let revoked = authority.revoke_key(&made.id);
            return Err(revoked.map_or_else(|error| refused(&error), |_| refused(&error)));
        }
        say(&format!("wrote the key into {}", out.display()));
    }
    let text = if args.out.is_none() { key.text() } else { None };
    if args.json {
        let mut shown = as_json(&made);
        if let Some(text) = text {
            shown["key"] = text.into();
        }
        return print_json(&shown);
    }
    match text {
        Some(text) => {
            say(&format!("made the key {}: keep it, it is not shown again", summary(&made)));
            print(&format!("{text}\n"))
        }
        None => print(&format!("key {}\n", summary(&made))),
    }
}

/// The scope that the flags say. Flags that would say nothing are refused.
fn scope(word: Word, agents: Vec<String>, connections: Vec<String>) -> Result<Scope, Failure> {
    let about_agents = matches!(word, Word::Sidecar | Word::Agent);
    if !agents.is_empty() && !about_agents {
        return Err(Failure::usage("--agent is for the scopes sidecar and agent"));
    }
    if !connections.is_empty() && !matches!(word, Word::Lease) {
        return Err(Failure::usage("--connection is for the scope lease"));
    }
    Ok(match word {
        Word::Admin => Scope::Admin,
        Word::App => Scope::App,
        Word::Lease => Scope::Lease { connections: connections.into_iter().collect() },
        Word::Sidecar => Scope::Sidecar { agents: agents.into_iter().collect() },
        Word::Agent => match <[String; 1]>::try_from(agents) {
            Ok([agent]) => Scope::Agent { agent },
            Err(_) => return Err(Failure::usage("the scope agent is about one agent: say --agent once")),
        },
    })
}

fn list(config: Option<&Path>, within: &In, json: bool) -> Result<(), Failure> {
    let keys = match within.existing(config)? {
        Some(authority) => authority.keys().map_err(|error| refused(&error))?,
        None => Vec::new(),
    };
    if json {
        return print_json(&keys.iter().map(as_json).collect());
    }
    if keys.is_empty() {
        say("there are no keys yet: see nexus-sidecar authority key add --help");
        return Ok(());
    }
    print(&table(&keys, SystemClock.wall()))
}

fn table(keys: &[ListedKey], now: SystemTime) -> String {
    let mut rows = vec![["ID", "NAME", "SCOPE", "FOR", "STATE", "MADE", "EXPIRES"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        let about = about(&key.scope);
        [
            key.id.clone(),
            if key.name.is_empty() { "-".to_owned() } else { safe(&key.name) },
            key.scope.word().to_owned(),
            if about.is_empty() { "-".to_owned() } else { about.join(",") },
            key.state(now).to_owned(),
            moment(key.created_at),
            moment_or_dash(key.expires_at),
        ]
    }));
    columns(&rows)
}

fn as_json(key: &ListedKey) -> Value {
    let mut shown = json!({
        "id": key.id,
        "name": key.name,
        "scope": key.scope.word(),
        "state": key.state(SystemClock.wall()),
        "created_at": moment(key.created_at),
        "expires_at": key.expires_at.map(moment),
        "revoked_at": key.revoked_at.map(moment),
    });
    match &key.scope {
        Scope::Sidecar { .. } | Scope::Agent { .. } => shown["agents"] = about(&key.scope).into(),
        Scope::Lease { .. } => shown["connections"] = about(&key.scope).into(),
        Scope::Admin | Scope::App => {}
    }
    shown
}

fn summary(key: &ListedKey) -> String {
    let about = about(&key.scope);
    let about = if about.is_empty() { String::new() } else { format!(" for {}", about.join(", ")) };
    let end = key.expires_at.map(|end| format!(", until {}", moment(end))).unwrap_or_default();
    format!("{}: {}{about}{end}", key.id, key.scope.word())
}

fn about(scope: &Scope) -> Vec<&str> {
    match scope {
        Scope::Sidecar { agents } => agents.iter().map(String::as_str).collect(),
        Scope::Lease { connections } => connections.iter().map(String::as_str).collect(),
        Scope::Agent { agent } => vec![agent],
        Scope::Admin | Scope::App => Vec::new(),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
    let found = config::duration(text).filter(|time| time.as_secs() > 0 && *time <= LONGEST);
    found.ok_or_else(|| "it is not a time with its unit, such as 12h or 90d, of 3650d at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scope: Scope) -> ListedKey {
        let created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        ListedKey { id: "k_1".into(), name: String::new(), scope, created_at, expires_at: None, revoked_at: None }
    }

    #[test]
    fn flags_that_say_nothing_are_refused() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (word, agents, connections) in [
            (Word::Admin, &["a"][..], &[][..]),
            (Word::App, &[], &["c"]),
            (Word::Sidecar, &["a"], &["c"]),
            (Word::Lease, &["a"], &["c"]),
            (Word::Agent, &[], &[]),
            (Word::Agent, &["a", "b"], &[]),
        ] {
            assert_eq!(scope(word, names(agents), names(connections)).unwrap_err().code(), 2);
        }
        assert_eq!(scope(Word::Agent, names(&["a"]), vec![]).unwrap(), Scope::Agent { agent: "a".into() });
    }

    #[test]
    fn a_table_stands_in_columns_and_says_what_a_key_is_for() {
        let agents = ["a", "b"].map(str::to_owned).into();
        let shown = table(&[key(Scope::Admin), key(Scope::Sidecar { agents })], SystemTime::UNIX_EPOCH);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], "k_1  -     sidecar  a,b  active  2027-01-15T08:00:00Z  -");
        assert_eq!(as_json(&key(Scope::Agent { agent: "a".into() }))["agents"], json!(["a"]));
        assert_eq!(summary(&key(Scope::Agent { agent: "a".into() })), "k_1: agent for a");
    }

    #[test]
    fn times_have_their_unit() {
        assert_eq!(time("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for bad in ["", "0s", "90", "500ms", "4000d", "-1d", "99999999999999999999d"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
