//! `authority restore`: a store from a backup.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::backup::{in_words, key_in_words, refused, tables};
use super::moment;
use crate::authority::{Authority, Restored};
use crate::cli::failure::{Failure, say};
use crate::cli::output::{print, print_json};
use crate::cli::{harden, start, store};
use crate::config::{AuthorityConfig, KeySource};
use crate::telemetry::SystemClock;

const EXAMPLES: &str = "\
Put the key of the backed up store in its place first (authority.key; for a passphrase, key.salt of
the old data folder). The store that is restored into is made here, or has never been used.

What was revoked, changed or deleted after the backup was made is as it was then: revoke it again.
Sidecars of the old store ask for everything anew.

Examples:
  nexus-sidecar authority restore store.backup
  nexus-sidecar authority restore store.backup --config new-machine.yaml --json
  ssh vault cat store.backup | nexus-sidecar authority restore -";

/// Make a store of a backup
///
/// All of it or nothing. A backup that was cut off or changed, or that another key sealed, is refused.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The backup; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What was done, as a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn execute(config: Option<&Path>, args: &Args) -> Result<(), Failure> {
    harden::harden()?;
    let config = start::config(config)?.authority;
    let mut from: Box<dyn BufRead> = match args.file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => {
            let opened = File::open(&args.file);
            let failed = |error| Failure::usage(format!("cannot open the backup {}: {error}", args.file.display()));
            Box::new(BufReader::new(opened.map_err(failed)?))
        }
    };
    key_is_there(&config)?;
    let keys = store::keys(&config)?;
    let authority = store::open_with(&config, &keys, Arc::new(SystemClock))?;
    let name = authority.store_name();
    let restored = match authority.restore(&mut from) {
        Ok(restored) => restored,
        Err(error) => {
            let made = authority.made();
            let left = authority.unmake(&config);
            match left {
                Err(left) => say(&format!("the store {name}, which was made for it, could not be removed: {left}")),
                Ok(()) if made => say(&format!("removed the store {name} again")),
                Ok(()) => {}
            }
            return Err(refused(&error));
        }
    };
    drop(authority);
    // Under the keys of what is in it now.
    let authority = store::open_with(&config, &keys, Arc::new(SystemClock))?;
    authority.note_restore(restored.made_at).map_err(|error| Failure::because(&error))?;
    let Restored { counts, made_at } = restored;
    if args.json {
        return print_json(&json!({ "store": name, "made_at": moment(made_at), "tables": tables(&counts) }));
    }
    print(&format!(
        "restored {name} as it was at {}: {}\n\
         what was revoked, changed or deleted since then is as it was: see to it again\n",
        moment(made_at),
        in_words(&counts)
    ))
}

/// A key that is made on first use would be another one than the backup's.
fn key_is_there(config: &AuthorityConfig) -> Result<(), Failure> {
    let needed = match &config.key {
        KeySource::File(path) => path.clone(),
        KeySource::Passphrase => config.data_dir.join("key.salt"),
        KeySource::Env(_) | KeySource::Fd(_) | KeySource::Command(_) => return Ok(()),
    };
    if needed.exists() || Authority::has_store(config) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} is not there: a backup needs {}; put it in its place first",
        needed.display(),
        key_in_words(config)
    )))
}
