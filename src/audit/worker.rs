//! The one thread of an audit: it writes outcomes that wait, replaces the head once a second,
//! starts the next file, and syncs for groups of intents. With nothing to do it sleeps for good.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::AuditError;
use super::head::Head;
use super::log::{Log, Stage, State};

/// The longest that an outcome waits to be written.
const TICK: Duration = Duration::from_millis(20);
/// The shortest time between two replacements of the head, and between two tries to write.
const SECOND: Duration = Duration::from_secs(1);

/// What the worker is waiting for, so that nobody wakes it for what it will do anyway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Nap {
    /// To be told.
    Idle,
    /// For the time to replace the head.
    UntilHead,
    /// For at most 20 ms.
    Soon,
}

/// Starts the thread; it ends once the log is closed.
pub(super) fn start(log: &Arc<Log>) -> Result<JoinHandle<()>, AuditError> {
    let log = Arc::clone(log);
    let thread = std::thread::Builder::new().name("audit".into());
    thread.spawn(move || run(&log)).map_err(|source| AuditError::Thread { source })
}

fn run(log: &Log) {
    let mut head_at = Instant::now();
    let mut seen = 0;
    loop {
        let mut state = log.lock();
        let busy = !state.pending.is_empty() || state.file.chain.count != seen;
        seen = state.file.chain.count;
        let dirty = log.head_count() < seen;
        let tick = if state.failing { SECOND } else { TICK };
        state = match (busy, dirty) {
            (true, _) => nap(log, state, Nap::Soon, Some(Instant::now() + tick)),
            (false, true) => nap(log, state, Nap::UntilHead, Some(head_at + SECOND)),
            (false, false) => nap(log, state, Nap::Idle, None),
        };
        if state.stage == Stage::Closed {
            state.waiters.clear();
            return;
        }
        if !state.waiters.is_empty() {
            group(log, state);
            head_at = Instant::now();
            continue;
        }
        if busy {
            write(log, &mut state);
        }
        if Instant::now() >= head_at + SECOND && state.pending.is_empty() && !state.failing {
            head_at = Instant::now();
            let head = Head::of(&state.file.name, &state.file.chain);
            drop(state);
            if let Err(error) = log.replace_head(&head) {
                log.suspect(&error);
            }
        }
    }
}

/// Sleeps until the time has come, or something cannot wait: a group, the end, and, unless the
/// nap is a short one anyway, any new line.
fn nap<'a>(log: &'a Log, mut state: MutexGuard<'a, State>, nap: Nap, until: Option<Instant>) -> MutexGuard<'a, State> {
    state.nap = nap;
    let seen = state.file.chain.count;
    loop {
        let urgent = !state.waiters.is_empty() || state.stage == Stage::Closed;
        if urgent || nap != Nap::Soon && state.file.chain.count != seen {
            break;
        }
        state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => break,
            Some(left) => log.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            None => log.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
    state.nap = Nap::Soon;
    state
}

fn write(log: &Log, state: &mut State) {
    // A failure is counted and logged; what is pending stays for the next try.
    let full = log.flush(state).is_ok() && state.file.size >= log.max_file;
    if full && let Err(error) = log.turn(state) {
        log.failed(state, &error);
    }
}

/// One sync and one head for every intent that waits.
fn group(log: &Log, mut state: MutexGuard<'_, State>) {
    let waiters = std::mem::take(&mut state.waiters);
    let written = log.flush(&mut state).is_ok();
    let head = Head::of(&state.file.name, &state.file.chain);
    let (sink, path) = (Arc::clone(&state.file.sink), log.folder.dir.join(&*state.file.name));
    drop(state);
    let durable = written && {
        let synced = sink.sync().map_err(AuditError::writing(&path)).and_then(|()| log.replace_head(&head));
        synced.map_err(|error| log.suspect(&error)).is_ok()
    };
    for waiter in waiters {
        // Whoever no longer waits was refused otherwise.
        let _ = waiter.send(durable);
    }
    let mut state = log.lock();
    if state.file.size >= log.max_file && state.stage == Stage::Open {
        write(log, &mut state);
    }
}
