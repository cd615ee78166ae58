//! The course of a question: read, refresh where that is wanted, read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::answer;
use super::due::{Asker, Due, Life};
use super::payload::{self, Payload};
use super::refresh::{Outcome, Refreshes};
use super::wire::{GatewayWire, Unanswered};
use crate::config::{GatewayConnection, GatewayContract};
use crate::lease::configured::content;
use crate::lease::{Ask, Asked, Borrowed, LeaseSource, LendError, Loan};
use crate::model::{Binding, BindingError, Bindings, ConnectionName, Fields, Strategy, StrategyError};
use crate::telemetry::Clock;

/// A Nexus Gateway, or a Broker, as a source.
pub struct GatewaySource {
    name: Arc<str>,
    wire: Arc<GatewayWire>,
    connections: BTreeMap<ConnectionName, (Arc<str>, GatewayContract)>,
    versions: Mutex<BTreeMap<Arc<str>, Version>>,
    refreshes: Arc<Refreshes>,
    unmoved: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// What was read last of a connection: a number that moves with the content.
struct Version {
    number: u64,
    content: [u8; 32],
    /// An end that no answer says, as far as it is known from how long they were good for.
    bound: Option<SystemTime>,
}

/// What was read now.
struct Read {
    loan: Loan,
    life: Life,
    oauth: bool,
}

impl GatewaySource {
    /// A source of these connections. Nothing is asked yet.
    pub fn new(
        name: &str,
        wire: GatewayWire,
        connections: impl IntoIterator<Item = (ConnectionName, GatewayConnection)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let place = |(name, there): (ConnectionName, GatewayConnection)| (name, (Arc::from(there.id), there.contract));
        Self {
            name: name.into(),
            wire: Arc::new(wire),
            connections: connections.into_iter().map(place).collect(),
            versions: Mutex::default(),
            refreshes: Arc::default(),
            unmoved: watch::Sender::new(0),
            clock,
        }
    }

    async fn borrow(&self, ask: &Ask) -> Result<Loan, LendError> {
        let name = &ask.connection;
        let (id, contract) = self.connections.get(name).ok_or_else(|| LendError::NotFound(name.clone()))?;
        if ask.scope.is_some() {
            let why = "a Gateway or Broker cannot narrow what it lends".to_owned();
            return Err(LendError::Unusable { name: name.clone(), why });
        }
        let before = self.refreshes.ended(id);
        let read = self.read(name, id, contract, None).await?;
        let due = read.life.due(asker(ask, &read.loan), self.clock.wall());
        if !read.may_be_renewed(due) {
            return if due == Due::Past { Err(LendError::Expired(name.clone())) } else { Ok(read.loan) };
        }
        let outcome = tokio::select! {
            outcome = self.refresh(id, before) => outcome,
            // Before whoever asks thinks that the source is gone: it is the issuer who hangs.
            () = self.clock.sleep(self.wire.patience()) => {
                Outcome::Failed("its refresh takes long, and goes on".to_owned())
            }
        };
        match outcome {
            Outcome::Renewed(ends) => {
                let read = self.read(name, id, contract, Some(ends)).await?;
                let due = if read.life.is_over(self.clock.wall()) { Due::Past } else { Due::Not };
                self.as_it_is(name, read, due, || LendError::Expired(name.clone()))
            }
            Outcome::Attention => Err(LendError::Attention(name.clone())),
            Outcome::NotActive => {
                // What it is instead, the token call tells.
                let read = self.read(name, id, contract, None).await?;
                let why = "it serves the credentials and refuses to refresh them as not active".to_owned();
                self.as_it_is(name, read, due, || LendError::Later { name: name.clone(), why })
            }
            Outcome::Cannot => {
                let loan = Loan { refreshable: false, ..read.loan };
                // They were refused, and there are no others.
                let due = if due == Due::Refused { Due::Not } else { due };
                self.as_it_is(name, Read { loan, ..read }, due, || LendError::Expired(name.clone()))
            }
            Outcome::Empty(why) => self.as_it_is(name, read, due, || LendError::Unusable { name: name.clone(), why }),
            // It answered a moment ago: other connections have nothing to do with it.
            Outcome::Failed(why) => self.as_it_is(name, read, due, || LendError::Later { name: name.clone(), why }),
        }
    }

