//! `provider apply`: makes the store's providers what files say.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{own, told};
use crate::authority::{Definition, Plan, Profile, SecretChange};
use crate::cli::failure::{Failure, say};
use crate::cli::output::{print, print_json};
use crate::cli::store;
use crate::config::{Config, ProviderFile, SecretSource, load_providers};
use crate::model::Secret;

pub(super) const EXAMPLES: &str = "\
A file holds one provider:
  version: 1
  provider:
    name: tickets
    title: Tickets
    contract:
      - { hosts: [api.tickets.example], strategy: oauth2 }
    oauth:
      auth_url: https://tickets.example/oauth/authorize
      token_url: https://tickets.example/oauth/token
      client_id: 1f0c2d
      client_secret: { env: TICKETS_SECRET }     or { file: PATH }, beside the provider's file
      client_auth: basic                         or post, or none for a public client
      scopes: [read]
      revocation: https://tickets.example/oauth/revoke
Without `oauth`, its `fields` are what a person gives: - { name: token, about: … }.

Examples:
  nexus-sidecar provider apply tickets.yaml --dry-run
  nexus-sidecar provider apply providers/*.yaml --prune
  nexus-sidecar provider apply tickets.yaml --yes --json";

/// More than a secret is ever long, in bytes.
const LONGEST: u64 = 64 * 1024;

#[derive(clap::Args)]
pub(super) struct Apply {
    /// Providers' files, one provider each
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Delete every provider of the store that no file names
    #[arg(long)]
    prune: bool,
}

/// Applies files: all of what they change, or nothing.
pub(super) fn apply(config: &Config, args: &Apply, as_json: bool) -> Result<(), Failure> {
    let files = load_providers(&args.files).map_err(|problems| Failure::invalid(&problems))?;
    let profiles = files.iter().map(profile).collect::<Result<Vec<_>, _>>()?;
    let opened = own::existing(config)?;
    let plan = match &opened {
        Some(authority) => authority.plan_providers(profiles, args.prune).map_err(|error| own::refused(&error))?,
        None => Plan::of_nothing(profiles),
    };
    let told = told::json(&plan);
    if !as_json {
        print(&told::text(&plan))?;
    }
    let is_done = !plan.is_empty() && !args.dry_run;
    if is_done {
        if !args.yes {
            agreed(as_json)?;
        }
        // A key may be read once only: from a descriptor, or from a person.
        let authority = opened.map_or_else(|| own::open(config), Ok)?;
        authority.apply_providers(plan).map_err(|error| own::refused(&error))?;
    }
    finish(told, is_done, args.dry_run, as_json)
}

fn finish(mut told: Value, is_done: bool, dry_run: bool, as_json: bool) -> Result<(), Failure> {
    if as_json {
        told["applied"] = is_done.into();
        return print_json(&told);
    }
    match (is_done, dry_run) {
        (true, _) => say("applied"),
        (false, true) => say("nothing was changed: this was a dry run"),
        (false, false) => {}
    }
    Ok(())
}

fn agreed(as_json: bool) -> Result<(), Failure> {
    const WITHOUT: &str = "say --yes to apply this without being asked, or --dry-run to look only";
    if as_json {
        return Err(Failure::usage(WITHOUT));
    }
    if store::confirmed("apply this?", WITHOUT)? { Ok(()) } else { Err(Failure::failed("nothing was changed")) }
}

fn profile(file: &ProviderFile) -> Result<Profile, Failure> {
    let definition = Definition::of_file(file).map_err(|error| Failure::usage(format!("{}: {error}", file.at)))?;
    let source = file.oauth.as_ref().and_then(|oauth| oauth.client_secret.as_ref());
    let secret = match source {
        Some(source) => SecretChange::Set(read(source, file)?),
        None => SecretChange::Remove,
    };
    Ok(Profile { definition, secret })
}

fn read(source: &SecretSource, file: &ProviderFile) -> Result<Secret, Failure> {
    let whose = format!("the client secret of {}", file.provider.connection);
    let (found, origin) = match source {
        SecretSource::Env(name) => {
            let value = std::env::var_os(name).map(|value| Secret::new(value.into_encoded_bytes()));
            let unset = || Failure::usage(format!("the environment variable {name} for {whose} is not set"));
            (value.ok_or_else(unset)?, format!("the environment variable {name}"))
        }
        SecretSource::File(path) => {
            let path = file.at.file.parent().unwrap_or(Path::new("")).join(path);
            let failed = |error| Failure::failed(format!("cannot read {} for {whose}: {error}", path.display()));
            (from_file(&path).map_err(failed)?, path.display().to_string())
        }
    };
    found.line().ok_or_else(|| Failure::usage(format!("{origin} does not hold {whose}: it must be one line")))
}

fn from_file(path: &Path) -> io::Result<Secret> {
    // Sized once: a vector that grows leaves copies behind that nobody wipes.
    let mut bytes = Vec::with_capacity(4096);
    let length = File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    let secret = Secret::new(bytes);
    if length as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 64 KiB"));
    }
    Ok(secret)
}

/// `provider delete`.
pub(super) fn delete(config: &Config, name: &str, yes: bool, as_json: bool) -> Result<(), Failure> {
    let authority = own::existing(config)?;
    let found = authority.as_ref().map(|authority| authority.provider_named(name)).transpose();
    let found = found.map_err(|error| own::refused(&error))?.flatten();
    let (Some(authority), Some(found)) = (authority, found) else { return Err(own::missing(name)) };
    if !yes {
        let moved = authority.connections_moved_by(&found.id, None).map_err(|error| own::refused(&error))?;
        if let Some(line) = told::attention(&moved) {
            say(&line);
        }
        let without = format!("say --yes to delete the provider {name} without being asked");
        if !store::confirmed(&format!("delete the provider {name}?"), &without)? {
            return Err(Failure::failed("nothing was deleted"));
        }
    }
    let moved = authority.delete_provider(&found.id).map_err(|error| own::refused(&error))?;
    if as_json {
        return print_json(&json!({ "deleted": name, "attention": moved }));
    }
    print(&format!("provider {name}: deleted\n"))?;
    told::attention(&moved).iter().for_each(|line| say(line));
    Ok(())
}
