//! Borrows from the Authority service (`dialect: nexus`), and follows what it says has changed.
//!
//! Leases are asked for one by one; a stream of events says what of them no longer holds. An
//! answer that knows less than an event that was heard meanwhile is never lent: `seen` decides
//! that, without a socket. Nothing that the Authority sends is trusted to be short, whole or
//! right (`answer`, `event`, `sse`), and nothing of it is shown in an error. Next: `source` for
//! the questions, `stream` for the events, `waits` for every number.

mod answer;
mod event;
mod marks;
mod seen;
mod source;
mod sse;
mod stream;
mod waits;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;

use self::seen::{Moved, Seen};
use self::wire::Wire;
use crate::config::RemoteConfig;
use crate::dial::Dialer;
use crate::lease::Heard;
use crate::lease::backoff::Backoff;
use crate::model::ConnectionName;
use crate::telemetry::Clock;

pub use answer::PolicyDocument;

/// The Authority service as a source.
pub struct NexusSource {
    name: String,
    wire: Wire,
    seen: Mutex<Seen>,
    /// Where a person mends a connection, as the last refusal of it said.
    pages: Mutex<BTreeMap<ConnectionName, String>>,
    heard: Arc<Heard>,
    moved: watch::Sender<u64>,
    policy_moved: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// Why the Authority gave no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It could not be asked, or did not answer.
    #[error("cannot ask the Authority for its policy: {0}")]
    Unavailable(String),
    /// It has none.
    #[error("the Authority has no policy: set one with nexus-sidecar authority policy set")]
    None,
}

impl NexusSource {
    /// A source over one Authority; `wait` bounds each call. Nothing is asked yet.
    pub fn new(config: &RemoteConfig, dialer: Arc<Dialer>, wait: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: config.name.clone(),
            wire: Wire::new(config, dialer, wait),
            seen: Mutex::default(),
            pages: Mutex::default(),
            heard: Arc::default(),
            moved: watch::Sender::new(0),
            policy_moved: watch::Sender::new(0),
            clock,
        }
    }

    /// Asks for the policy as it is now.
    ///
    /// # Errors
    /// There is none, or the Authority could not be asked; why is for an operator.
    pub async fn policy(&self) -> Result<PolicyDocument, PolicyError> {
        let answer = self.wire.policy().await.map_err(PolicyError::Unavailable)?;
        let (status, body) = (answer.status, answer.body.expose());
        match (status, answer::code(body)) {
            (StatusCode::OK, _) => answer::policy(body).map_err(PolicyError::Unavailable),
            (StatusCode::NOT_FOUND, Some(_)) => Err(PolicyError::None),
            (_, code) => Err(PolicyError::Unavailable(answer::unexpected(status, code.as_deref()))),
        }
    }

    /// Waits until the policy may have changed, and asks until the Authority says what it is.
    ///
    /// # Errors
    /// There is none any more.
    pub async fn next_policy(&self, moved: &mut watch::Receiver<u64>) -> Result<PolicyDocument, PolicyError> {
        // The sender is ours, and lives as long.
        let _ = moved.changed().await;
        let mut backoff = Backoff::default();
        loop {
            self.clock.sleep(backoff.next()).await;
            match self.policy().await {
                Err(PolicyError::Unavailable(why)) => {
                    tracing::warn!(source = self.name, why, "the policy could not be asked for: trying again");
                }
                settled => return settled,
            }
        }
    }

    /// Moves whenever the policy may have changed.
    pub fn policy_changes(&self) -> watch::Receiver<u64> {
        self.policy_moved.subscribe()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who follow. Called once what moved is settled, so that whoever asks sees it.
    fn tell(&self, moved: Moved) {
        let bump = |number: &mut u64| *number += 1;
        if moved.leases {
            self.moved.send_modify(bump);
        }
        if moved.policy {
            self.policy_moved.send_modify(bump);
        }
    }
}
