//! The log of one process: what every entry appends to, under one lock.
//!
//! A line is formatted before the lock is taken; inside it gets its MAC and goes behind the lines
//! that are pending. An intent writes all that is pending with one `write(2)`; outcomes wait for
//! the next intent, or 20 ms for the worker.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::AuditError;
use super::file::{Folder, LogFile};
use super::head::{Head, HeadFile};
use super::line::Line;
use super::sink::drain;
use super::worker::Nap;
use crate::config::AuditMode;
use crate::telemetry::Clock;

/// What may be pending while writing fails, in bytes; lines past it are lost and counted.
const MOST_PENDING: usize = 1 << 20;

/// The log of this process.
pub(super) struct Log {
    pub(super) mode: AuditMode,
    pub(super) max_file: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) folder: Folder,
    pub(super) state: Mutex<State>,
    /// Taken after `state`, or without it.
    pub(super) heads: Mutex<HeadFile>,
    pub(super) wake: Condvar,
    failures: AtomicU64,
    /// Something keeps lines from being written: the way in looks closer.
    trouble: AtomicBool,
}

pub(super) struct State {
    pub(super) file: LogFile,
    /// Lines with their MACs that were not written yet.
    pub(super) pending: Vec<u8>,
    /// Intents that wait for the disk.
    pub(super) waiters: Vec<oneshot::Sender<bool>>,
    /// What the worker is waiting for.
    pub(super) nap: Nap,
    pub(super) stage: Stage,
    /// The last write failed; the next one that succeeds ends this.
    pub(super) failing: bool,
    /// Lines that were dropped while writing failed.
    lost: u64,
}

/// How far a file is on its way out. A step that fails is taken again later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Lines are appended.
    Open,
    /// A sync or the head failed: the next line goes to another file.
    Suspect,
    /// Its last line is in the chain.
    Ended,
    /// The index says that it is complete.
    Listed,
    /// The audit is closed: there will be no other file.
    Closed,
}

/// A line was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unwritten;

impl Log {
    pub(super) fn new(
        mode: AuditMode,
        max_file: u64,
        clock: Arc<dyn Clock>,
        folder: Folder,
    ) -> Result<Self, AuditError> {
        let (file, heads) = folder.start("start", None, clock.wall())?;
        let state = State {
            file,
            pending: Vec::new(),
            waiters: Vec::new(),
            nap: Nap::Idle,
            stage: Stage::Open,
            failing: false,
            lost: 0,
        };
        let (state, heads) = (Mutex::new(state), Mutex::new(heads));
        let (failures, trouble) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { mode, max_file, clock, folder, state, heads, wake: Condvar::new(), failures, trouble })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether there is room for one more entry; tries again to write if writing failed.
    pub(super) fn ready(&self) -> Result<(), Unwritten> {
        if !self.trouble.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.lock();
        if state.stage == Stage::Closed {
            return Err(Unwritten);
        }
        if state.failing { self.flush(&mut state) } else { Ok(()) }
    }

    /// Appends an intent and writes it.
    pub(super) fn write(&self, body: &[u8]) -> Result<(), Unwritten> {
        let mut state = self.lock();
        self.append(&mut state, body)?;
        let result = self.flush(&mut state);
        self.unlock(state, Nap::UntilHead);
        result
    }

