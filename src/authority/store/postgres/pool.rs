//! The connections of transactions: a few, opened when they are needed, dropped when they broke.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Statement};

use super::way::{Refused, Way};
use super::{StoreError, failed};

/// How long a transaction waits for a connection that others use.
const WAIT: Duration = Duration::from_secs(5);

/// How long a transaction waits for a server that is not there: it may be starting again.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long nobody waits again for a server for which somebody has waited in vain.
const REST: Duration = Duration::from_secs(1);

/// Between two attempts: doubled each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(400));

/// A connection, with the statements that were prepared on it.
pub(super) struct Link {
    pub(super) client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self { client, statements: HashMap::new() }
    }

    /// A statement that was prepared before.
    pub(super) fn known(&self, sql: &'static str) -> Option<Statement> {
        self.statements.get(sql).cloned()
    }

    /// Keeps a statement that was prepared now.
    pub(super) fn keep(&mut self, sql: &'static str, statement: &Statement) {
        self.statements.insert(sql, statement.clone());
    }
}

/// The pool. Everything in it waits on the calling thread, within the runtime of the connections.
pub(super) struct Pool {
    way: Arc<Way>,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Link>,
    /// Those in use and those being opened too.
    open: usize,
    /// The server was not there, and until when nobody waits for it.
    resting: Option<(Instant, Refused)>,
}

impl Pool {
    pub(super) fn new(way: Arc<Way>) -> Self {
        Self { way, state: Mutex::default(), freed: Condvar::new() }
    }

    /// A connection that works, as far as is known. With `patience`, a server that is starting is
    /// waited for.
    pub(super) fn take(
        &self,
        patience: bool,
        run: impl Fn(&Way) -> Result<Client, Refused>,
    ) -> Result<Link, StoreError> {
        let until = Instant::now() + WAIT;
        let mut state = self.lock();
        loop {
            while let Some(link) = state.idle.pop() {
                if !link.client.is_closed() {
                    return Ok(link);
                }
                state.open -= 1;
            }
            if state.open < self.way.connections() {
                state.open += 1;
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = format!("each of its {} connections has been in use for {} s", state.open, WAIT.as_secs());
                return Err(failed("use", &self.way.name, why));
            }
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let resting = state.resting.as_ref().filter(|(until, _)| Instant::now() < *until);
        let result = match resting.map(|(_, refused)| refused.clone()) {
            Some(refused) => Err(refused),
            None => {
                drop(state);
                let opened = self.open(patience, run);
                state = self.lock();
                state.resting = opened.as_ref().err().map(|refused| (Instant::now() + REST, refused.clone()));
                opened
            }
        };
        if result.is_err() {
            state.open -= 1;
            self.freed.notify_one();
        }
        result.map(Link::new).map_err(|refused| failed("reach", &self.way.name, refused.why))
    }

    fn open(&self, patience: bool, run: impl Fn(&Way) -> Result<Client, Refused>) -> Result<Client, Refused> {
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSES.0;
        loop {
            match run(&self.way) {
                Err(refused) if patience && refused.passing && Instant::now() + pause < until => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                }
                opened => return opened,
            }
        }
    }

    /// Takes a connection back, or counts it out if it broke.
    pub(super) fn give(&self, link: Option<Link>) {
        let mut state = self.lock();
        match link.filter(|link| !link.client.is_closed()) {
            Some(link) => state.idle.push(link),
            None => state.open -= 1,
        }
        drop(state);
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
