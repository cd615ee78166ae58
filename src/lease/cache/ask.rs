//! Asks a source, once for all who wait.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::slot::{Answer, Flight, Slot};
use super::{Inner, Key, Side};
use crate::lease::lent::Shared;
use crate::lease::{Ask, Borrowed, Held, LendError, Source};
use crate::model::{Host, Workspace};

impl Inner {
    /// The question that is open, or one that is asked now. `refused` names the version that a
    /// destination refused: a question that was asked without that is waited for first.
    pub(super) fn flight(self: &Arc<Self>, key: &Key, slot: &Arc<Slot>, host: &Host, refused: Option<u64>) -> Flight {
        let mut state = slot.state();
        if let Some(open) = state.open() {
            return open.clone();
        }
        let given_up = LendError::Unavailable { name: key.connection.clone(), why: "the question was given up".into() };
        let (flight, sender) = Flight::open(given_up, refused);
        state.flight = Some(flight.clone());
        let (inner, key, slot, host) = (Arc::clone(self), key.clone(), Arc::clone(slot), host.clone());
        tokio::spawn(async move {
            let answer = inner.ask(&key, &slot, &host, refused).await;
            let answer = inner.settle(&key, &slot, &host, answer);
            // Whoever shunned it may have gone: this task goes to its end.
            if let Some(held) = slot.last() {
                held.shunned.store(false, Ordering::Relaxed);
            }
            sender.send_replace(Some(answer));
            inner.drop_empty(&key, &slot);
        });
        flight
    }

    /// Forgets a slot that holds nothing and remembers nothing, so that questions without an answer
    /// leave nothing behind. Whoever is about to use it holds it too.
    fn drop_empty(&self, key: &Key, slot: &Arc<Slot>) {
        self.slots.remove_if(key, |_, there| {
            let unused = Arc::ptr_eq(there, slot) && Arc::strong_count(there) <= 2 && there.last().is_none();
            unused && there.state().is_blank()
        });
    }

    /// Puts an answer where the next request finds it. What a source says of the connection itself
    /// ends what is held; that it says nothing, or nothing that can be used, ends nothing.
    fn settle(self: &Arc<Self>, key: &Key, slot: &Arc<Slot>, host: &Host, answer: Answer) -> Answer {
        match &answer {
            Ok(shared) => {
                {
                    // Nobody who ends the slot comes between.
                    let _state = slot.state();
                    slot.hold(shared);
                }
                self.keep(key, slot, host);
            }
            Err(error) if error.ends_lease() => slot.forget(),
            Err(_) => {}
        }
        answer
    }

    async fn ask(&self, key: &Key, slot: &Slot, host: &Host, refused: Option<u64>) -> Answer {
        let name = || key.connection.clone();
        let (Some(source), Some(side)) = (self.sources.number(key.source), self.sides.get(key.source)) else {
            return Err(LendError::NotFound(name()));
        };
        let now = self.bounds.clock.boot();
        if let Err(left) = admitted(slot, side, now) {
            let why = format!("the source {} does not answer, and is asked again in {left:?}", source.name);
            return Err(LendError::Unavailable { name: name(), why });
        }
        let before = slot.last();
        let held = before.as_ref().map(|before| Held {
            id: Arc::clone(&before.id),
            version: before.version,
            refused: refused == Some(before.version),
        });
        let mut ask = Ask {
            workspace: Workspace::local(),
            agent: Arc::clone(&key.agent),
            connection: name(),
            host: host.clone(),
            scope: key.scope.clone(),
            held,
        };
        let generation = self.generation(key.source);
        let answered = self.answered(source, side, slot, &ask).await?;
        let shared = match (answered, before) {
            (Borrowed::Loan(loan), before) => {
                Shared::of(loan, before.as_deref(), generation, side.heard.clone(), &self.bounds)
            }
            (Borrowed::Unchanged(end), Some(before)) => {
                before.renewed(end, generation, side.heard.clone(), &self.bounds)
            }
            (Borrowed::Unchanged(_), None) => {
                ask.held = None;
                let why = "it says that nothing changed, and nothing was held".to_owned();
                return Err(LendError::Unusable { name: name(), why });
            }
        };
        shared.ok_or_else(|| LendError::Expired(name()))
    }

    /// One question, whose answer or silence the source's circuit breaker hears of.
    async fn answered(&self, source: &Source, side: &Side, slot: &Slot, ask: &Ask) -> Result<Borrowed, LendError> {
        let clock = &self.bounds.clock;
        let (name, why) = (ask.connection.clone(), format!("no answer within {:?}", self.timeout));
        // Making others may take as long as an issuer takes, which is no silence of the source.
        let making = ask.held.as_ref().is_some_and(|held| held.refused);
        let answer = tokio::select! {
            answer = source.lender.lend(ask) => answer,
            () = clock.sleep(self.timeout) => Err(match making {
                true => LendError::Later { name, why },
                false => LendError::Unavailable { name, why },
            }),
        };
        // Locked in this order everywhere.
        let mut state = slot.state();
        let mut of_source = side.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Err(LendError::Unavailable { why, .. }) => {
                let now = clock.boot();
                // One connection that fails is its own trouble: it takes several to tell of the source.
                state.breaker.failed(now);
                of_source.failed_for(slot.number, now);
                tracing::warn!(source = %source.name, connection = %ask.connection, why, "a source did not lend");
            }
            _ => {
                state.breaker.answered();
                of_source.answered();
            }
        }
        answer
    }
}

/// Both circuits let it through, or neither notes a probe.
fn admitted(slot: &Slot, side: &Side, now: Duration) -> Result<(), Duration> {
    let mut state = slot.state();
    let mut of_source = side.breaker.lock().unwrap_or_else(PoisonError::into_inner);
    match state.breaker.wait(now).max(of_source.wait(now)) {
        Some(left) => Err(left),
        None => state.breaker.admit(now).and(of_source.admit(now)),
    }
}
