use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use crate::sign::jwt::{Jwks, JwksError};

/// Keys are asked for again at this age, by the next token that needs them.
const FRESH: Duration = Duration::from_secs(300);
/// Keys of this age are dropped: an issuer that cannot be asked for so long may have revoked one.
const DEAD: Duration = Duration::from_secs(3600);
/// A token with an unknown key id asks again, but not more often than this.
const PAUSE: Duration = Duration::from_secs(60);
/// After a failure the next try comes sooner: what failed is not the issuer's answer.
const RETRY: Duration = Duration::from_secs(5);

/// Where an issuer's keys come from. It may block, for a time that it bounds itself.
pub(super) trait KeySource: Send + Sync {
    /// Reads the key set.
    fn fetch(&self) -> Result<Vec<u8>, FetchError>;
    /// The file or the address, for the log.
    fn name(&self) -> String;
}

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The file.
    #[error("cannot read it")]
    File(#[source] std::io::Error),
    /// The call.
    #[error("cannot ask for it")]
    Call(#[source] crate::dial::CallError),
    /// Another answer than 200.
    #[error("it was answered with the status {0}")]
    Status(http::StatusCode),
    /// The token for the call.
    #[error("cannot read the token of bearer_file")]
    Bearer(#[source] std::io::Error),
    /// No runtime to wait on.
    #[error("there is nothing to wait on here")]
    Nowhere,
    /// What came is no key set.
    #[error("it is no key set")]
    Content(#[source] JwksError),
}

/// The keys of an issuer, kept for a while.
///
/// A failed fetch changes nothing of what is held and is tried again soon: neither an error page
/// nor an outage ever becomes the truth about an issuer.
pub(super) struct KeySet {
    source: Box<dyn KeySource>,
    held: Mutex<Held>,
    /// Held while a fetch is under way: there is one at a time.
    fetching: Mutex<()>,
}

#[derive(Default)]
struct Held {
    keys: Option<(Arc<Jwks>, Duration)>,
    next: Duration,
}

impl KeySet {
    pub(super) fn new(source: Box<dyn KeySource>) -> Self {
        Self { source, held: Mutex::default(), fetching: Mutex::default() }
    }

    /// The keys, asked for again if they are old; `None` if there are none that may be used. `now`
    /// is the time since boot.
    pub(super) fn current(&self, now: Duration) -> Option<Arc<Jwks>> {
        match self.usable(now) {
            Some((keys, age)) if age < FRESH => Some(keys),
            Some((keys, _)) => Some(self.renew(Some(&keys), now, false).unwrap_or(keys)),
            None => self.renew(None, now, true),
        }
    }

    /// Keys that are newer than these, for a token that names one that is not among them.
    pub(super) fn newer(&self, than: &Arc<Jwks>, now: Duration) -> Option<Arc<Jwks>> {
        self.renew(Some(than), now, true)
    }

    fn usable(&self, now: Duration) -> Option<(Arc<Jwks>, Duration)> {
        let held = self.held();
        let (keys, since) = held.keys.as_ref()?;
        let age = now.saturating_sub(*since);
        (age < DEAD).then(|| (Arc::clone(keys), age))
    }

    /// Keys that are newer than these: of another fetch, or of one now, if it is time for one. Who
    /// cannot do without waits for a fetch that is under way.
    fn renew(&self, than: Option<&Arc<Jwks>>, now: Duration, wait: bool) -> Option<Arc<Jwks>> {
        let newer = || {
            let (keys, _) = self.usable(now)?;
            than.is_none_or(|than| !Arc::ptr_eq(than, &keys)).then_some(keys)
        };
        if let Some(keys) = newer() {
            return Some(keys);
        }
        let _one_at_a_time = match self.fetching.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock) if !wait => return None,
            Err(TryLockError::WouldBlock) => self.fetching.lock().unwrap_or_else(PoisonError::into_inner),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        if let Some(keys) = newer() {
            return Some(keys);
        }
        if now < self.held().next {
            return None;
        }
        let fetched = self.source.fetch().and_then(|bytes| Jwks::parse(&bytes).map_err(FetchError::Content));
        let mut held = self.held();
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *held = Held { keys: Some((Arc::clone(&keys), now)), next: now + PAUSE };
                Some(keys)
            }
            Err(error) => {
                held.next = now + RETRY;
                drop(held);
                tracing::warn!(keys = %self.source.name(), "cannot renew the keys of an issuer: {}", chain(&error));
                None
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[cfg(test)]
mod tests;
