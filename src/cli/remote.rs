//! The Authority service, for the commands: its source, and the policy that it hands out.

use std::sync::Arc;

use super::failure::Failure;
use super::start;
use crate::app::{self, KeptPolicy, Narrowing, PushedError, PushedPolicy, Start};
use crate::config::{Config, Document, RemoteConfig};
use crate::lease::NexusSource;
use crate::telemetry::Clock;

/// The source of a configuration that names a service.
pub(super) fn source(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Arc<NexusSource>>, Failure> {
    let open = |remote: &RemoteConfig| app::remote_source(config, remote, Arc::clone(clock));
    config.remote.as_ref().map(open).transpose().map_err(|error| Failure::invalid(&error))
}

/// Asks for the policy to start with, where the configuration says `policy: [ authority ]`.
pub(super) fn policy(config: &Config, source: Option<&Arc<NexusSource>>) -> Result<Option<Start>, Failure> {
    let (true, Some(remote), Some(source)) = (config.policy_of_authority, &config.remote, source) else {
        return Ok(None);
    };
    let kept = KeptPolicy::of(config, remote);
    let narrowing = Narrowing::of(config);
    let started = start::block_on(async { Ok(PushedPolicy::start(Arc::clone(source), kept, narrowing).await) })?;
    started.map(Some).map_err(|error| match error {
        PushedError::Invalid { .. } => Failure::usage(error),
        PushedError::Unavailable { .. } | PushedError::None(_) => Failure::failed(error),
    })
}

/// The Authority's policy as this machine took it last, for the commands that ask nobody.
pub(super) fn kept_document(config: &Config) -> Result<Option<Document>, Failure> {
    let (true, Some(remote)) = (config.policy_of_authority, &config.remote) else { return Ok(None) };
    let kept = KeptPolicy::of(config, remote);
    let none = || {
        let file = kept.path().display();
        Failure::usage(format!(
            "the Authority has the policy, and none of it is kept in {file} yet: start `proxy` or `run` once, \
             or name a file"
        ))
    };
    kept.read().map(|policy| Some(app::document_of(&policy))).ok_or_else(none)
}
