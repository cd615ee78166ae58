//! `authority rotate-key`: everything that is sealed goes under the current master key.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::authority::{self, Authority, Rotated};
use crate::cli::failure::{Failure, chain, say};
use crate::cli::output::{print, print_json};
use crate::cli::{exit, harden, start, store};
use crate::config::Config;
use crate::sign::Sealer;
use crate::telemetry::SystemClock;
use crate::tls::{Ca, CaError};

const EXAMPLES: &str = "\
A new key in four steps, while everything goes on:
  1. Make it:  (umask 077; head -c 32 /dev/urandom | base64 > new.key)
     Every process that uses the store gets it beside the old one, and is started anew:
       authority: { key: { file: old.key }, other_keys: [ { file: new.key } ] }
  2. Then each of them changes to it, and is started anew:
       authority: { key: { file: new.key }, other_keys: [ { file: old.key } ] }
  3. Once the last one has changed:  nexus-sidecar authority rotate-key
  4. When it says that nothing is left, take the old key out of other_keys. Keep it for as long as
     you keep backups that were made before.

It may be interrupted, and run again.

Examples:
  nexus-sidecar authority rotate-key --config nexus-sidecar.yaml
  nexus-sidecar authority rotate-key --json | jq .done";

/// Seal the store and the CA under another master key, while they are in use
///
/// What is sealed under one of authority.other_keys goes under authority.key: data keys of
/// connections and providers, the key of the audit, and the CA's of ca.dir. Credentials themselves
/// are not opened. Exit 1 if something opens under none of the keys.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The result as a JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Outcome {
    /// The store, and what was done in it.
    store: Option<(String, Rotated)>,
    /// Rows that somebody sealed under another key while it ran.
    late: u64,
    ca: Result<usize, CaError>,
}

/// Rotates, and answers the exit code.
pub(super) fn execute(config: Option<&Path>, args: &Args) -> Result<ExitCode, Failure> {
    harden::harden()?;
    let config = start::config(config)?;
    let outcome = rotate(&config)?;
    if args.json {
        let store = outcome.store.as_ref();
        let rotated = store.map(|(_, rotated)| *rotated).unwrap_or_default();
        print_json(&json!({
            "store": store.map(|(name, _)| name),
            "rows": rotated.rows,
            "unusable": rotated.unusable,
            "late": outcome.late,
            "ca_keys": outcome.ca.as_ref().ok(),
            "ca_error": outcome.ca.as_ref().err().map(|error| chain(error)),
            "done": outcome.done(),
        }))?;
    } else {
        print(&told(&outcome, &config))?;
    }
    Ok(ExitCode::from(if outcome.failed() { exit::FAILED } else { exit::OK }))
}

fn rotate(config: &Config) -> Result<Outcome, Failure> {
    let other = "a key to rotate from or to is needed beside authority.key, in authority.other_keys: \
                 the steps are in nexus-sidecar authority rotate-key --help";
    if config.authority.other_keys.is_empty() {
        return Err(Failure::usage(other));
    }
    let has_store = config.is_embedded() && Authority::has_store(&config.authority);
    // A key is made where there is nothing yet; here that would be the wrong one.
    if !has_store && !config.ca_dir.is_dir() {
        let (store, ca) = (config.authority.data_dir.display(), config.ca_dir.display());
        return Err(Failure::failed(format!("nothing is sealed yet: no store is in {store}, and no CA in {ca}")));
    }
    let keys = store::keys(&config.authority)?;
    if keys.others.iter().all(|found| found.is(&keys.key)) {
        return Err(Failure::usage(format!("authority.other_keys holds the same key as authority.key: {other}")));
    }
    if !has_store {
        let sealer = authority::ca_sealer(&keys.key, &keys.others).map_err(|error| Failure::because(&error))?;
        return Ok(Outcome { store: None, late: 0, ca: reseal(config, &sealer) });
    }
    let authority = store::open_with(&config.authority, &keys, Arc::new(SystemClock))?;
    let rotated = authority.rotate_key(shown()).map_err(|error| Failure::because(&error))?;
    // What was written behind its back tells that a process still seals under another key.
    let late = match rotated.unusable {
        0 => authority.rotate_key(|_| {}).map_err(|error| Failure::because(&error))?.rows,
        _ => 0,
    };
    let ca = reseal(config, authority.ca_sealer());
    Ok(Outcome { store: Some((authority.store_name(), rotated)), late, ca })
}

fn reseal(config: &Config, sealer: &Sealer) -> Result<usize, CaError> {
    Ca::reseal(&config.ca_dir, sealer)
}

/// How far it has come, for who watches.
fn shown() -> impl FnMut(Rotated) {
    let watched = io::stderr().is_terminal();
    let mut said = 0;
    move |rotated| {
        // Once a thousand rows: a line for each batch would be a page.
        if watched && rotated.rows / 1000 > said {
            said = rotated.rows / 1000;
            let _ = writeln!(io::stderr().lock(), "{} rows so far", rotated.rows);
        }
    }
}

impl Outcome {
    fn failed(&self) -> bool {
        self.ca.is_err() || self.store.as_ref().is_some_and(|(_, rotated)| rotated.unusable > 0)
    }

    /// Nothing needs another key any more.
    fn done(&self) -> bool {
        !self.failed() && self.late == 0
    }
}

fn told(outcome: &Outcome, config: &Config) -> String {
    let mut text = String::new();
    if let Some((name, Rotated { rows, unusable })) = &outcome.store {
        text += &format!("store  {name}: {rows} rows went under authority.key\n");
        if *unusable > 0 {
            text += &format!(
                "       {unusable} rows open under none of the keys: name the one that they are under in \
                 authority.other_keys, or give these connections new credentials, and run this again\n"
            );
        }
    }
    match &outcome.ca {
        Ok(0) => {}
        Ok(count) => text += &format!("CA     {}: {count} keys went under authority.key\n", config.ca_dir.display()),
        Err(error) => text += &format!("CA     {}\n", chain(error)),
    }
    if outcome.late > 0 {
        say(&format!(
            "{} rows came under another key meanwhile: a process still has that one as authority.key; \
             change it, start it anew, and run this again",
            outcome.late
        ));
    }
    let end = match outcome.done() {
        true => {
            "nothing is left under another key: those of authority.other_keys can be taken out, and kept for old backups"
        }
        false => "keep the keys of authority.other_keys: not all is under authority.key",
    };
    format!("{text}{end}\n")
}
