//! The Authority service: can it be reached, is it the right one, and does it take the key?

use std::fs::File;
use std::sync::Arc;

use super::report::Finding;
use crate::app;
use crate::cli::{remote, start};
use crate::config::{Config, Document, RemoteConfig};
use crate::lease::PolicyError;
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
    found.extend(readable(remote));
    (found, document.filter(|_| config.policy_of_authority))
}

/// A known gap of `run`, as with the key of a store.
fn readable(remote: &RemoteConfig) -> Option<Finding> {
    let shown = remote.bearer_file.display();
    File::open(&remote.bearer_file).ok()?;
    let said = format!("any program of this user, the command of `run` too, can read {shown} and borrow with it");
    Some(Finding::warn("key", said).then("against a hostile command: `proxy` as another user"))
}
