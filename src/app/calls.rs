//! The way out for calls that the Authority makes to addresses that providers name.

use std::sync::Arc;

use super::Ground;
use crate::config::Config;
use crate::dial::{Caller, DialSettings, Dialer};
use crate::tls::{Roots, RootsError};

/// Calls public addresses and those of `authority.networks`, over verified TLS; in cleartext none but
/// those of these networks, which a provider may name on this machine's own loopback alone.
///
/// # Errors
/// The roots cannot be read.
pub fn caller(config: &Config) -> Result<Caller, RootsError> {
    Ok(through(config, Roots::load(&config.upstream.ca_files)?))
}

impl Ground {
    /// The same, by the roots that were read for it already.
    pub fn caller(&self, config: &Config) -> Caller {
        through(config, self.roots.for_calls())
    }
}

fn through(config: &Config, roots: Roots) -> Caller {
    let settings = DialSettings { hosts: config.upstream.hosts.clone(), timeout: config.timeouts.connect };
    let dialer = Arc::new(Dialer::new(settings, Arc::new(roots)));
    Caller::for_data(dialer, config.service.networks.as_slice().into()).in_cleartext_too()
}