    /// What was read, where it can be used without another one; else why there is none.
    fn as_it_is(
        &self,
        name: &ConnectionName,
        read: Read,
        due: Due,
        error: impl FnOnce() -> LendError,
    ) -> Result<Loan, LendError> {
        match due {
            Due::Not => Ok(read.loan),
            Due::Ahead | Due::Edge => {
                let why = error().to_string();
                tracing::warn!(source = %self.name, connection = %name, why, "not renewed ahead of the end");
                Ok(read.loan)
            }
            Due::Past | Due::Refused => Err(error()),
        }
    }

    async fn refresh(&self, id: &Arc<str>, before: u64) -> Outcome {
        let (wire, clock, of) = (Arc::clone(&self.wire), Arc::clone(&self.clock), Arc::clone(id));
        let refresh = async move {
            match wire.refresh(&of).await {
                Ok(answer) if answer.status == StatusCode::OK => match payload::refreshed(answer.body.expose()) {
                    Ok(lifetime) => Outcome::Renewed(lifetime.and_then(|left| clock.wall().checked_add(left))),
                    Err(why) => Outcome::Empty(why),
                },
                Ok(answer) => answer::refused_refresh(wire.dialect(), answer.status, answer.body.expose()),
                Err(why) => Outcome::Failed(why),
            }
        };
        self.refreshes.once(id, before, refresh).await
    }

    /// Reads the credentials; after a refresh with the end that it told, if it told one.
    async fn read(
        &self,
        name: &ConnectionName,
        id: &Arc<str>,
        contract: &GatewayContract,
        refreshed: Option<Option<SystemTime>>,
    ) -> Result<Read, LendError> {
        let unusable = |why| LendError::Unusable { name: name.clone(), why };
        let asked_at = self.clock.wall();
        let answer = self.wire.token(id).await.map_err(|unanswered| match unanswered {
            Unanswered::Unavailable(why) => LendError::Unavailable { name: name.clone(), why },
            Unanswered::TooLong(why) => unusable(why),
        })?;
        if answer.status != StatusCode::OK {
            return Err(answer::refusal(self.wire.dialect(), answer.status, answer.body.expose(), name));
        }
        let payload = payload::read(answer.body.expose()).map_err(unusable)?;
        let oauth = is_oauth(&payload);
        let bindings = bindings(contract, payload.strategy.as_ref()).map_err(unusable)?;
        let Payload { mut fields, renewable, ends, lifetime, expired, .. } = payload;
        if oauth {
            name_token(&bindings, &mut fields);
        }
        let refreshable = oauth && renewable;
        let mut loan =
            Loan { id: Arc::clone(id), version: 0, bindings, credentials: fields, expires_at: None, refreshable };
        loan.keep_what_is_used();
        check_fields(&loan).map_err(unusable)?;
        // How long they were good for when they were issued bounds what nothing else does.
        let bound = lifetime.filter(|_| ends.is_none()).and_then(|left| asked_at.checked_add(left));
        let (version, bound) = self.version(id, &loan, bound, refreshed);
        (loan.version, loan.expires_at) = (version, ends.into_iter().chain(bound).min());
        let life = Life { ends: loan.expires_at, lifetime, expired };
        Ok(Read { loan, life, oauth })
    }

