//! Asks a source, once for all who wait.

use std::sync::{Arc, PoisonError};

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
            sender.send_replace(Some(answer));
        });
        flight
    }

    /// Puts an answer where the next request finds it. What a source says of the connection itself
    /// ends what is held; that it cannot say anything ends nothing.
    fn settle(self: &Arc<Self>, key: &Key, slot: &Arc<Slot>, host: &Host, answer: Answer) -> Answer {
        match &answer {
            Ok(shared) => {
                slot.hold(shared);
                self.keep(key, slot, host);
            }
            Err(error) if error.is_passing() => {}
            Err(_) => slot.forget(),
        }
        answer
    }

    async fn ask(&self, key: &Key, slot: &Slot, host: &Host, refused: Option<u64>) -> Answer {
        let name = || key.connection.clone();
        let (Some(source), Some(side)) = (self.sources.number(key.source), self.sides.get(key.source)) else {
            return Err(LendError::NotFound(name()));
        };
        let admitted = side.breaker.lock().unwrap_or_else(PoisonError::into_inner).admit(self.bounds.clock.boot());
        if let Err(left) = admitted {
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
        let answered = self.answered(source, side, &ask).await?;
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
    async fn answered(&self, source: &Source, side: &Side, ask: &Ask) -> Result<Borrowed, LendError> {
        let clock = &self.bounds.clock;
        let answer = tokio::select! {
            answer = source.lender.lend(ask) => answer,
            () = clock.sleep(self.timeout) => Err(LendError::Unavailable {
                name: ask.connection.clone(),
                why: format!("no answer within {:?}", self.timeout),
            }),
        };
        let mut breaker = side.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Err(LendError::Unavailable { why, .. }) => {
                breaker.failed(clock.boot());
                tracing::warn!(source = %source.name, connection = %ask.connection, why, "a source did not lend");
            }
            _ => breaker.answered(),
        }
        answer
    }
}
