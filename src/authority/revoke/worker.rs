//! Who tells providers: any process, one at a time for a connection, until each has answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::local::wipe;
use super::upstream::{Outcome, tell};
use super::{Ended, Revocation, RevokeError, Upstream};
use crate::authority::Authority;
use crate::authority::record::{Actor, Record};
use crate::authority::recorder::Work;
use crate::authority::rows::ConnectionRow;
use crate::authority::store::{StoreError, Value};
use crate::authority::vault::{Vault, random};

/// Providers that are told at once.
const AT_ONCE: i64 = 16;

/// How long nobody else tells the same one: more than two calls take, each bounded by its caller.
const CLAIM: i64 = 60;

/// The first wait before another try; each is twice as long.
const FIRST: i64 = 1;

/// No wait is longer.
const LONGEST: i64 = 15 * 60;

/// Nobody waits longer than this for a provider to hear of it.
const PATIENCE: i64 = 24 * 3600;

/// How often old events are forgotten.
const PRUNE: Duration = Duration::from_secs(3600);

/// How often who waits for an answer looks for it.
const LOOK: Duration = Duration::from_millis(100);

/// How long nobody looks where there is nothing to be told and nothing is heard.
const IDLE: Duration = Duration::from_secs(60);

/// A connection whose provider we are to tell.
struct Claimed {
    row: ConnectionRow,
    claim: String,
}

impl Authority {
    /// Tells providers until `stop` says so; what was begun is ended. It forgets old events, too.
    pub(in crate::authority) async fn tell_providers(
        self,
        upstream: Arc<dyn Upstream>,
        mut stop: watch::Receiver<bool>,
    ) {
        self.desk.feed.follow(&self.desk.store);
        let mut moves = self.desk.feed.moves();
        let mut pruned = None;
        while !*stop.borrow() {
            self.prune_now_and_then(&mut pruned).await;
            moves.mark_unchanged();
            let wait = match self.tell_due(&upstream).await {
                Ok(0) => self.until_next().await,
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            let wait = wait.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot look for providers that are to be told of a revocation");
                IDLE
            });
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.desk.clock.sleep(wait) => {}
                moved = moves.changed() => if moved.is_err() { return },
            }
        }
    }

    async fn prune_now_and_then(&self, last: &mut Option<Duration>) {
        let now = self.desk.clock.boot();
        if last.is_some_and(|last| now.saturating_sub(last) < PRUNE) {
            return;
        }
        *last = Some(now);
        let worker = self.acting_as(Actor::Worker);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || worker.prune_events()).await {
            tracing::warn!(%error, "cannot forget old events");
        }
    }

    /// Tells those that are due now; answers how many there were.
    pub(in crate::authority) async fn tell_due(&self, upstream: &Arc<dyn Upstream>) -> Result<usize, RevokeError> {
        let worker = self.acting_as(Actor::Worker);
        let claimed = worker.write_async(claim).await?;
        let count = claimed.len();
        let mut calls = JoinSet::new();
        for claimed in claimed {
            let (worker, upstream) = (worker.clone(), Arc::clone(upstream));
            calls.spawn(async move { worker.tell_one(&*upstream, claimed).await });
        }
        let mut result = Ok(count);
        while let Some(told) = calls.join_next().await {
            // One that panicked loses its claim in time, and is told again.
            if let Ok(Err(error)) = told {
                result = Err(error);
            }
        }
        result
    }

    async fn tell_one(&self, upstream: &dyn Upstream, claimed: Claimed) -> Result<(), RevokeError> {
        let Claimed { row, claim } = claimed;
        let outcome = match self.desk.vault.open(&row) {
            Ok(fields) => tell(upstream, &row, &fields).await,
            Err(error) => Outcome::Local { renewable: true, why: error.to_string() },
        };
        let vault = Arc::clone(&self.desk.vault);
        self.write_async(move |work| settle(work, &vault, &row, &claim, outcome)).await
    }

    /// Waits until the providers of these have answered, but no longer than this; answers how far each
    /// has come.
    pub async fn told(&self, of: &[Ended], limit: Duration) -> Result<Vec<Ended>, RevokeError> {
        let clock = &self.desk.clock;
        let deadline = clock.boot() + limit;
        loop {
            if let Some(upstream) = &self.upstream {
                let left = deadline.saturating_sub(clock.boot());
                // A call that takes longer is begun anew by whoever serves the store.
                let told = tokio::time::timeout(left, self.tell_due(upstream)).await;
                told.unwrap_or(Ok(0))?;
            }
            let (authority, wanted) = (self.clone(), of.to_vec());
            let look = tokio::task::spawn_blocking(move || authority.revocations(&wanted)).await;
            let now = look.unwrap_or(Err(StoreError::Panicked.into()))?;
            let waits = now.iter().any(|ended| ended.revocation == Revocation::Pending);
            if !waits || clock.boot() >= deadline {
                return Ok(now);
            }
            // Who tells them may be another process.
            clock.sleep(LOOK).await;
        }
    }

    /// How long until one is due.
    async fn until_next(&self) -> Result<Duration, RevokeError> {
        let worker = self.clone();
        let look = move || {
            worker.read(|tx| {
                let sql =
                    "SELECT min(CASE WHEN claimed_until > revocation_at THEN claimed_until ELSE revocation_at END)
                    FROM connections WHERE revocation = 'pending'";
                let row = tx.row(sql, &[])?;
                let next = row.map(|row| row.int_or_null(0)).transpose()?.flatten();
                Ok::<_, StoreError>(next.map(|next| next - worker.now()))
            })
        };
        let wait = tokio::task::spawn_blocking(look).await.unwrap_or(Err(StoreError::Panicked))?;
        let seconds = wait.map(|wait| u64::try_from(wait.max(1)).unwrap_or(1));
        Ok(seconds.map_or(IDLE, Duration::from_secs).min(IDLE))
    }
}

