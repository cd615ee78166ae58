//! What the events of a stream said, and what that makes of answers: pure, its time an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Change, Event, Kind};
use super::marks::Marks;
use super::waits::REMEMBERED;
use crate::lease::{Ask, LendError};
use crate::model::{ConnectionName, Host};

/// What is known of the Authority's events.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Moves when everything that was asked for before may be wrong.
    era: u64,
    /// Which store gives the numbers.
    store: Option<String>,
    /// The last number: every change up to it has been taken into account.
    last: Option<u64>,
    /// Whether a stream is open and its hello was heard.
    live: bool,
    /// The last event that was about everything, or about what is not told apart.
    wide: u64,
    /// By id, and by name.
    connections: Marks,
    agents: Marks,
    gone: BTreeMap<String, Gone>,
    agents_gone: BTreeMap<String, Gone>,
    frozen: bool,
    /// By agent and name: as many as there are rules for.
    lent: BTreeMap<(Arc<str>, ConnectionName), Lent>,
}

/// What an event said is gone.
#[derive(Debug, Clone)]
struct Gone {
    number: u64,
    deleted: bool,
    /// When it was heard, since boot.
    at: Duration,
}

/// What was lent last under a name to an agent.
#[derive(Debug, Clone)]
struct Lent {
    id: Arc<str>,
    version: u64,
    era: u64,
    /// The last event of which is known that the connection outlived it.
    event: u64,
    /// The last event that the credentials themselves know of.
    read: u64,
    host: Host,
}

/// When something was asked for: what is answered is compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    era: u64,
    last: u64,
}

/// What a message moved.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    /// Something that was lent may have changed.
    pub(super) leases: bool,
    /// The policy may have changed.
    pub(super) policy: bool,
}

/// Whether what was lent is still there, as far as events and answers tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Still {
    /// An event said that it is gone.
    Gone,
    /// An answer said that it is there, and no event since could have changed that.
    There,
    /// Something about its agent, or anything, changed: whether that agent may borrow it has to
    /// be asked.
    AskToBorrow(Host),
    /// Whether it exists has to be asked.
    Ask,
}

impl Seen {
    /// The last number, for a stream that goes on where the one before ended.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Whether a stream is open.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// The stream ended: what is known may be outdated from now on.
    pub(super) fn cut_off(&mut self) {
        self.live = false;
    }

    /// The stream said what nobody can read: the next one begins where it stands then, and
    /// everything is asked for again.
    pub(super) fn lost(&mut self) -> Moved {
        self.cut_off();
        self.last = None;
        self.forget(0);
        Moved { leases: true, policy: true }
    }

    /// Takes a message into account.
    pub(super) fn take(&mut self, event: Event, now: Duration) -> Moved {
        match event {
            Event::Hello { number, store } => self.hello(number, store),
            Event::Beat => Moved::default(),
            Event::Resync { number } => {
                self.last = Some(number);
                self.forget(number);
                Moved { leases: true, policy: true }
            }
            Event::Change(change) => self.change(&change, now),
        }
    }

    /// A stream begins. Whatever happened between the last number and this one may have been
    /// missed: it is asked for again, and what is replayed afterwards only adds to that.
    fn hello(&mut self, number: u64, store: String) -> Moved {
        self.live = true;
        // The stream before may have ended between what froze it and what thawed it: it has to be
        // asked, until this one says that it was frozen.
        self.frozen = false;
        let same_store = self.store.as_ref() == Some(&store);
        let nothing_missed = same_store && self.last == Some(number);
        self.store = Some(store);
        self.last = Some(number);
        if nothing_missed {
            return Moved { leases: false, policy: false };
        }
        let any_lent = !self.lent.is_empty();
        self.forget(number);
        if !same_store {
            (self.gone, self.agents_gone) = Default::default();
        }
        Moved { leases: any_lent, policy: true }
    }

    /// Nothing that was answered before counts any more, and no answer that knows less than this.
    fn forget(&mut self, number: u64) {
        self.era += 1;
        self.wide = number;
        self.connections = Marks::default();
        self.agents = Marks::default();
        self.frozen = false;
    }

