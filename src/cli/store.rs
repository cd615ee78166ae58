//! Opens the embedded Authority for a command: reads its key, asks for a passphrase if it needs
//! one, and says where a first use made things.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::failure::{Failure, say};
use crate::authority::{self, Authority, KeyReader, read_key};
use crate::config::AuthorityConfig;
use crate::model::Secret;
use crate::sign::Sealer;
use crate::telemetry::Clock;

/// Opens the store, made on first use.
pub(super) fn open(config: &AuthorityConfig, clock: Arc<dyn Clock>) -> Result<Authority, Failure> {
    let reader = KeyReader { environment: &|name| std::env::var_os(name), ask: &ask };
    let key = read_key(config, &reader).map_err(|error| Failure::because(&error))?;
    let authority = Authority::open(config, &key, clock).map_err(|error| Failure::because(&error))?;
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
    let reader = KeyReader { environment: &|name| std::env::var_os(name), ask: &ask };
    let key = read_key(config, &reader).map_err(|error| Failure::because(&error))?;
    if let Some(file) = key.made() {
        say(&format!("made the key {}: it seals the CA's", file.display()));
    }
    authority::ca_sealer(&key).map_err(|error| Failure::because(&error))
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
