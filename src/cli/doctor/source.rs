//! The services that are sources: can each be reached, is it the right one, and does it take what
//! this sidecar shows?

use std::fs::File;
use std::sync::Arc;

use super::report::Finding;
use crate::app;
use crate::cli::failure::Failure;
use crate::cli::{remote, start};
use crate::config::{Config, Document, GatewayConfig, RemoteConfig, SourceAuth, SourceKind};
use crate::lease::{GatewayHealth, PolicyError};
use crate::model::Scheme;
use crate::telemetry::Clock;

const OF: &str = "source";

/// Asks it for its policy, which any key of a sidecar may read: the one request that leaves.
pub(super) fn look(config: &Config, remote: &RemoteConfig, clock: &Arc<dyn Clock>) -> (Vec<Finding>, Option<Document>) {
    let source = match remote::source(config, clock) {
        Ok(Some(source)) => source,
        Ok(None) => return (Vec::new(), None),
        Err(failure) => {
            let finding = Finding::fail(OF, failure.message());
            return (vec![finding.then("a key is one line in a file of mode 0600")], None);
        }
    };
    let place = remote.url.destination();
    let answered = |policy: &str| Finding::ok(OF, format!("{place} answers, and takes the key; {policy}"));
    let mut found = Vec::new();
    let mut document = None;
    match start::block_on(async { Ok(source.policy().await) }) {
        Ok(Ok(policy)) => {
            found.push(answered(&format!("its policy is number {}", policy.version)));
            document = Some(app::document_of(&policy));
        }
        Ok(Err(PolicyError::None)) if config.policy_of_authority => found.push(
            Finding::fail(OF, format!("{place} answers, and takes the key; it has no policy"))
                .then("set one there: nexus-sidecar authority policy set"),
        ),
        Ok(Err(PolicyError::None)) => found.push(answered("it has no policy")),
        Ok(Err(PolicyError::Unavailable(why))) => {
            let advice = "look at the source's url and ca_file, and whether the Authority runs";
            found.push(Finding::fail(OF, format!("{place}: {why}")).then(advice));
        }
        Err(failure) => found.push(Finding::fail(OF, failure.message())),
    }
    found.extend(readable(&remote.auth));
    (found, document.filter(|_| config.policy_of_authority))
}

/// Asks each Gateway and Broker how it is. No connection is looked at: that would be a read of its
/// credentials there.
pub(super) fn gateways(config: &Config) -> Vec<Finding> {
    let gateways = config.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Gateway(gateway) => Some(gateway),
        _ => None,
    });
    gateways.flat_map(|gateway| gateway_at(config, gateway)).collect()
}

fn gateway_at(config: &Config, gateway: &GatewayConfig) -> Vec<Finding> {
    let wire = match app::gateway_wire(config, gateway).map_err(|error| Failure::invalid(&error)) {
        Ok(wire) => wire,
        Err(failure) => {
            let finding = Finding::fail(OF, failure.message());
            return vec![finding.then("a key is one line, or PEM, in a file of mode 0600")];
        }
    };
    let place = gateway.url.destination();
    let mut found = Vec::new();
    found.push(match start::block_on(async { Ok(wire.health().await) }) {
        Ok(GatewayHealth::Healthy) => {
            Finding::ok(OF, format!("{place} answers as a {} that is healthy", gateway.dialect.word()))
        }
        Ok(GatewayHealth::Refused(why)) => {
            let advice = "look at the source's auth, and at what stands before the source";
            Finding::fail(OF, format!("{place}: {why}")).then(advice)
        }
        Ok(GatewayHealth::Not(why)) => {
            let advice = "look at the source's url, dialect and ca_file, and whether it runs";
            Finding::fail(OF, format!("{place}: {why}")).then(advice)
        }
        Err(failure) => Finding::fail(OF, failure.message()),
    });
    if gateway.auth.is_none() {
        let said = format!("{place} asks nobody who he is: whoever reaches it gets every credential that it has");
        found.push(Finding::warn("auth", said).then("put something before it that does, and name it in `auth`"));
    }
    if gateway.url.destination().scheme() == Scheme::Http {
        let said = format!("keys and credentials go to {place} and back in cleartext");
        found.push(Finding::warn("cleartext", said).then("put TLS before it, and write https"));
    }
    found.extend(readable(&gateway.auth));
    found
}

/// A known gap of `run`, as with the key of a store.
fn readable(auth: &SourceAuth) -> Option<Finding> {
    let key = auth.key_file.as_ref().or(auth.client.as_ref().map(|client| &client.key_file))?;
    let shown = key.display();
    File::open(key).ok()?;
    let said = format!("any program of this user, the command of `run` too, can read {shown} and borrow with it");
    Some(Finding::warn("key", said).then("against a hostile command: `proxy` as another user"))
}