    /// Appends an intent; the receiver hears once its group is on disk.
    pub(super) fn write_durably(&self, body: &[u8]) -> Result<oneshot::Receiver<bool>, Unwritten> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        self.append(&mut state, body)?;
        state.waiters.push(sender);
        drop(state);
        self.wake.notify_one();
        Ok(receiver)
    }

    /// Appends an outcome; it is written with what comes next, or after 20 ms.
    pub(super) fn defer(&self, body: &[u8]) -> Result<(), Unwritten> {
        let mut state = self.lock();
        self.append(&mut state, body)?;
        self.unlock(state, Nap::Soon);
        Ok(())
    }

    /// Ends the audit: the last line, the head, the index. What comes later is refused.
    pub(super) fn close(&self) -> Result<(), AuditError> {
        let mut state = self.lock();
        if state.stage == Stage::Closed {
            return Ok(());
        }
        let result = self.end(&mut state, "close");
        state.stage = Stage::Closed;
        self.trouble.store(true, Ordering::Relaxed);
        drop(state);
        self.wake.notify_one();
        result.map(|_| ())
    }

    /// Lets go of the lock, and wakes the worker if it would sleep longer than `nap`.
    fn unlock(&self, mut state: MutexGuard<'_, State>, nap: Nap) {
        let asleep = state.nap < nap;
        if asleep {
            state.nap = Nap::Soon;
        }
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Writes what is pending, into a new file if the old one is done with.
    pub(super) fn flush(&self, state: &mut State) -> Result<(), Unwritten> {
        let turned = if state.stage == Stage::Open { Ok(()) } else { self.turn(state) };
        let result = turned
            .and_then(|()| self.drain(state).map_err(AuditError::writing(&self.folder.dir.join(&*state.file.name))));
        match result {
            Ok(()) => self.succeeded(state),
            Err(error) => return Err(self.failed(state, &error)),
        }
        Ok(())
    }

    /// Ends the file and starts the next one; called again, it goes on where it failed.
    pub(super) fn turn(&self, state: &mut State) -> Result<(), AuditError> {
        let old = self.end(state, "rotate")?;
        if state.stage != Stage::Listed {
            return Err(AuditError::Closed);
        }
        let (file, heads) = self.folder.start("rotate", Some(&old), self.clock.wall())?;
        state.file = file;
        *self.heads.lock().unwrap_or_else(PoisonError::into_inner) = heads;
        state.stage = Stage::Open;
        Ok(())
    }

    /// Writes the last line, the head and the index's line; nothing may be appended after it.
    pub(super) fn end(&self, state: &mut State, reason: &'static str) -> Result<Head, AuditError> {
        let path = self.folder.dir.join(&*state.file.name);
        if matches!(state.stage, Stage::Open | Stage::Suspect) {
            let mut body = Vec::new();
            Line::begin(&mut body, self.clock.wall(), "close").text("reason", reason);
            state.file.chain.push(&body, &mut state.pending);
            state.stage = Stage::Ended;
        }
        let head = Head::of(&state.file.name, &state.file.chain);
        if state.stage == Stage::Ended {
            self.drain(state).map_err(AuditError::writing(&path))?;
            if self.folder.durable {
                self.sync(state);
            }
            self.replace_head(&head)?;
            self.folder.list_closed(&head, self.clock.wall())?;
            state.stage = Stage::Listed;
        }
        Ok(head)
    }

    /// Says that the file cannot be relied on: the next line goes to another one, or is refused.
    pub(super) fn suspect(&self, error: &AuditError) {
        let mut state = self.lock();
        self.failed(&mut state, error);
        if state.stage == Stage::Open {
            state.stage = Stage::Suspect;
        }
    }

    /// How many lines the head file covers.
    pub(super) fn head_count(&self) -> u64 {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).count()
    }

    /// Replaces the head file by a newer one.
    pub(super) fn replace_head(&self, head: &Head) -> Result<(), AuditError> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).replace(head)
    }

    /// How many writes have failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts and logs a failure: the first of a row loudly.
    pub(super) fn failed(&self, state: &mut State, error: &AuditError) -> Unwritten {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !state.failing {
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the audit cannot be written");
        }
        state.failing = true;
        self.trouble.store(true, Ordering::Relaxed);
        Unwritten
    }

    fn succeeded(&self, state: &mut State) {
        if state.failing {
            tracing::warn!(lost = state.lost, "the audit is written again");
            state.failing = false;
            self.trouble.store(false, Ordering::Relaxed);
        }
    }

    /// Syncs the file that ends. Intents that wait for it are refused if that fails: the next
    /// group syncs another file.
    fn sync(&self, state: &mut State) {
        if let Err(error) = state.file.sink.sync() {
            self.failed(state, &AuditError::writing(&self.folder.dir.join(&*state.file.name))(error));
            state.waiters.clear();
        }
    }

    fn append(&self, state: &mut State, body: &[u8]) -> Result<(), Unwritten> {
        let full = state.pending.len() + body.len() > MOST_PENDING;
        let placed = match state.stage {
            Stage::Closed => return Err(Unwritten),
            Stage::Open if !full => Ok(()),
            _ => self.flush(state),
        };
        if placed.is_err() {
            state.lost += 1;
            return Err(Unwritten);
        }
        if state.lost > 0 && !state.failing {
            let mut note = Vec::new();
            Line::begin(&mut note, self.clock.wall(), "note").number("lost", state.lost);
            state.file.chain.push(&note, &mut state.pending);
            state.lost = 0;
        }
        state.file.chain.push(body, &mut state.pending);
        Ok(())
    }

    fn drain(&self, state: &mut State) -> io::Result<()> {
        let before = state.pending.len();
        let result = drain(&*state.file.sink, &mut state.pending);
        state.file.size += (before - state.pending.len()) as u64;
        result.map(|_| ())
    }
}