    /// The number of this content, and what bounds it beside what its answer says.
    fn version(
        &self,
        id: &Arc<str>,
        loan: &Loan,
        bound: Option<SystemTime>,
        refreshed: Option<Option<SystemTime>>,
    ) -> (u64, Option<SystemTime>) {
        let content = content_of(loan);
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let none = Version { number: 0, content: [0; 32], bound: None };
        let version = versions.entry(Arc::clone(id)).or_insert(none);
        let is_new = version.content != content;
        if is_new {
            *version = Version { number: version.number + 1, content, bound: None };
        }
        if let Some(told) = refreshed {
            version.bound = told;
        }
        version.bound = version.bound.into_iter().chain(bound).min();
        (version.number, version.bound)
    }
}

impl Read {
    /// A token without a refresh token beside it may come from a service that keeps those to
    /// itself: it is tried where nothing else is left.
    fn may_be_renewed(&self, due: Due) -> bool {
        match due {
            Due::Not => false,
            Due::Ahead | Due::Edge => self.oauth && self.loan.refreshable,
            Due::Past | Due::Refused => self.oauth,
        }
    }
}

fn asker(ask: &Ask, loan: &Loan) -> Asker {
    match &ask.held {
        Some(held) if held.version == loan.version && held.id == loan.id => {
            if held.refused {
                Asker::Refused
            } else {
                Asker::Holds
            }
        }
        _ => Asker::New,
    }
}

/// The reference says `oauth2` of what it got from an issuer, and of nothing else.
fn is_oauth(payload: &Payload) -> bool {
    match payload.strategy.as_ref().and_then(|strategy| strategy.get("type")).and_then(Value::as_str) {
        Some(kind) => kind == "oauth2",
        None => payload.strategy.is_none() && payload.fields.get("access_token").is_some(),
    }
}

fn bindings(contract: &GatewayContract, strategy: Option<&Value>) -> Result<Bindings, String> {
    let (hosts, owned) = match contract {
        GatewayContract::OfEntry(bindings) => return Ok(bindings.clone()),
        GatewayContract::OfSource { hosts, owned } => (hosts.clone(), *owned),
    };
    let strategy = strategy.ok_or("it answered 200 without a strategy")?;
    let strategy = Strategy::from_json(strategy).map_err(|error| unknown(&error))?;
    Bindings::new(vec![Binding { hosts, strategy }], owned).map_err(|error| match error {
        BindingError::WildcardSecret { host, strategy } => format!(
            "its strategy {strategy} sends a reusable secret, which no wildcard such as {host} takes: name the hosts, \
             or say `owned: true` if the zone is yours"
        ),
        BindingError::NoHosts => error.to_string(),
    })
}

/// A contract of the catalogue has a name of its own for its only secret, which is the token then.
fn name_token(bindings: &Bindings, fields: &mut Fields) {
    let wanted: BTreeSet<&str> = bindings.iter().flat_map(|line| line.strategy.required_fields()).collect();
    let only = wanted.first().filter(|_| wanted.len() == 1);
    if let (Some(only), Some(token)) = (only, fields.get("access_token"))
        && fields.get(only).is_none()
    {
        let token = token.duplicate();
        fields.insert(*only, token);
    }
}

/// What is wrong with a strategy, without the values of its settings: some put a secret there.
fn unknown(error: &StrategyError) -> String {
    match error {
        StrategyError::UnknownType(kind) if kind.is_empty() => "its strategy has no type".to_owned(),
        StrategyError::UnknownType(kind) if kind.len() > 64 => "its strategy is unknown".to_owned(),
        StrategyError::Invalid { strategy, setting, why, .. } => {
            format!("the setting {setting} of its strategy {strategy} cannot be used: {why}")
        }
        error => error.to_string(),
    }
}

/// Looks for a field that is missing or empty; how the others look is for the strategy to judge.
fn check_fields(loan: &Loan) -> Result<(), String> {
    for Binding { strategy, .. } in loan.bindings.iter() {
        for field in strategy.required_fields() {
            let what = match loan.credentials.get(field) {
                Some(value) if !value.is_empty() => continue,
                Some(_) => "is empty",
                None => "is missing, or no text",
            };
            return Err(format!("the strategy {} needs the field {field}, which {what}", strategy.kind()));
        }
    }
    Ok(())
}

/// A digest of the credentials and of where and how they are used.
fn content_of(loan: &Loan) -> [u8; 32] {
    let mut text = Zeroizing::new(content(&loan.credentials).to_vec());
    for Binding { hosts, strategy } in loan.bindings.iter() {
        text.extend_from_slice(format!("{hosts:?} {}", strategy.to_json()).as_bytes());
    }
    let mut whole = [0; 32];
    whole.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    whole
}

impl LeaseSource for GatewaySource {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async { self.borrow(ask).await.map(Borrowed::Loan) })
    }

    /// It stands in the configuration; what became of it there is learnt when it is asked for
    /// again, since each look is a read of the credentials to the reference.
    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        let there = self.connections.get(connection).is_some_and(|(known, _)| **known == *id);
        Box::pin(std::future::ready(Ok(there)))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.unmoved.subscribe()
    }

    fn status(&self) -> Option<Value> {
        Some(json!({ "name": *self.name, "dialect": self.wire.dialect().word() }))
    }
}
