//! Opens the embedded Authority for a command: reads its key, asks for a passphrase if it needs
//! one, and says where a first use made things.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::failure::{Failure, say};
use crate::authority::{self, Authority, KeyReader, MasterKey, read_key, read_other_keys};
use crate::config::AuthorityConfig;
use crate::model::Secret;
use crate::sign::Sealer;
use crate::telemetry::Clock;

/// The master key, and those that some of the store may be sealed under beside it.
pub(super) struct Keys {
    pub(super) key: MasterKey,
    pub(super) others: Vec<MasterKey>,
}

/// Reads the keys of a configuration; the master key is made on first use.
pub(super) fn keys(config: &AuthorityConfig) -> Result<Keys, Failure> {
    let reader = KeyReader { environment: &|name| std::env::var_os(name), ask: &ask };
    // First what is never made: a name that is wrong makes no key.
    let others = read_other_keys(config, &reader).map_err(|error| Failure::because(&error))?;
    let key = read_key(config, &reader).map_err(|error| Failure::because(&error))?;
    Ok(Keys { key, others })
}

/// Opens the store, made on first use.
pub(super) fn open(config: &AuthorityConfig, clock: Arc<dyn Clock>) -> Result<Authority, Failure> {
    open_with(config, &keys(config)?, clock)
}

/// The same with keys that were read already.
pub(super) fn open_with(config: &AuthorityConfig, keys: &Keys, clock: Arc<dyn Clock>) -> Result<Authority, Failure> {
    let Keys { key, others } = keys;
    let opened = Authority::open_also(config, key, others, clock);
    let authority = opened.map_err(|error| Failure::because(&error))?;
    if authority.made() {
        say(&format!("made the store {}", authority.store_name()));
    }
    if let Some(file) = key.made() {
        say(&format!("made its key {}: without it, the store cannot be read", file.display()));
    }
    Ok(authority)
}

/// What seals the key of the CA where the store is a service: the master key of this machine, made
/// on first use.
pub(super) fn ca_sealer(config: &AuthorityConfig) -> Result<Sealer, Failure> {
    let Keys { key, others } = keys(config)?;
    if let Some(file) = key.made() {
        say(&format!("made the key {}: it seals the CA's", file.display()));
    }
    authority::ca_sealer(&key, &others).map_err(|error| Failure::because(&error))
}

/// Asks whether to go on. Where nobody can be asked, `without` says what to say instead.
pub(super) fn confirmed(question: &str, without: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(without));
    }
    say(&format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::failed(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Asks a person, without echo.
pub(super) fn ask(prompt: &str) -> io::Result<Secret> {
    rpassword::prompt_password(prompt).map(Secret::new)
}