/// Takes those that are due and that nobody else has. A claim that has ended is of somebody who
/// is gone.
fn claim(work: &mut Work<'_>) -> Result<Vec<Claimed>, RevokeError> {
    let (mut claimed, now) = (Vec::new(), work.now);
    for row in ConnectionRow::lock_revocations(work.tx(), now, AT_ONCE)? {
        let name = || row.name.clone();
        let bytes = random::<8>().map_err(|error| RevokeError::Wipe { name: name(), why: error.to_string() })?;
        claimed.push(Claimed { claim: hex::encode(*bytes), row });
    }
    let until = work.now + CLAIM;
    let list = |one: &Claimed| vec![one.claim.as_str().into(), until.into(), one.row.id.as_str().into()];
    let lists: Vec<Vec<Value>> = claimed.iter().map(list).collect();
    work.tx().each("UPDATE connections SET claimed_by = $1, claimed_until = $2 WHERE id = $3", &lists)?;
    Ok(claimed)
}

/// Keeps what came of it, unless somebody else has taken it over.
fn settle(
    work: &mut Work<'_>,
    vault: &Vault,
    told: &ConnectionRow,
    claim: &str,
    outcome: Outcome,
) -> Result<(), RevokeError> {
    let found = ConnectionRow::lock(work.tx(), &told.workspace, &told.id)?;
    let Some(mut row) = found.filter(|row| row.id == told.id) else { return Ok(()) };
    if row.claimed_by.as_deref() != Some(claim) || Revocation::of(&row)? != Some(Revocation::Pending) {
        return Ok(());
    }
    (row.claimed_by, row.claimed_until) = (None, None);
    row.revocation_tries += 1;
    let tries = row.revocation_tries;
    let (word, why) = match outcome {
        Outcome::Upstream => {
            wipe(vault, &mut row, false)?;
            ("upstream", None)
        }
        Outcome::Local { renewable, why } => {
            wipe(vault, &mut row, renewable)?;
            ("local", Some(why))
        }
        Outcome::Later { after, why } => {
            let next = work.now + wait(tries, after);
            let renewable = row.field_names.contains("\"refresh_token\"");
            if next < patience(&row, renewable) {
                tracing::info!(connection = row.name, why, tries, "a provider did not hear of a revocation yet");
                row.revocation_at = Some(next);
                return Ok(row.put(work.tx())?);
            }
            wipe(vault, &mut row, renewable)?;
            ("local", Some(why))
        }
    };
    (row.revocation, row.revocation_at) = (Some(word.to_owned()), Some(work.now));
    row.put(work.tx())?;
    let record = Record::new("connection.revocation").connection(&row.id, &row.name);
    let record = record.with("revocation", word).with("tries", tries);
    let record = match why {
        Some(why) => record.with("why", why),
        None => record,
    };
    work.record_in(row.workspace, record);
    Ok(())
}

/// Twice as long after each try, and never shorter than the provider asks for.
fn wait(tries: i64, after: Option<Duration>) -> i64 {
    let doublings = u32::try_from(tries.clamp(1, 20) - 1).unwrap_or_default();
    let own = (FIRST << doublings).min(LONGEST);
    let asked = after.map_or(0, |after| i64::try_from(after.as_secs()).unwrap_or(i64::MAX / 4).min(PATIENCE));
    own.max(asked)
}

/// When it is hopeless: once the credentials have ended by themselves, or after a day.
fn patience(row: &ConnectionRow, renewable: bool) -> i64 {
    let end = row.expires_at.filter(|_| !renewable).unwrap_or(i64::MAX);
    end.min(row.updated_at + PATIENCE)
}
