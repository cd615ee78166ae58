//! The events of one workspace for one follower: what came after the number that it knows, then
//! what happens, without a gap. The table is the truth: what is missed while it happens is read
//! there, and what is there no longer is said to be lost, so that the follower starts anew.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::access::Sight;
use super::event::Event;
use super::rows::{Tip, oldest_event};
use super::store::{Intent, StoreError};
use super::{Authority, connections, once, vault};

/// Events that are read at once.
const PAGE: i64 = 500;

/// The name of the store's own name in its table of facts. A store that was restored gets another.
pub(super) const EPOCH: &str = "epoch";

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// First of all: the last event that there is, and the store that numbers them. Numbers of
    /// another store mean nothing here.
    Hello { number: i64, store: String },
    /// Something happened.
    Change(Arc<Event>),
    /// What was asked for is not there: whatever the follower knows may be wrong.
    Resync { number: i64 },
}

/// Whose events a follower hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// All of the workspace.
    All,
    /// What concerns these agents, and what concerns everybody.
    Agents(BTreeSet<String>),
}

/// Where a follower was.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// The last number that it has; without one it starts with what happens next.
    pub(super) number: Option<i64>,
    /// The store that gave it.
    pub(super) store: Option<String>,
}

/// A follower's place.
pub(super) struct Subscription {
    authority: Authority,
    whose: Whose,
    live: Receiver<Arc<Event>>,
    ready: VecDeque<Item>,
    last: i64,
    /// There may be more in the table.
    behind: bool,
}

impl Whose {
    /// What a caller may follow.
    pub(super) fn of(sight: &Sight<'_>) -> Self {
        match sight {
            Sight::Everything => Self::All,
            Sight::Agents(agents) => Self::Agents(agents.iter().map(|&agent| agent.to_owned()).collect()),
            Sight::Connections(_) | Sight::Nothing => Self::Agents(BTreeSet::new()),
        }
    }

    fn hear(&self, event: &Event) -> bool {
        let Self::Agents(own) = self else { return true };
        match (&event.news.agent, &event.news.connection) {
            (Some(agent), _) => own.contains(agent),
            (None, Some(_)) => event.agents.iter().any(|agent| own.contains(agent)),
            (None, None) => true,
        }
    }
}

impl Authority {
    /// Follows the events of this workspace.
    pub(super) async fn subscribe(&self, whose: Whose, known: Known) -> Result<Subscription, StoreError> {
        self.desk.feed.follow(&self.desk.store);
        // What is committed between the two is then both read and heard, and told once.
        let live = self.desk.feed.events();
        let authority = self.clone();
        let (tip, store) = blocking(move || {
            let store = authority.epoch()?;
            Ok((authority.read(|tx| Tip::read(tx, authority.workspace.as_str()))?.last_event, store))
        })
        .await?;
        let mut ready = VecDeque::from([Item::Hello { number: tip, store: store.clone() }]);
        let elsewhere = known.store.is_some_and(|known| known != store);
        let last = match known.number {
            Some(number) if elsewhere || number > tip => {
                ready.push_back(Item::Resync { number: tip });
                tip
            }
            Some(number) => number,
            None => tip,
        };
        Ok(Subscription { authority: self.clone(), whose, live, ready, last, behind: last < tip })
    }

    /// What tells this store's numbers from those of any other.
    pub(super) fn epoch(&self) -> Result<String, StoreError> {
        let bytes = vault::random::<8>().map_err(|error| StoreError::damaged("system", "random bytes", error))?;
        let found = once(&*self.desk.store, EPOCH, hex::encode(*bytes).into_bytes())?;
        String::from_utf8(found).map_err(|error| StoreError::damaged("fact", EPOCH, error))
    }
}

impl Subscription {
    /// What comes next; none once the Authority is gone. A caller that stops waiting loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, StoreError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            match self.live.recv().await {
                Ok(event) if event.workspace != self.authority.workspace.as_str() || event.number <= self.last => {}
                Ok(event) if event.number == self.last + 1 => {
                    self.last = event.number;
                    if self.whose.hear(&event) {
                        return Ok(Some(Item::Change(event)));
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// The number of the last event that was told or was not for this follower; none while the
    /// store cannot be read, since nobody knows then what happened.
    pub(super) fn beat(&self) -> Option<i64> {
        self.authority.desk.feed.is_fresh().then_some(self.last)
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let (authority, last) = (self.authority.clone(), self.last);
        let (tip, oldest, events) = blocking(move || {
            let workspace = authority.workspace.as_str();
            let mut tx = authority.desk.store.begin(Intent::Read)?;
            let tip = Tip::read(&mut *tx, workspace)?.last_event;
            let events = Event::after(&mut *tx, workspace, last, PAGE)?;
            Ok((tip, oldest_event(&mut *tx, workspace)?.unwrap_or(tip + 1), events))
        })
        .await?;
        let next = events.first().map_or(oldest, |event| event.number);
        if last > tip || (last < tip && next != last + 1) {
            (self.last, self.behind) = (tip, false);
            self.ready.push_back(Item::Resync { number: tip });
            return Ok(());
        }
        self.last = events.last().map_or(last, |event| event.number);
        self.behind = self.last < tip;
        let heard = events.into_iter().filter(|event| self.whose.hear(event));
        self.ready.extend(heard.map(|event| Item::Change(Arc::new(event))));
        Ok(())
    }
}

impl Item {
    /// The name of the message.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Change(_) => "change",
            Self::Resync { .. } => "resync",
        }
    }

    /// Where a follower may go on from.
    pub(super) fn id(&self) -> Option<i64> {
        match self {
            Self::Change(event) => Some(event.number),
            Self::Hello { .. } | Self::Resync { .. } => None,
        }
    }

    /// A message that is a number alone.
    pub(super) fn numbered(number: i64) -> Value {
        json!({ "number": number })
    }

    /// The message.
    pub(super) fn data(&self) -> Value {
        match self {
            Self::Hello { number, store } => json!({ "number": number, "store": store }),
            Self::Resync { number } => Self::numbered(*number),
            Self::Change(event) => {
                let mut data = json!({ "number": event.number, "kind": event.news.kind });
                let at = time::OffsetDateTime::from(connections::time(event.at)).format(&Rfc3339).ok();
                let connection = event.news.connection.as_ref().map(|(id, name)| json!({ "id": id, "name": name }));
                let about = [
                    ("connection", connection),
                    ("agent", event.news.agent.clone().map(Value::from)),
                    ("provider", event.news.provider.clone().map(Value::from)),
                    ("at", at.map(Value::from)),
                ];
                for (name, value) in about {
                    if let Some(value) = value {
                        data[name] = value;
                    }
                }
                data
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Panicked))
}

#[cfg(test)]
mod tests;
