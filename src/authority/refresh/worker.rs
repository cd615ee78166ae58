//! The worker of a process: looks for what is due, and renews as much of it at once as its bounds
//! allow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Issuer;
use super::attempt::attempt;
use super::claim::{Due, claim};
use super::sweep::sweep;
use crate::authority::Authority;
use crate::authority::record::Actor;
use crate::authority::store::StoreError;
use crate::authority::vault::random;
use crate::model::Workspace;

/// Refreshes at once, and those of one provider among them: one that hangs leaves room for others.
const AT_ONCE: usize = 32;
const OF_ONE: usize = 24;

/// How many due connections are read at once.
const PAGE: i64 = 1024;

/// How long nobody looks where nothing is due and nothing is heard: a claim of a process that died may
/// have run out.
const PERIOD: Duration = Duration::from_secs(5);

/// Renews what is due until `stop` says so, then ends what was begun.
pub(in crate::authority) async fn work(authority: Authority, issuer: Arc<dyn Issuer>, mut stop: watch::Receiver<bool>) {
    let authority = authority.acting_as(Actor::Worker);
    authority.desk.feed.follow(&authority.desk.store);
    let mut moves = authority.desk.feed.moves();
    let mut worker = Worker { authority, issuer, nonce: nonce(), claims: 0, busy: Busy::default(), swept: None };
    loop {
        moves.mark_unchanged();
        let wait = worker.look().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot look for connections that are to be refreshed");
            PERIOD
        });
        let clock = Arc::clone(&worker.authority.desk.clock);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = clock.sleep(wait) => {}
            moved = moves.changed() => if moved.is_err() { break },
            () = worker.busy.one_ends() => {}
        }
    }
    while !worker.busy.tasks.is_empty() {
        worker.busy.one_ends().await;
    }
}

fn nonce() -> String {
    random::<8>().map(|bytes| hex::encode(*bytes)).unwrap_or_default()
}

struct Worker {
    authority: Authority,
    issuer: Arc<dyn Issuer>,
    /// Tells this worker's claims from those of others.
    nonce: String,
    claims: u64,
    busy: Busy,
    /// When the last sweep was, since boot.
    swept: Option<Duration>,
}

/// What is under way.
#[derive(Default)]
struct Busy {
    tasks: JoinSet<()>,
    with: HashMap<tokio::task::Id, Due>,
}

impl Busy {
    fn has_room(&self, due: &Due) -> bool {
        let of_one = self.with.values().filter(|other| other.provider == due.provider).count();
        self.with.len() < AT_ONCE && of_one < OF_ONE && !self.with.values().any(|other| other.id == due.id)
    }

    /// Waits until one ends, in whatever way; for ever, if there is none.
    async fn one_ends(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            // Its claim runs out by itself.
            Some(Err(panicked)) => panicked.id(),
        };
        self.with.remove(&id);
    }
}

impl Worker {
    /// Begins what is due and has room; tells how long there is nothing more to do.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        self.sweep().await?;
        let (reader, now) = (self.authority.clone(), self.authority.now());
        let looked = tokio::task::spawn_blocking(move || reader.read(|tx| Due::next(tx, now, PAGE))).await;
        let found = looked.map_err(|_| StoreError::Panicked)??;
        let next = found.iter().find(|due| due.at > now).map(|due| due.at - now);
        for due in found.into_iter().take_while(|due| due.at <= now) {
            if self.busy.has_room(&due) {
                self.begin(due);
            }
        }
        Ok(next.map_or(PERIOD, |seconds| Duration::from_secs(seconds.unsigned_abs()).min(PERIOD)))
    }

    async fn sweep(&mut self) -> Result<(), StoreError> {
        let now = self.authority.desk.clock.boot();
        if self.swept.is_none_or(|last| now.saturating_sub(last) >= PERIOD) {
            sweep(&self.authority).await?;
            self.swept = Some(now);
        }
        Ok(())
    }

    fn begin(&mut self, due: Due) {
        // Only we write names of workspaces.
        let Ok(workspace) = Workspace::parse(&due.workspace) else { return };
        self.claims += 1;
        let (by, id) = (format!("{}-{}", self.nonce, self.claims), due.id.clone());
        let authority = self.authority.within(workspace);
        let issuer = Arc::clone(&self.issuer);
        let task = self.busy.tasks.spawn(async move {
            if let Err(error) = renew(&authority, &issuer, id, by).await {
                tracing::debug!(%error, "a refresh ended early");
            }
        });
        self.busy.with.insert(task.id(), due);
    }
}

/// Claims a connection and renews it, unless somebody else was first.
pub(super) async fn renew(
    authority: &Authority,
    issuer: &Arc<dyn Issuer>,
    id: String,
    by: String,
) -> Result<(), StoreError> {
    let vault = Arc::clone(&authority.desk.vault);
    let claimed = authority.write_async(move |work| claim(work, &vault, &id, &by)).await?;
    if let Some(ready) = claimed {
        attempt(authority, issuer, ready).await?;
    }
    Ok(())
}