    fn change(&mut self, change: &Change, now: Duration) -> Moved {
        let number = change.number;
        self.last = Some(number.max(self.last.unwrap_or_default()));
        let gone = |deleted| Gone { number, deleted, at: now };
        let id = change.connection.as_ref().map(|connection| connection.id.as_str()).unwrap_or_default();
        let agent = change.agent.as_deref().unwrap_or_default();
        match change.kind {
            Kind::ConnectionRevoked | Kind::ConnectionDeleted => {
                remember(&mut self.gone, id, gone(change.kind == Kind::ConnectionDeleted));
            }
            Kind::ConnectionChanged => drop(self.gone.remove(id)),
            Kind::AgentRevoked => remember(&mut self.agents_gone, agent, gone(false)),
            Kind::GrantChanged => drop(self.agents_gone.remove(agent)),
            Kind::AllRevoked => {
                // What an answer lent that knows of it was made afterwards.
                let before = |lent: &&Lent| lent.era != self.era || lent.event < number;
                for lent in self.lent.values().filter(before) {
                    remember(&mut self.gone, &lent.id, gone(false));
                }
            }
            Kind::Frozen => self.frozen = true,
            Kind::Unfrozen => self.frozen = false,
            Kind::PolicyChanged => return Moved { leases: false, policy: true },
            Kind::ProviderRevoked | Kind::Other => {}
        }
        self.mark(change);
        Moved { leases: self.concerns(change), policy: change.kind == Kind::Other }
    }

    /// Tells whether a change may be about something that was lent. What is being asked for
    /// meanwhile is compared with the marks.
    fn concerns(&self, change: &Change) -> bool {
        match (change.kind, &change.connection, &change.agent) {
            (Kind::Unfrozen | Kind::PolicyChanged, ..) => false,
            (Kind::AgentRevoked | Kind::GrantChanged, _, Some(agent)) => {
                self.lent.keys().any(|(of, _)| **of == **agent)
            }
            (Kind::ConnectionRevoked | Kind::ConnectionDeleted | Kind::ConnectionChanged, Some(connection), _) => {
                let named = |asked: &ConnectionName| connection.name.as_deref() == Some(asked.as_str());
                self.lent.iter().any(|((_, asked), lent)| *lent.id == *connection.id || named(asked))
            }
            _ => true,
        }
    }

    /// Answers that know less than this about what the change is about are outdated.
    fn mark(&mut self, change: &Change) {
        let number = change.number;
        let forgotten = match (change.kind, &change.connection, &change.agent) {
            (Kind::AgentRevoked | Kind::GrantChanged, _, Some(agent)) => self.agents.note(agent, number),
            (Kind::ConnectionRevoked | Kind::ConnectionDeleted | Kind::ConnectionChanged, Some(connection), _) => {
                let by_name = connection.name.as_ref().and_then(|name| self.connections.note(name, number));
                self.connections.note(&connection.id, number).max(by_name)
            }
            _ => Some(number),
        };
        self.wide = self.wide.max(forgotten.unwrap_or_default());
    }

    /// Now, for an answer that is about to be asked for.
    pub(super) fn moment(&self) -> Moment {
        Moment { era: self.era, last: self.last.unwrap_or_default() }
    }

    /// Refuses at once what an event said is not lent. `patient` says that the Authority could not
    /// tell: then what was heard holds however long ago that was.
    pub(super) fn refusal(&self, ask: &Ask, now: Duration, patient: bool) -> Option<LendError> {
        let name = || ask.connection.clone();
        let holds = |gone: &&Gone| patient || now.saturating_sub(gone.at) < REMEMBERED;
        if self.agents_gone.get(&*ask.agent).filter(holds).is_some() {
            return Some(LendError::Revoked(name()));
        }
        // By the id that the name had: a name may belong to several, an id to one.
        let lent = self.lent.get(&(Arc::clone(&ask.agent), ask.connection.clone()));
        let id = lent.map_or(ask.connection.as_str(), |lent| &*lent.id);
        if let Some(gone) = self.gone.get(id).filter(holds) {
            return Some(if gone.deleted { LendError::NotFound(name()) } else { LendError::Revoked(name()) });
        }
        (self.frozen && self.live).then(|| LendError::Frozen(name()))
    }

