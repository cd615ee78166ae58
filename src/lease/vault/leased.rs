//! Dynamic secrets: made by a read, kept for as long as somebody keeps asking, and given back.
//!
//! Vault tells a secret once, so that it stays in memory while its lease is renewed. Each question
//! has a secret of its own, and so a user of a database that stands for one agent. A secret ends
//! with its lease, or with the token that it was made with, whichever is first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use super::session::Session;
use super::{Failed, VaultFetch, answer, wire};
use crate::config::VaultConnection;
use crate::lease::secret_json::SecretJson;
use crate::lease::{Ask, Fetched};
use crate::model::{ConnectionName, Fields, Scope, Secret};
use crate::telemetry::Clock;

/// A secret is given for this long at most: who does not ask again by then has no use for it.
const GIVEN: Duration = Duration::from_secs(600);

/// On whose behalf, which connection, and what it is narrowed to.
type Question = (Arc<str>, ConnectionName, Option<Scope>);

/// Held while it is asked about, so that no question has two secrets.
type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

/// The secrets that were made and are not given back.
#[derive(Default)]
pub(super) struct Leased {
    slots: Mutex<BTreeMap<Question, Slot>>,
    /// Those that were replaced, and may still be in use.
    replaced: Mutex<Vec<Made>>,
}

/// One of them. Its times are of the clock since boot.
pub(super) struct Made {
    session: Arc<Session>,
    id: Secret,
    fields: Fields,
    end: Duration,
    /// How long it was made for.
    span: Duration,
    renewable: bool,
    given_until: Duration,
}

impl Made {
    /// A dynamic secret of an answer, or `None` where it is another kind.
    pub(super) fn of(
        secret: &SecretJson,
        place: &VaultConnection,
        session: &Arc<Session>,
        asked: Duration,
    ) -> Option<Self> {
        let id = secret.secret(&["lease_id"]).filter(|id| !id.is_empty())?.duplicate();
        let span = Duration::from_secs(secret.count(&["lease_duration"]).unwrap_or_default());
        Some(Self {
            session: Arc::clone(session),
            id,
            fields: answer::fields(secret.at(&["data"]), place),
            end: asked.saturating_add(span),
            span,
            renewable: secret.is_true(&["renewable"]),
            given_until: asked,
        })
    }

    fn left(&self, now: Duration) -> Duration {
        self.session.end().map_or(self.end, |end| end.min(self.end)).saturating_sub(now)
    }

    /// Gives it, for a while.
    pub(super) fn give(&mut self, clock: &dyn Clock) -> Fetched {
        let now = clock.boot();
        let time = self.left(now).min(GIVEN);
        self.given_until = now + time;
        let mut fields = Fields::new();
        for (name, value) in self.fields.iter() {
            fields.insert(name, value.duplicate());
        }
        Fetched { fields, expires_at: Some(clock.wall() + time), refreshable: true }
    }

    fn is_unwanted(&self, now: Duration) -> bool {
        self.given_until < now
    }
}

impl Leased {
    /// The secret of a question.
    pub(super) fn slot(&self, ask: &Ask) -> Slot {
        let question = (Arc::clone(&ask.agent), ask.connection.clone(), ask.scope.clone());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(question).or_default())
    }

    /// One that was replaced. Who was given it may be using it until then, unless it is of no use.
    pub(super) fn replace(&self, mut made: Made, refused: bool) {
        if refused {
            made.given_until = Duration::ZERO;
        }
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).push(made);
    }

    /// Takes what nobody wants any more; all of it where `all` says so.
    fn take(&self, now: Duration, all: bool) -> Vec<Made> {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Made> = replaced.extract_if(.., |made| all || made.is_unwanted(now)).collect();
        drop(replaced);
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.values() {
            // One that is asked about is wanted.
            let Ok(mut slot) = slot.try_lock() else { continue };
            taken.extend(slot.take_if(|made| all || made.is_unwanted(now)));
        }
        taken.retain(|made| !made.left(now).is_zero());
        taken
    }

    fn put_back(&self, made: Made) {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).push(made);
    }
}

impl VaultFetch {
    /// Whether a secret that was made goes on. Its lease is renewed where half of it is over; with a
    /// quarter left it is time for another.
    pub(super) async fn goes_on(&self, made: &mut Made) -> bool {
        if made.renewable && made.left(self.clock.boot()) <= made.span / 2 {
            self.renew(made).await;
        }
        made.left(self.clock.boot()) > made.span / 4
    }

    async fn renew(&self, made: &mut Made) {
        let asked = self.clock.boot();
        let Ok(session) = self.sessions.current().await else { return };
        let (Some(id), increment) = (made.id.expose_str(), made.span.as_secs().to_string()) else { return };
        let said = [("lease_id", id), ("increment", &increment)].into();
        let Ok(answer) = self.wire.write("sys/leases/renew", Some(&session.token), &said).await else { return };
        match wire::good(&answer, "cannot renew a lease") {
            Ok(renewed) => {
                let left = renewed.count(&["lease_duration"]).map(Duration::from_secs);
                made.end = left.map_or(made.end, |left| asked.saturating_add(left));
                made.renewable = renewed.is_true(&["renewable"]);
            }
            Err(Failed::Unavailable(_)) => {}
            Err(_) => {
                made.renewable = false;
                if answer.status == StatusCode::FORBIDDEN {
                    // Where the token is gone, so is what was made with it.
                    let _ = self.sessions.doubted(&session).await;
                }
            }
        }
    }

    /// Still good, if no better can be had.
    pub(super) fn serves(&self, made: &Made) -> bool {
        !made.left(self.clock.boot()).is_zero()
    }

    /// Gives back what was replaced, and what nobody asks for any more.
    pub(super) async fn give_back(&self) {
        for made in self.leased.take(self.clock.boot(), false) {
            match self.revoke(&made).await {
                Ok(()) => {}
                Err(Failed::Unavailable(_)) => self.leased.put_back(made),
                Err(_) => {
                    let remedy = "it ends by itself; let the policy of our token update sys/leases/revoke";
                    tracing::warn!(source = self.name, remedy, "a lease of Vault could not be revoked");
                }
            }
        }
    }

    /// Gives back everything: a login with all that was made with it, and the rest one by one.
    pub(super) async fn give_everything_back(&self) {
        let ended = self.sessions.close().await;
        for made in self.leased.take(self.clock.boot(), true) {
            if ended.as_ref().is_some_and(|ended| Arc::ptr_eq(ended, &made.session)) {
                continue;
            }
            if self.revoke(&made).await.is_err() {
                tracing::warn!(source = self.name, "a lease of Vault was not given back: it ends by itself");
            }
        }
    }

    async fn revoke(&self, made: &Made) -> Result<(), Failed> {
        // After the end there is no login to be had for it: its own, or none.
        let session = match self.sessions.open_one().await {
            Some(session) => session,
            None => Arc::clone(&made.session),
        };
        let said = made.id.expose_str().map(|id| [("lease_id", id)].into()).unwrap_or_default();
        let answer = self.wire.write("sys/leases/revoke", Some(&session.token), &said).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            status => Err(wire::bad(status, "cannot revoke a lease")),
        }
    }
}
