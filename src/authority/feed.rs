//! Tells this process what any process has committed: a thread follows the store's hints, reads
//! the events that are new, and passes them on. The table is the truth; hints only save time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::event::Event;
use super::rows::Tip;
use super::store::{Hints, Intent, Store, StoreError};

/// The longest that a change goes unseen when no hint comes.
const PERIOD: Duration = Duration::from_secs(1);

/// The longest that the store goes unread while all is well.
const FRESH: Duration = Duration::from_secs(4);

/// Events that a subscriber may be behind before it has to read the table again.
const BEHIND: usize = 4096;

/// Events of one workspace that are read at once.
const PAGE: i64 = 1000;

/// What happens in the store, as it happens.
pub(super) struct Feed {
    hints: Arc<Hints>,
    /// A number that moves whenever something that was lent may have changed.
    moves: watch::Sender<u64>,
    events: broadcast::Sender<Arc<Event>>,
    /// When the store was last read.
    read_at: Mutex<Option<Instant>>,
    started: Once,
}

impl Feed {
    pub(super) fn new() -> Arc<Self> {
        let (hints, moves, events) = (Arc::default(), watch::Sender::new(0), broadcast::Sender::new(BEHIND));
        Arc::new(Self { hints, moves, events, read_at: Mutex::default(), started: Once::new() })
    }

    /// Starts to follow a store, if nobody has: what is committed from now on is news.
    pub(super) fn follow(self: &Arc<Self>, store: &Arc<dyn Store>) {
        self.started.call_once(|| {
            store.watch(Arc::downgrade(&self.hints));
            let (store, hints, feed) = (Arc::clone(store), Arc::clone(&self.hints), Arc::downgrade(self));
            let seen = tips(&*store).inspect(|_| self.was_read()).unwrap_or_default();
            let thread = thread::Builder::new().name("events".into());
            if let Err(error) = thread.spawn(move || follow(&*store, &hints, &feed, seen)) {
                tracing::error!(%error, "cannot follow the store: changes by other processes are seen late");
            }
        });
    }

    /// This process has committed events.
    pub(super) fn committed(&self) {
        // Our own sidecar need not wait for the thread.
        self.moves.send_modify(|number| *number += 1);
        self.hints.give();
    }

    /// A number that moves whenever something that was lent may have changed.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    /// Every event from now on, of every workspace.
    pub(super) fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Tells whether the store was read a moment ago, so that silence means that nothing happened.
    pub(super) fn is_fresh(&self) -> bool {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        read_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    fn was_read(&self) {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

fn follow(store: &dyn Store, hints: &Hints, feed: &Weak<Feed>, mut seen: HashMap<String, i64>) {
    loop {
        hints.wait(PERIOD);
        let Some(feed) = feed.upgrade() else { return };
        let found = news(store, &mut seen);
        if found.is_ok() {
            feed.was_read();
        }
        match found {
            Ok(news) if news.is_empty() => {}
            Ok(news) => {
                feed.moves.send_modify(|number| *number += 1);
                for event in news {
                    // Nobody listens: nobody has to be told.
                    let _ = feed.events.send(Arc::new(event));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read the store's events");
                // Nothing that was cached is used then, and each request learns what is wrong.
                feed.moves.send_modify(|number| *number += 1);
            }
        }
    }
}

fn tips(store: &dyn Store) -> Result<HashMap<String, i64>, StoreError> {
    let mut tx = store.begin(Intent::Read)?;
    Ok(Tip::all(&mut *tx)?.into_iter().map(|(workspace, tip)| (workspace, tip.last_event)).collect())
}

fn news(store: &dyn Store, seen: &mut HashMap<String, i64>) -> Result<Vec<Event>, StoreError> {
    let mut tx = store.begin(Intent::Read)?;
    let mut found = Vec::new();
    for (workspace, tip) in Tip::all(&mut *tx)? {
        let last = seen.entry(workspace.clone()).or_default();
        while *last < tip.last_event {
            let events = Event::after(&mut *tx, &workspace, *last, PAGE)?;
            // A gap at the end cannot be, and must not turn us in circles.
            *last = events.last().map_or(tip.last_event, |event| event.number);
            found.extend(events);
        }
    }
    Ok(found)
}
