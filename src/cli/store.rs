//! Opens the embedded Authority for a command: reads its key, asks for a passphrase if it needs
//! one, and says where a first use made things.

use std::io;
use std::sync::Arc;

use super::failure::{Failure, say};
use crate::authority::{Authority, KeyReader, read_key};
use crate::config::AuthorityConfig;
use crate::model::Secret;
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

/// Asks a person, without echo.
pub(super) fn ask(prompt: &str) -> io::Result<Secret> {
    rpassword::prompt_password(prompt).map(Secret::new)
}
