//! `authority agent`: the agents that may borrow at all.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{In, moment, refused};
use crate::authority::{Granted, ListedAgent};
use crate::cli::failure::{Failure, say};
use crate::cli::output::{columns, print, print_json, safe};

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority agent add triage-bot
  nexus-sidecar authority agent list
  nexus-sidecar authority agent revoke triage-bot";

/// Manage agents: add, list, revoke
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
    /// Add an agent, by the name that its sidecar knows it by
    ///
    /// It may borrow nothing yet: see `authority allow`. One that was revoked is taken in again,
    /// without what it was allowed.
    #[command(after_help = "Examples:\n  nexus-sidecar authority agent add triage-bot")]
    Add {
        /// Its name
        agent: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List all agents, and what each may borrow
    #[command(visible_alias = "ls", after_help = "Examples:\n  nexus-sidecar authority agent list --json")]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke an agent: nothing is lent to it, and sidecars drop what it has
    #[command(after_help = "Examples:\n  nexus-sidecar authority agent revoke triage-bot")]
    Revoke {
        /// Its name
        agent: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) fn execute(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Add { agent, json } => {
            let added = args.within.open(config)?.add_agent(&agent).map_err(|error| refused(&error))?;
            tell(&added, "added", json)
        }
        Command::Revoke { agent, json } => {
            let authority = args.within.existing(config)?;
            let missing = || Failure::failed(format!("there is no agent {:?}", safe(&agent)));
            let revoked = authority.ok_or_else(missing)?.revoke_agent(&agent).map_err(|error| refused(&error))?;
            tell(&revoked, "revoked", json)
        }
        Command::List { json } => list(config, &args.within, json),
    }
}

fn tell(agent: &ListedAgent, done: &str, json: bool) -> Result<(), Failure> {
    if json { print_json(&as_json(agent, &[])) } else { print(&format!("agent {}: {done}\n", agent.name)) }
}

fn list(config: Option<&Path>, within: &In, json: bool) -> Result<(), Failure> {
    let (agents, grants) = match within.existing(config)? {
        Some(authority) => {
            (authority.agents().map_err(|error| refused(&error))?, authority.grants().map_err(|error| refused(&error))?)
        }
        None => Default::default(),
    };
    if json {
        return print_json(&agents.iter().map(|agent| as_json(agent, &grants)).collect());
    }
    if agents.is_empty() {
        say("there are no agents yet: see nexus-sidecar authority agent add --help");
        return Ok(());
    }
    print(&table(&agents, &grants))
}

fn table(agents: &[ListedAgent], grants: &[Granted]) -> String {
    let mut rows = vec![["NAME", "STATE", "MAY BORROW", "ADDED"].map(str::to_owned)];
    rows.extend(agents.iter().map(|agent| {
        let names: Vec<&str> = of(agent, grants).map(|grant| grant.name.as_str()).collect();
        [
            agent.name.clone(),
            state(agent).to_owned(),
            if names.is_empty() { "-".to_owned() } else { names.join(",") },
            moment(agent.created_at),
        ]
    }));
    columns(&rows)
}

fn as_json(agent: &ListedAgent, grants: &[Granted]) -> Value {
    let connections: Vec<Value> =
        of(agent, grants).map(|grant| json!({"id": grant.connection, "name": grant.name})).collect();
    json!({
        "name": agent.name,
        "state": state(agent),
        "connections": connections,
        "created_at": moment(agent.created_at),
        "revoked_at": agent.revoked_at.map(moment),
    })
}

fn of<'a>(agent: &'a ListedAgent, grants: &'a [Granted]) -> impl Iterator<Item = &'a Granted> {
    grants.iter().filter(|grant| grant.agent == agent.name)
}

fn state(agent: &ListedAgent) -> &'static str {
    if agent.revoked_at.is_some() { "revoked" } else { "active" }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn each_agent_stands_beside_what_it_may_borrow() {
        let created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let agent = |name: &str, revoked_at| ListedAgent { name: name.into(), created_at, revoked_at };
        let grant = |agent: &str, name: &str| Granted {
            agent: agent.into(),
            connection: "id".into(),
            name: name.into(),
            created_at,
        };
        let agents = [agent("bot", None), agent("old bot", Some(created_at))];
        let grants = [grant("bot", "github"), grant("bot", "jira"), grant("bo", "s3")];
        let shown = table(&agents, &grants);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1], "bot      active   github,jira  2027-01-15T08:00:00Z");
        assert_eq!(lines[2], "old bot  revoked  -            2027-01-15T08:00:00Z");
        assert_eq!(as_json(&agents[0], &grants)["connections"][1], json!({"id": "id", "name": "jira"}));
    }
}
