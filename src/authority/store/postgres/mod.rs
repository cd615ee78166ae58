//! A PostgreSQL database that replicas share.
//!
//! Connections live on a thread of their own; a transaction waits for them on the thread that
//! asked. What need not be waited for is sent together with what follows it: a transaction's
//! begin, its savepoints, and every row of `each`, so that a transaction costs a trip for each
//! question and one for its commit.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Runtime};

use super::{Hints, Intent, Store, StoreError, Transaction};
use crate::config::PostgresConfig;

mod listen;
mod open;
mod pool;
mod schema;
mod value;
mod way;

use open::Open;
use pool::{Link, Pool};
use way::Way;

/// A database.
pub(in crate::authority) struct Postgres {
    way: Arc<Way>,
    pool: Pool,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Opens a database and brings its tables up to date. The flag says whether they were made.
    pub(in crate::authority) fn open(config: &PostgresConfig) -> Result<(Self, bool), StoreError> {
        let store = Self::new(config)?;
        let link = store.take(false)?;
        let made = store.wait(schema::bring_up(&link.client, &store.way.name))?;
        store.pool.give(Some(link));
        Ok((store, made))
    }

    /// Tells whether a database holds a store. One that cannot be asked may hold one: whoever opens
    /// it learns why.
    pub(in crate::authority) fn is_there(config: &PostgresConfig) -> bool {
        let look = || {
            let store = Self::new(config)?;
            let link = store.take(false)?;
            store.wait(schema::is_there(&link.client, &store.way.name))
        };
        look().unwrap_or(true)
    }

    fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let way = Arc::new(Way::new(config.clone())?);
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build();
        let runtime = runtime.map_err(|error| failed("open", &way.name, format!("cannot start a thread: {error}")))?;
        Ok(Self { pool: Pool::new(Arc::clone(&way)), way, runtime: Some(runtime) })
    }

    fn take(&self, patience: bool) -> Result<Link, StoreError> {
        self.pool.take(patience, |way| self.wait(way.open()))
    }

    /// Waits on this thread for what happens on the connections' own. Unlike a runtime's way to
    /// wait, it may be used on a thread of another runtime.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        let mut future = pin!(future);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(done) => return done,
                Poll::Pending => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Store for Postgres {
    fn begin(&self, intent: Intent) -> Result<Box<dyn Transaction + '_>, StoreError> {
        Ok(Box::new(Open::new(self, self.take(true)?, intent)))
    }

    fn watch(&self, hints: Weak<Hints>) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(listen::listen(Arc::clone(&self.way), hints));
        }
    }

    fn name(&self) -> String {
        self.way.name.clone()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its thread is not waited for: this may be a thread that must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn failed(doing: &'static str, name: &str, why: impl Into<String>) -> StoreError {
    StoreError::Database { doing, name: name.to_owned(), source: why.into().into() }
}

#[cfg(test)]
mod tests;
