use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};

use super::background::Background;
use super::connections::time;
use super::contract::read_bindings;
use super::feed::Feed;
use super::record::{Actor, Record};
use super::recorder::{Recorder, Task, Work};
use super::rows::{ConnectionRow, State};
use super::store::{Store, StoreError, Value};
use super::vault::Vault;
use super::{Authority, RefreshError};
use crate::lease::{Ask, Asked, Borrowed, LeaseSource, LendError, Loan};
use crate::model::{ConnectionName, Fields, Host, Workspace};
use crate::telemetry::Clock;

/// What lending needs.
pub(super) struct Desk {
    pub(super) store: Arc<dyn Store>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) feed: Arc<Feed>,
    pub(super) vault: Arc<Vault>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is wanted, by whom.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) workspace: Workspace,
    /// None for an old client, which names none.
    pub(super) agent: Option<Arc<str>>,
    /// Its name, or its id.
    pub(super) connection: ConnectionName,
    /// For which host; none for an old client.
    pub(super) host: Option<Host>,
    /// The id and the version that are held already: they are not sent again.
    pub(super) held: Option<(Arc<str>, u64)>,
}

/// Who may borrow what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Any agent any connection: the sidecar in this process decides by its policy.
    Any,
    /// An agent what was granted to it (`authority allow`), for a host that it is bound to.
    Granted,
    /// Whoever asks has shown that this connection is its own to take.
    Taken,
}

/// What was lent, and what its transaction saw.
#[derive(Debug)]
pub(super) struct Lending {
    pub(super) loan: Loan,
    pub(super) name: String,
    pub(super) owned: bool,
    /// It is what is held already, and has no credentials here.
    pub(super) unchanged: bool,
    /// The number of the last event that the transaction saw, or of an earlier one.
    pub(super) event: i64,
}

impl Desk {
    /// Lends once the record of it is durable.
    pub(super) async fn lend(&self, actor: Actor, wanted: Wanted, rule: Rule) -> Result<Lending, LendError> {
        let (reply, answer) = oneshot::channel();
        let name = wanted.connection.clone();
        let (vault, clock) = (Arc::clone(&self.vault), Arc::clone(&self.clock));
        self.recorder.submit(Box::new(Lend { wanted, actor, rule, vault, clock, result: None, reply }));
        answer.await.unwrap_or_else(|_| Err(unavailable(&name, &StoreError::Closed)))
    }
}

struct Lend {
    wanted: Wanted,
    actor: Actor,
    rule: Rule,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    result: Option<Result<Lending, LendError>>,
    reply: oneshot::Sender<Result<Lending, LendError>>,
}

impl Task for Lend {
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        let result = self.decide(work);
        self.say(work, &result);
        self.result = Some(result);
        true
    }

    fn whose(&self) -> (Workspace, Actor) {
        (self.wanted.workspace.clone(), self.actor.clone())
    }

    fn settle(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match committed {
            Ok(()) => self.result.unwrap_or_else(|| Err(unavailable(&self.wanted.connection, &StoreError::Panicked))),
            Err(error) => Err(unavailable(&self.wanted.connection, &error)),
        };
        // Whoever no longer waits has gone; what was decrypted is wiped here.
        let _ = self.reply.send(result);
    }

    fn is_light(&self) -> bool {
        true
    }
}

impl Lend {
    fn decide(&self, work: &mut Work<'_>) -> Result<Lending, LendError> {
        let name = &self.wanted.connection;
        let seen = Seen::read(work, &self.wanted).map_err(|error| unavailable(name, &error))?;
        let seen = seen.ok_or_else(|| LendError::NotFound(name.clone()))?;
        if self.rule == Rule::Granted && !seen.granted {
            return Err(LendError::NotFound(name.clone()));
        }
        if seen.agent_revoked {
            return Err(LendError::Revoked(name.clone()));
        }
        if seen.frozen {
            return Err(LendError::Frozen(name.clone()));
        }
        self.live(&seen.row)?;
        let unusable = |why: String| LendError::Unusable { name: name.clone(), why };
        let held = |(id, version): &(Arc<str>, u64)| **id == *seen.row.id && *version == seen.row.version;
        let unchanged = self.wanted.held.as_ref().is_some_and(held);
        let credentials = match unchanged {
            true => Fields::new(),
            false => self.vault.open(&seen.row).map_err(|error| unusable(error.to_string()))?,
        };
        let bindings = read_bindings(&seen.row).map_err(unusable)?;
        if let (Rule::Granted, Some(host)) = (self.rule, &self.wanted.host)
            && bindings.strategy_for(host).is_none()
        {
            return Err(LendError::Unbound { name: name.clone(), host: host.clone() });
        }
        let refreshable = seen.row.refresh_at.is_some();
        let ConnectionRow { id, name, owned, version, expires_at, .. } = seen.row;
        let expires_at = expires_at.map(time);
        let mut loan = Loan { id: id.into(), version, bindings, credentials, expires_at, refreshable };
        loan.keep_what_is_used();
        Ok(Lending { loan, name, owned, unchanged, event: seen.event })
    }

