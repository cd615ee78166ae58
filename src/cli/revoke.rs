//! `revoke`: ends whatever an agent may borrow, every connection of a provider, or all of them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::failure::{Failure, finish, say};
use super::output::{columns, print};
use super::{harden, start, store};
use crate::authority::{Authority, EndedAgent, Revoked, State, Target};
use crate::config::Config;
use crate::model::{Workspace, is_agent_name};
use crate::telemetry::SystemClock;

pub(super) mod told;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar revoke --agent claude
  nexus-sidecar revoke --provider github
  nexus-sidecar revoke --all --yes
  nexus-sidecar connection revoke github        one connection alone
  nexus-sidecar freeze                          lend nothing for now, and end nothing

Exit codes: 0 also where a provider could not be told, 1 failed, 2 wrong usage.";

/// End what an agent may borrow, all connections of a provider, or all of them
///
/// It takes effect at once: whatever runs with them is closed, and sidecars hear of it within a second.
/// It is for good: a revoked connection can only be deleted and added again. Providers that take
/// credentials back are told, and the answer is waited for a few seconds; whatever serves this
/// store (`run`, `proxy`, `authority serve`) goes on telling them for a day.
///
/// An agent's connections stay for other agents: its grants end, and the keys that speak for it
/// alone.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration that says where store and key are [default: the user's own, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    target: Which,
    /// The workspace that it is about
    #[arg(long, value_name = "NAME", value_parser = Workspace::parse, default_value = "local")]
    workspace: Workspace,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not wait for providers
    #[arg(long)]
    no_wait: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// What this agent may borrow
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Every connection of this provider
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// Every connection
    #[arg(long)]
    all: bool,
}

/// Runs the command and answers its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    finish(execute(args).map(|()| ExitCode::SUCCESS))
}

fn execute(args: Args) -> Result<(), Failure> {
    harden::harden()?;
    let config = start::config(args.config.as_deref())?;
    let authority = existing(&config)?.within(args.workspace);
    let target = target(args.target)?;
    if !args.yes {
        ask(&authority, &target)?;
    }
    let mut revoked = authority.revoke(&target).map_err(|error| Failure::because(&error))?;
    if !args.no_wait {
        told::wait(&config, &authority, &mut revoked)?;
    }
    if args.json {
        let ended: Vec<_> = revoked.connections.iter().map(told::as_json).collect();
        let agent = revoked.agent.as_ref().map(agent_json);
        let line = json!({ "revoked": ended, "before": revoked.before.len(), "agent": agent });
        return print(&format!("{line:#}\n"));
    }
    show(&revoked)
}

/// The store, which must be there: nothing can be revoked where nothing is.
pub(super) fn existing(config: &Config) -> Result<Authority, Failure> {
    if !Authority::has_store(&config.authority) {
        return Err(Failure::failed("there is no store yet, and nothing that could be lent"));
    }
    store::open(&config.authority, Arc::new(SystemClock))
}

fn target(which: Which) -> Result<Target, Failure> {
    match which {
        Which { agent: Some(name), .. } if !is_agent_name(&name) => {
            Err(Failure::usage(format!("{name:?} cannot be the name of an agent")))
        }
        Which { agent: Some(name), .. } => Ok(Target::Agent(name)),
        Which { provider: Some(name), .. } => Ok(Target::Provider(name)),
        Which { .. } => Ok(Target::All),
    }
}

fn ask(authority: &Authority, target: &Target) -> Result<(), Failure> {
    let connections = authority.list().map_err(|error| Failure::because(&error))?;
    let alive = connections.iter().filter(|connection| connection.state != State::Revoked);
    let what = match target {
        Target::Agent(name) => format!("end whatever the agent {name} may borrow"),
        Target::Provider(name) => {
            let count = alive.filter(|connection| connection.provider.as_ref() == Some(name)).count();
            format!("revoke for good the connections of {name}, {count} of them")
        }
        _ => format!("revoke for good every connection, {} of them", alive.count()),
    };
    let without = format!("say --yes to {what} without being asked");
    match store::confirmed(&format!("{what}?"), &without)? {
        true => Ok(()),
        false => Err(Failure::failed("nothing was revoked")),
    }
}

fn show(revoked: &Revoked) -> Result<(), Failure> {
    if let Some(agent) = &revoked.agent {
        return print(&format!("{}\n", agent_line(agent)));
    }
    if !revoked.connections.is_empty() {
        let mut rows = vec![["NAME", "REVOKED"].map(str::to_owned)];
        rows.extend(revoked.connections.iter().map(|ended| [ended.name.clone(), told::said(&ended.revocation)]));
        print(&columns(&rows))?;
    }
    let before = match revoked.before.len() {
        0 => String::new(),
        count => format!("; {count} had been before"),
    };
    say(&format!("{} revoked{before}", count(revoked.connections.len(), "connection was", "connections were")));
    Ok(())
}

fn agent_line(agent: &EndedAgent) -> String {
    let EndedAgent { name, before, unknown, grants, keys } = agent;
    let (grants, keys) = (*grants as usize, *keys as usize);
    if *before && grants == 0 && keys == 0 {
        return format!("agent {name}: was revoked already");
    }
    let known = if *unknown { ", by its name alone: nobody had added it" } else { "" };
    let ended = format!("{} and {} ended", count(grants, "grant", "grants"), count(keys, "key", "keys"));
    format!("agent {name}: revoked{known}; {ended}")
}

fn agent_json(agent: &EndedAgent) -> serde_json::Value {
    json!({
        "name": agent.name,
        "before": agent.before,
        "known": !agent.unknown,
        "grants": agent.grants,
        "keys": agent.keys,
    })
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_told_with_what_ended() {
        let agent = EndedAgent { name: "bot".into(), before: false, unknown: false, grants: 2, keys: 1 };
        assert_eq!(agent_line(&agent), "agent bot: revoked; 2 grants and 1 key ended");
        let unknown = EndedAgent { unknown: true, grants: 0, keys: 0, ..agent.clone() };
        assert!(agent_line(&unknown).starts_with("agent bot: revoked, by its name alone"));
        let before = EndedAgent { before: true, grants: 0, keys: 0, ..agent };
        assert_eq!(agent_line(&before), "agent bot: was revoked already");
        assert_eq!(agent_json(&unknown)["known"], false);
    }

    #[test]
    fn one_target_is_named() {
        let none = || Which { agent: None, provider: None, all: false };
        assert_eq!(target(Which { agent: Some("a".into()), ..none() }).unwrap(), Target::Agent("a".into()));
        assert_eq!(target(Which { provider: Some("p".into()), ..none() }).unwrap(), Target::Provider("p".into()));
        assert_eq!(target(Which { all: true, ..none() }).unwrap(), Target::All);
        assert_eq!(target(Which { agent: Some("a:b".into()), ..none() }).unwrap_err().code(), 2);
    }
}
