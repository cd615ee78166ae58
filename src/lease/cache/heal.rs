//! What a destination refused: whether others are made, and whose doing the refusal is.
//!
//! Many services answer 401 for a resource that is forbidden, and an agent may ask for it in a loop.
//! So others are made only of credentials that are old enough to have gone bad, only once for all
//! who wait, and ever more seldom while they are refused like those before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::slot::Slot;
use super::{Inner, Key, Leases};
use crate::lease::Lease;
use crate::lease::lent::Shared;
use crate::model::Host;

/// Younger credentials have not gone bad.
const YOUNG: Duration = Duration::from_secs(30);

/// A version that was taken this long ago, after it had been refused elsewhere, is a good one.
const PROVEN: Duration = Duration::from_secs(60);

/// The longest pause between two renewals that were in vain.
const LONGEST: Duration = Duration::from_secs(3600);

/// What came of a destination's refusal.
#[derive(Debug)]
pub enum Healed {
    /// Others, to ask once more with.
    Again(Lease),
    /// The answer stands.
    Not(Blame),
}

/// What a destination refused, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The credentials: they are old, or nothing was heard of them being taken.
    Credential,
    /// The request: credentials that are new, or that are taken otherwise, were refused.
    Request,
}

impl Leases {
    /// A destination refused a lease's credentials: gives others, where there can be some and they
    /// may help. That version alone is no longer lent meanwhile.
    pub async fn heal(&self, lease: &Lease) -> Healed {
        let (inner, shared) = (&self.inner, lease.shared());
        let terms = lease.grant().terms();
        let now = inner.bounds.clock.boot();
        let proven = shared.refused_though_good(now, PROVEN);
        if !shared.refreshable || proven {
            let taken = proven || shared.accepted_before(now).is_some_and(|ago| ago < PROVEN);
            return Healed::Not(if taken { Blame::Request } else { Blame::Credential });
        }
        let Ok(key) = inner.key(terms.agent().name(), lease.grant().connection(), lease.grant().scope()) else {
            return Healed::Not(Blame::Credential);
        };
        let slot = inner.slot(&key);
        let healing = inner.heal(&key, &slot, terms.destination().host(), shared);
        let healed = tokio::select! {
            healed = healing => healed,
            () = inner.bounds.clock.sleep(inner.timeout) => Err(Blame::Credential),
        };
        match healed.map(|shared| Lease::of(lease.grant().clone(), shared)) {
            Ok(Ok(lease)) => Healed::Again(lease),
            Ok(Err(_)) => Healed::Not(Blame::Credential),
            Err(blame) => Healed::Not(blame),
        }
    }

    /// What came of asking once more with a lease that [`Leases::heal`] gave.
    pub fn replayed(&self, lease: &Lease, refused: bool) {
        let inner = &self.inner;
        let terms = lease.grant().terms();
        let now = inner.bounds.clock.boot();
        let Ok(key) = inner.key(terms.agent().name(), lease.grant().connection(), lease.grant().scope()) else {
            return;
        };
        let Some(slot) = inner.slots.get(&key).map(|slot| Arc::clone(&slot)) else { return };
        if refused {
            let _ = lease.shared().refused_though_good(now, PROVEN);
            slot.judge(lease.version(), now);
        } else {
            let mut state = slot.state();
            (state.in_vain, state.not_before) = (0, Duration::ZERO);
        }
    }
}

impl Inner {
    async fn heal(
        self: &Arc<Self>,
        key: &Key,
        slot: &Arc<Slot>,
        host: &Host,
        refused: &Shared,
    ) -> Result<Arc<Shared>, Blame> {
        let now = self.bounds.clock.boot();
        // Once for a question that was open already, and knows nothing of the refusal.
        for _ in 0..2 {
            let newer = |held: &Arc<Shared>| held.id == refused.id && held.version != refused.version;
            if let Some(held) = slot.held().filter(newer).filter(|held| self.holds(key, held)) {
                return Ok(held);
            }
            let flight = {
                let open = slot.state().open().cloned();
                if open.is_none() && (now < refused.since + YOUNG || now < slot.state().not_before) {
                    return Err(Blame::Request);
                }
                if let Some(held) = slot.last().filter(|held| held.version == refused.version) {
                    held.shunned.store(true, Ordering::Relaxed);
                }
                self.flight(key, slot, host, Some(refused.version))
            };
            let knows = flight.refused == Some(refused.version);
            match flight.answer().await {
                // Another connection of that name is nobody's other credentials.
                Ok(shared) if shared.id != refused.id => return Err(Blame::Credential),
                Ok(shared) if shared.version != refused.version => {
                    if self.holds(key, &shared) {
                        return Ok(shared);
                    }
                    // Something happened since it was read: what is so now is asked for.
                    let now = self.wait(key.clone(), host.clone()).await.map_err(|_| Blame::Credential)?;
                    let other = now.id == refused.id && now.version != refused.version;
                    return if other { Ok(now) } else { Err(Blame::Credential) };
                }
                Ok(shared) if knows => {
                    // Its source has no others.
                    slot.judge(shared.version, now);
                    return Err(Blame::Credential);
                }
                Ok(_) => {}
                Err(error) => {
                    if knows && error.is_passing() {
                        slot.judge(refused.version, now);
                    }
                    return Err(Blame::Credential);
                }
            }
        }
        Err(Blame::Credential)
    }
}

impl Slot {
    /// Credentials of this version were refused though they are new: the next are made later, each
    /// time twice as late.
    fn judge(&self, version: u64, now: Duration) {
        let mut state = self.state();
        if state.judged == Some(version) {
            return;
        }
        state.judged = Some(version);
        let pause = YOUNG.saturating_mul(2_u32.saturating_pow(state.in_vain.saturating_add(1)));
        state.in_vain = state.in_vain.saturating_add(1);
        state.not_before = now + pause.min(LONGEST);
    }
}
