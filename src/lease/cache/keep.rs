//! Renews what is held ahead of its end, for as long as somebody wants it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::slot::Slot;
use super::{Inner, Key};
use crate::lease::backoff::{Backoff, share};
use crate::lease::lent::Shared;
use crate::lease::schedule::renewed_after;
use crate::model::Host;
use crate::telemetry::Clock;

/// What a look at a slot says.
enum Step {
    /// Look again after this time.
    Wait(Duration),
    /// It is due, and nobody wants it: it ends after this time. Whoever wants it before that has it
    /// renewed at once.
    Unwanted(Duration),
    /// There is nothing to look after any more.
    End,
}

impl Inner {
    /// Starts to look after a slot, unless somebody does.
    pub(super) fn keep(self: &Arc<Self>, key: &Key, slot: &Arc<Slot>, host: &Host) {
        {
            let mut state = slot.state();
            if std::mem::replace(&mut state.kept, true) {
                return;
            }
        }
        let keeper = Keeper {
            inner: Arc::downgrade(self),
            key: key.clone(),
            slot: Arc::clone(slot),
            host: host.clone(),
            backoff: Backoff::default(),
            renewing: None,
        };
        tokio::spawn(keeper.keep(Arc::clone(&self.bounds.clock)));
    }
}

struct Keeper {
    /// The cache may end while this waits.
    inner: Weak<Inner>,
    key: Key,
    slot: Arc<Slot>,
    host: Host,
    backoff: Backoff,
    /// Of which lease the renewal is planned, and when, since boot.
    renewing: Option<(Weak<Shared>, Duration)>,
}

impl Keeper {
    async fn keep(mut self, clock: Arc<dyn Clock>) {
        loop {
            match self.step(&*clock).await {
                Step::Wait(time) | Step::Unwanted(time) => tokio::select! {
                    () = self.slot.wanted() => {}
                    () = clock.sleep(time) => {}
                },
                Step::End => return,
            }
        }
    }

    async fn step(&mut self, clock: &dyn Clock) -> Step {
        let Some(inner) = self.inner.upgrade() else { return Step::End };
        let held = self.slot.last().filter(|held| held.deadline.is_ahead());
        let Some(held) = held else { return self.end(&inner) };
        let now = clock.boot();
        let lease = Arc::downgrade(&held);
        let due = match &self.renewing {
            Some((planned, due)) if planned.ptr_eq(&lease) => *due,
            _ => now + renewed_after(held.deadline.left(), share()),
        };
        self.renewing = Some((Weak::clone(&lease), due));
        if now < due {
            return Step::Wait(due - now);
        }
        if !self.slot.was_used() {
            return Step::Unwanted(held.deadline.left());
        }
        drop(held);
        match inner.flight(&self.key, &self.slot, &self.host, None).answer().await {
            Ok(_) => {
                self.backoff.reset();
                Step::Wait(Duration::ZERO)
            }
            // What is held serves to its end; whoever waits for it meanwhile asks too.
            Err(error) if !error.ends_lease() => {
                self.slot.still_wanted();
                self.renewing = Some((lease, clock.boot() + self.backoff.next().max(Duration::from_millis(50))));
                Step::Wait(Duration::ZERO)
            }
            Err(_) => self.end(&inner),
        }
    }

    /// Ends, unless something new is held by now.
    fn end(&self, inner: &Inner) -> Step {
        let mut state = self.slot.state();
        if self.slot.last().is_some_and(|held| held.deadline.is_ahead()) {
            return Step::Wait(Duration::ZERO);
        }
        state.kept = false;
        self.slot.forget();
        drop(state);
        inner.slots.remove_if(&self.key, |_, slot| slot.last().is_none() && slot.state().is_blank());
        Step::End
    }
}