    fn live(&self, row: &ConnectionRow) -> Result<(), LendError> {
        let name = self.wanted.connection.clone();
        let ended = row.expires_at.is_some_and(|end| time(end) <= self.clock.wall());
        match row.state {
            State::Active if ended && row.refresh_at.is_some() => {
                Err(LendError::Later { name, why: "its credentials ended, and are being refreshed".into() })
            }
            State::Active if ended => Err(LendError::Expired(name)),
            State::Active => Ok(()),
            State::Pending | State::Failed => Err(LendError::NotReady(name)),
            State::Attention => Err(LendError::Attention(name)),
            State::Revoked => Err(LendError::Revoked(name)),
            State::Expired => Err(LendError::Expired(name)),
        }
    }

    fn say(&self, work: &mut Work<'_>, result: &Result<Lending, LendError>) {
        let host = self.wanted.host.as_ref().map(ToString::to_string);
        let about = |event| Record::new(event).with("agent", self.wanted.agent.as_deref()).with("host", host);
        match result {
            Ok(lending) => {
                let record = about("lease.lent").connection(&lending.loan.id, &lending.name);
                let record = record.with("version", lending.loan.version);
                work.record(if lending.unchanged { record.with("unchanged", true) } else { record });
            }
            // The sidecar of this process has recorded the refusal, and could fill the store with them.
            Err(_) if self.rule == Rule::Any => {}
            Err(error) => {
                let record = about("lease.refused").with("asked_for", self.wanted.connection.as_str());
                work.record(record.with("why", error.word()));
            }
        }
    }
}

/// What one statement saw: a single moment of the store.
struct Seen {
    row: ConnectionRow,
    event: i64,
    frozen: bool,
    granted: bool,
    agent_revoked: bool,
}

impl Seen {
    fn read(work: &mut Work<'_>, wanted: &Wanted) -> Result<Option<Self>, StoreError> {
        let (connection, agent) = (wanted.connection.as_str(), wanted.agent.as_deref().unwrap_or_default());
        let values: [Value; 3] = [wanted.workspace.as_str().into(), connection.into(), agent.into()];
        let rows = work.query(ConnectionRow::LENDING, &values)?;
        let columns = ConnectionRow::COLUMNS;
        let found = rows.iter().find(|row| row.text(0).is_ok_and(|id| id == connection)).or(rows.first());
        let Some(row) = found else { return Ok(None) };
        Ok(Some(Self {
            row: ConnectionRow::read(row)?,
            event: row.int_or_null(columns)?.unwrap_or_default(),
            frozen: row.int_or_null(columns + 1)?.is_some(),
            granted: row.int(columns + 2)? > 0 && row.int(columns + 3)? > 0,
            agent_revoked: row.int_or_null(columns + 4)?.is_some(),
        }))
    }
}

fn unavailable(name: &ConnectionName, error: &StoreError) -> LendError {
    let why = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
    LendError::Unavailable { name: name.clone(), why: format!("{error}{why}") }
}

/// Lends from the store in this process.
pub(super) struct EmbeddedSource {
    desk: Arc<Desk>,
    /// Who makes others where a destination refused what was lent; it keeps no worker alive.
    authority: Authority,
    /// They work as long as there is somebody to work for.
    _workers: Arc<OnceLock<Vec<Background>>>,
}

impl EmbeddedSource {
    pub(super) fn new(desk: Arc<Desk>, authority: Authority, workers: Arc<OnceLock<Vec<Background>>>) -> Self {
        Self { desk, authority, _workers: workers }
    }

    async fn borrow(&self, ask: &Ask) -> Result<Borrowed, LendError> {
        let lending = self.ask(ask).await?;
        let refused = ask.held.as_ref().filter(|held| held.refused);
        let same = refused.is_some_and(|held| held.id == lending.loan.id && held.version == lending.loan.version);
        if same && lending.loan.refreshable {
            // Why there are no others is in its own record; those that are there may be good elsewhere.
            match self.authority.force_refresh(&lending.loan.id).await {
                Ok(_) | Err(RefreshError::Attention { .. } | RefreshError::NotActive { .. }) => {
                    return Ok(self.ask(ask).await?.loan.into());
                }
                Err(error) => tracing::warn!(connection = %ask.connection, %error, "a refused token was not renewed"),
            }
        }
        Ok(match lending.unchanged {
            true => Borrowed::Unchanged(lending.loan.expires_at),
            false => lending.loan.into(),
        })
    }

    async fn ask(&self, ask: &Ask) -> Result<Lending, LendError> {
        let Ask { workspace, agent, connection, host, held, .. } = ask.clone();
        let held = held.filter(|held| !held.refused).map(|held| (held.id, held.version));
        let wanted = Wanted { workspace, agent: Some(agent), connection, host: Some(host), held };
        self.desk.lend(Actor::Embedded, wanted, Rule::Any).await
    }
}

impl LeaseSource for EmbeddedSource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async move {
            ask.refuse_scope()?;
            self.borrow(ask).await
        })
    }

    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        let (desk, name, id) = (Arc::clone(&self.desk), connection.clone(), id.to_owned());
        Box::pin(async move {
            let asked = name.clone();
            let look = tokio::task::spawn_blocking(move || {
                let mut tx = desk.store.begin(super::store::Intent::Read)?;
                ConnectionRow::find(&mut *tx, Workspace::local().as_str(), asked.as_str())
            });
            let row = match look.await {
                Ok(row) => row.map_err(|error| unavailable(&name, &error))?,
                Err(error) => return Err(LendError::Unavailable { name, why: error.to_string() }),
            };
            let row = row.ok_or(LendError::NotFound(name))?;
            Ok(row.id == id && row.state != State::Revoked)
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.desk.feed.moves()
    }
}