    /// Takes an answer to a question of that moment, unless an event since says more than it
    /// knows.
    pub(super) fn lent(&mut self, ask: &Ask, (id, version): (&Arc<str>, u64), event: u64, asked: Moment) -> bool {
        let name = ask.connection.as_str();
        if asked.era != self.era || event < self.newest(id, name).max(self.agents.of(&ask.agent)) {
            return false;
        }
        // It was lent after all: an answer says otherwise than the event before it.
        if self.gone.get(&**id).is_some_and(|gone| event >= gone.number) {
            self.gone.remove(&**id);
        }
        self.agents_gone.remove(&*ask.agent);
        let (id, host) = (Arc::clone(id), ask.host.clone());
        let lent = Lent { id, version, era: self.era, event, read: event, host };
        self.lent.insert((Arc::clone(&ask.agent), ask.connection.clone()), lent);
        true
    }

    /// The last event about a connection, or about everything.
    fn newest(&self, id: &str, name: &str) -> u64 {
        self.connections.of(id).max(self.connections.of(name)).max(self.wide)
    }

    /// Tells whether an event said that a connection, or its agent, is gone.
    pub(super) fn is_gone(&self, agent: &str, id: &str) -> bool {
        self.gone.contains_key(id) || self.agents_gone.contains_key(agent)
    }

    /// Tells whether what an agent was lent is still there, or what to ask.
    pub(super) fn still(&self, agent: &Arc<str>, name: &ConnectionName, id: &str) -> Still {
        if self.is_gone(agent, id) {
            return Still::Gone;
        }
        let lent = self.lent.get(&(Arc::clone(agent), name.clone()));
        let Some(lent) = lent.filter(|lent| *lent.id == *id) else { return Still::Ask };
        if lent.era != self.era || self.agents.of(agent).max(self.wide) > lent.event {
            return Still::AskToBorrow(lent.host.clone());
        }
        if self.live && self.newest(id, name.as_str()) <= lent.event { Still::There } else { Still::Ask }
    }

    /// Tells whether no event since it was lent may have changed it, whether or not a stream is open
    /// now: how long silence is believed is the lease's own deadline.
    pub(super) fn is_as_lent(&self, agent: &Arc<str>, name: &ConnectionName, id: &str, version: u64) -> bool {
        let lent = self.lent.get(&(Arc::clone(agent), name.clone()));
        let as_lent = |lent: &Lent| {
            let newest = self.newest(id, name.as_str()).max(self.agents.of(agent));
            // Whoever looks after what is under way asks, too, and may have read a newer version.
            *lent.id == *id && lent.version == version && lent.era == self.era && newest <= lent.read
        };
        !self.is_gone(agent, id) && !self.frozen && lent.is_some_and(as_lent)
    }

    /// The Authority said that it is there, asked at that moment.
    pub(super) fn confirmed(&mut self, agent: &Arc<str>, name: &ConnectionName, id: &str, asked: Moment) {
        if let Some(lent) = self.lent.get_mut(&(Arc::clone(agent), name.clone()))
            && *lent.id == *id
            && asked.era == self.era
            && lent.era == self.era
        {
            lent.event = asked.last.max(lent.event);
        }
    }
}

/// Remembers what is gone; of too many, the one that went first is forgotten, since the Authority
/// knows it too.
fn remember(all: &mut BTreeMap<String, Gone>, name: &str, gone: Gone) {
    const MOST: usize = 4096;
    all.insert(name.to_owned(), gone);
    if all.len() > MOST {
        let oldest = all.iter().min_by_key(|(_, gone)| gone.number).map(|(name, _)| name.clone());
        oldest.map(|name| all.remove(&name));
    }
}

#[cfg(test)]
mod tests;
