//! `connection refresh`: new tokens now, where the provider's token endpoint gives some.

use serde_json::json;

use super::listing;
use crate::app;
use crate::authority::{Authority, Forced};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::cli::start;
use crate::config::Config;
use crate::model::ConnectionName;

/// Refreshes a connection, and says what it is now.
pub(super) fn refresh(config: &Config, authority: Authority, name: &ConnectionName, json: bool) -> Result<(), Failure> {
    let caller = app::caller(config).map_err(|error| Failure::because(&error))?;
    let authority = authority.calling_through(caller);
    let forced = start::block_on(async {
        authority.force_refresh(name.as_str()).await.map_err(|error| Failure::because(&error))
    })?;
    let (refreshed, connection) = match &forced {
        Forced::Refreshed(connection) => (true, connection),
        Forced::Recent(connection) => (false, connection),
    };
    if json {
        let shown = listing::as_json(connection);
        return print(&format!("{:#}\n", json!({ "refreshed": refreshed, "connection": shown })));
    }
    let what = if refreshed { "refreshed" } else { "a refresh was forced less than a minute ago:" };
    print(&format!("connection {name}: {what}{}\n", listing::after_refresh(connection, refreshed)))
}
