//! Idle upstream connections, kept apart by everything that must not be shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use hyper::client::conn::{http1, http2};
use ipnet::IpNet;
use tokio::time::Instant;

use super::super::upload::Upload;
use super::line::Line;
use crate::dial::Offer;
use crate::model::{Destination, Workspace};
use crate::strategy::Outbound;

/// What two requests must have in common to share a connection: a connection authenticated or
/// warmed up for one agent or one credential never serves another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    workspace: Workspace,
    agent: Arc<str>,
    destination: Destination,
    connection: Option<(Arc<str>, u64)>,
    /// Where its address was allowed to be: another rule may not go there.
    networks: Arc<[IpNet]>,
    offer: Offer,
}

impl Key {
    pub(super) fn of(outbound: &Outbound, workspace: &Workspace) -> Self {
        let terms = outbound.terms();
        Self {
            workspace: workspace.clone(),
            agent: Arc::clone(terms.agent().name()),
            destination: terms.destination().clone(),
            connection: outbound.connection(),
            networks: Arc::clone(terms.networks()),
            offer: Offer::Any,
        }
    }

    pub(super) fn offer(&self) -> Offer {
        self.offer
    }
}

/// How many connections wait, and how long.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct PoolLimits {
    pub(in crate::proxy) per_key: usize,
    pub(in crate::proxy) total: usize,
    pub(in crate::proxy) idle: Duration,
}

/// The pool.
pub(super) struct Pool {
    waiting: DashMap<Key, Shelf>,
    count: AtomicUsize,
    limits: PoolLimits,
}

#[derive(Default)]
struct Shelf {
    h1: Vec<Idle>,
    h2: Option<Shared>,
}

/// An h2 connection that requests share. Dropping it here ends it after its last request.
struct Shared {
    sender: http2::SendRequest<Upload>,
    received: Arc<std::sync::atomic::AtomicU64>,
    used: Instant,
}

struct Idle {
    sender: http1::SendRequest<Upload>,
    received: Arc<std::sync::atomic::AtomicU64>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self { waiting: DashMap::new(), count: AtomicUsize::new(0), limits }
    }

    /// Takes the connection that was used last, and drops those that died meanwhile.
    pub(super) fn take(&self, key: &Key) -> Option<Line> {
        let mut shelf = self.waiting.get_mut(key)?;
        if let Some(shared) = &mut shelf.h2 {
            if shared.sender.is_closed() {
                shelf.h2 = None;
            } else {
                shared.used = Instant::now();
                return Some(Line::h2(shared.sender.clone(), Arc::clone(&shared.received), true));
            }
        }
        while let Some(idle) = shelf.h1.pop() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            if !idle.sender.is_closed() && idle.since.elapsed() < self.limits.idle {
                return Some(Line::h1(idle.sender, idle.received, true));
            }
        }
        None
    }

    /// Keeps a connection that finished an exchange.
    pub(super) fn give_back(
        &self,
        key: Key,
        sender: http1::SendRequest<Upload>,
        received: Arc<std::sync::atomic::AtomicU64>,
    ) {
        if sender.is_closed() || self.count.load(Ordering::Relaxed) >= self.limits.total {
            return;
        }
        let mut shelf = self.waiting.entry(key).or_default();
        if shelf.h1.len() < self.limits.per_key {
            shelf.h1.push(Idle { sender, received, since: Instant::now() });
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shares an h2 connection with all who have the same key.
    pub(super) fn share(
        &self,
        key: Key,
        sender: http2::SendRequest<Upload>,
        received: Arc<std::sync::atomic::AtomicU64>,
    ) {
        self.waiting.entry(key).or_default().h2 = Some(Shared { sender, received, used: Instant::now() });
    }

    /// Drops what died or waited too long.
    pub(super) fn sweep(&self) {
        self.waiting.retain(|_, shelf| {
            let before = shelf.h1.len();
            shelf.h1.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < self.limits.idle);
            self.count.fetch_sub(before - shelf.h1.len(), Ordering::Relaxed);
            if shelf.h2.as_ref().is_some_and(|h2| h2.sender.is_closed() || h2.used.elapsed() >= self.limits.idle) {
                shelf.h2 = None;
            }
            !shelf.h1.is_empty() || shelf.h2.is_some()
        });
    }
}
