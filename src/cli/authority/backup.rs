//! `authority backup`: the store as one file.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::authority::{Authority, BackupError, Counts};
use crate::cli::failure::{Failure, chain, say};
use crate::cli::output::{print, print_json};
use crate::cli::{harden, start, store};
use crate::config::{AuthorityConfig, KeySource};
use crate::telemetry::SystemClock;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar authority backup store.backup
  nexus-sidecar authority backup \"store-$(date +%F).backup\" --json
  nexus-sidecar authority backup - | ssh vault 'cat > store.backup'

The file needs the key of the store, which is not in it; neither are the files of the audit and the
CA of ca.dir. Whoever has both, file and key, has every credential: keep them apart.";

/// Back the store up into one file, while it is in use
///
/// The store as it is at one moment: connections, agents, keys, policies, audit. What is sealed
/// stays sealed. `authority restore` makes a store of it again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The file, made with mode 0600; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// What was done, as a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn execute(config: Option<&Path>, args: &Args) -> Result<(), Failure> {
    let to_stdout = args.file.as_os_str() == "-";
    if to_stdout && args.json {
        return Err(Failure::usage("--json says what was done on standard output, where the backup goes: name a file"));
    }
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::usage("standard output is a terminal: name a file, or a program behind a pipe"));
    }
    let file = (!to_stdout).then_some(args.file.as_path());
    if let Some(file) = file.filter(|file| file.exists() && !args.force) {
        return Err(Failure::usage(format!("{} is there already: --force writes over it", file.display())));
    }
    harden::harden()?;
    let config = start::config(config)?.authority;
    if !Authority::has_store(&config) {
        return Err(Failure::failed(format!("there is no store in {} yet", config.data_dir.display())));
    }
    if let Some(file) = file {
        refuse_own(file, &config)?;
    }
    let authority = store::open(&config, Arc::new(SystemClock))?;
    let counts = match file {
        Some(file) => into(&authority, file, args.force)?,
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            authority.back_up(&mut out).map_err(|error| Failure::because(&error))?
        }
    };
    authority.note_backup().map_err(|error| Failure::because(&error))?;
    let name = authority.store_name();
    if args.json {
        let file = args.file.display().to_string();
        return print_json(&json!({ "store": name, "file": file, "tables": tables(&counts) }));
    }
    let needs = key_in_words(&config);
    let text = format!("backed up {name}: {}; it needs {needs}", in_words(&counts));
    match to_stdout {
        true => say(&text),
        false => print(&format!("{text}\n"))?,
    }
    Ok(())
}

/// Whole and on the disk, or not at all.
fn into(authority: &Authority, file: &Path, force: bool) -> Result<Counts, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("cannot write the backup {}: {error}", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // `tempfile` makes files of mode 0600.
    let mut out = BufWriter::new(tempfile::NamedTempFile::new_in(folder).map_err(failed)?);
    let counts = authority.back_up(&mut out).map_err(|error| match error {
        BackupError::Io(error) => failed(error),
        error => Failure::because(&error),
    })?;
    out.flush().map_err(failed)?;
    let made = out.into_inner().map_err(|error| failed(error.into_error()))?;
    made.as_file().sync_all().map_err(failed)?;
    let put = if force { made.persist(file) } else { made.persist_noclobber(file) };
    put.map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(counts)
}

/// `--force` is for an old backup, not for what the store is made of.
fn refuse_own(file: &Path, config: &AuthorityConfig) -> Result<(), Failure> {
    let Ok(found) = file.canonicalize() else { return Ok(()) };
    let mut own = vec![config.data_dir.join("key.salt")];
    own.extend(["store.db", "store.db-wal", "store.db-shm"].map(|name| config.data_dir.join(name)));
    for source in std::iter::once(&config.key).chain(&config.other_keys) {
        own.extend(if let KeySource::File(key) = source { Some(key.clone()) } else { None });
    }
    match own.iter().any(|own| own.canonicalize().is_ok_and(|own| own == found)) {
        true => Err(Failure::usage(format!("{} belongs to the store itself: name another file", file.display()))),
        false => Ok(()),
    }
}

/// What was written or read, table by table.
pub(super) fn tables(counts: &Counts) -> Value {
    counts.iter().map(|(table, count)| ((*table).to_owned(), Value::from(*count))).collect::<Map<_, _>>().into()
}

/// The same in words, without what is not there.
pub(super) fn in_words(counts: &Counts) -> String {
    let found = counts.iter().filter(|(table, count)| *count > 0 && *table != "meta");
    let words: Vec<String> = found.map(|(table, count)| format!("{count} {table}")).collect();
    if words.is_empty() { "an empty store".to_owned() } else { words.join(", ") }
}

/// Where the key is that a backup needs.
pub(super) fn key_in_words(config: &AuthorityConfig) -> String {
    match &config.key {
        KeySource::File(path) => format!("the key {}", path.display()),
        KeySource::Env(name) => format!("the key of the environment variable {name}"),
        KeySource::Fd(number) => format!("the key of the file descriptor {number}"),
        KeySource::Passphrase => {
            format!("the passphrase and {}, without which that is nothing", config.data_dir.join("key.salt").display())
        }
        KeySource::Command(words) => {
            format!("the key of the command {:?}", words.first().map(String::as_str).unwrap_or_default())
        }
    }
}

/// An error of a backup, causes included, with what to do about a key that does not fit.
pub(super) fn refused(error: &BackupError) -> Failure {
    match error {
        BackupError::Authority(crate::authority::AuthorityError::OtherKey { .. }) => Failure::failed(
            "the backup was sealed under another key than authority.key: set the one of its store, \
             or name that one in authority.other_keys",
        ),
        _ => Failure::failed(chain(error)),
    }
}
