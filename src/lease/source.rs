use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::config::Catalogue;
use crate::model::{Bindings, Cause, Code, ConnectionName, Fields, Host, Refusal, Scope, Strategy, Workspace};

/// What a source is still busy with.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, LendError>> + Send + 'a>>;

/// What a source does for as long as it is polled.
pub type Followed<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where credentials come from.
pub trait LeaseSource: Send + Sync + 'static {
    /// Lends a connection's credentials for one host.
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed>;

    /// Tells whether a connection that was lent under this id is still there: false once it was
    /// deleted or revoked, or its name belongs to another connection; a new version is still
    /// the same connection.
    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool>;

    /// The same for one agent: false too once that agent may no longer borrow it. A source that
    /// lends to whoever asks has nothing to add.
    fn still_lends<'a>(&'a self, _agent: &'a Arc<str>, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        self.still_there(connection, id)
    }

    /// Tells at once, from memory alone, whether an agent's connection is known to be gone: a
    /// source that has to be asked is not, and what it would say is learnt by asking.
    fn is_gone(&self, _agent: &str, _connection: &ConnectionName, _id: &str) -> bool {
        false
    }

    /// Tells at once whether what was lent is what would be lent now, as far as is known without
    /// asking: false where something that was heard since may have changed it.
    fn still_holds(&self, _agent: &Arc<str>, _connection: &ConnectionName, _id: &str, _version: u64) -> bool {
        false
    }

    /// The page on which a person makes a connection work again, if the source has one.
    fn reconnect_page(&self, _connection: &ConnectionName) -> Option<String> {
        None
    }

    /// When it was last heard of by the clock since boot, for a source that says so of itself
    /// every few seconds; what it lent is not used for much longer than that.
    fn heard(&self) -> Option<Arc<Heard>> {
        None
    }

    /// A number that moves whenever something that was lent may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Follows what moves [`LeaseSource::changes`], for a source that has to be listened to. Polled
    /// for as long as the sidecar serves.
    fn follow(&self) -> Followed<'_> {
        Box::pin(std::future::ready(()))
    }

    /// Gives back what it holds elsewhere, at an orderly end: called once, when nothing is alive any
    /// more and nobody asks again. It is waited for within a bound.
    fn close(&self) -> Followed<'_> {
        Box::pin(std::future::ready(()))
    }

    /// What `/status` says of it, nothing of which is secret; `None` where there is nothing to say.
    fn status(&self) -> Option<serde_json::Value> {
        None
    }
}

/// What is asked of a source.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The tenant.
    pub workspace: Workspace,
    /// On whose behalf.
    pub agent: Arc<str>,
    /// Which connection.
    pub connection: ConnectionName,
    /// For which host.
    pub host: Host,
    /// What it is narrowed to.
    pub scope: Option<Scope>,
    /// What was lent before under the same question.
    pub held: Option<Held>,
}

impl Ask {
    /// For a source that narrows nothing: credentials that may more than the rule says are not lent.
    ///
    /// # Errors
    /// The rule narrows the lease.
    pub fn refuse_scope(&self) -> Result<(), LendError> {
        match &self.scope {
            None => Ok(()),
            Some(_) => Err(LendError::Unusable {
                name: self.connection.clone(),
                why: "a rule narrows it by `scope`, and its source narrows nothing".to_owned(),
            }),
        }
    }
}

/// What whoever asks has already.
#[derive(Clone, Debug)]
pub struct Held {
    /// The connection's id.
    pub id: Arc<str>,
    /// The version of its credentials.
    pub version: u64,
    /// Whether a destination refused them: another version is wanted, made now if there is none.
    pub refused: bool,
}

/// When a source was last heard of.
#[derive(Debug, Default)]
pub struct Heard(AtomicU64);

impl Heard {
    /// It was heard of now, by the clock since boot.
    pub fn note(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When that was.
    pub fn last(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What came of asking.
#[derive(Debug)]
pub enum Borrowed {
    /// Credentials.
    Loan(Loan),
    /// Those that are held already go on, until this moment by the wall clock: the version is the
    /// same, and was not sent again.
    Unchanged(Option<SystemTime>),
}

impl Borrowed {
    /// The credentials, where they were sent.
    pub fn loan(self) -> Option<Loan> {
        match self {
            Self::Loan(loan) => Some(loan),
            Self::Unchanged(_) => None,
        }
    }
}

impl From<Loan> for Borrowed {
    fn from(loan: Loan) -> Self {
        Self::Loan(loan)
    }
}

/// What a source answers.
#[derive(Debug)]
pub struct Loan {
    /// The connection's id.
    pub id: Arc<str>,
    /// The version of its credentials.
    pub version: u64,
    /// Where they may go, and how.
    pub bindings: Bindings,
    /// What is needed to authenticate, and nothing else.
    pub credentials: Fields,
    /// When they end, by the wall clock.
    pub expires_at: Option<SystemTime>,
    /// Whether there can be others, made now, where a destination refuses these.
    pub refreshable: bool,
}

impl Loan {
    /// Drops and wipes every field that no strategy of the connection uses: refresh tokens, ID
    /// tokens and client secrets renew credentials, and never need to be near an agent.
    pub fn keep_what_is_used(&mut self) {
        let used: BTreeSet<&str> = self.bindings.iter().flat_map(|binding| used_fields(&binding.strategy)).collect();
        let extra: Vec<String> =
            self.credentials.names().filter(|name| !used.contains(name)).map(str::to_owned).collect();
        for name in extra {
            self.credentials.remove(&name);
        }
    }
}

fn used_fields(strategy: &Strategy) -> Vec<&str> {
    let mut fields = strategy.required_fields();
    if matches!(strategy, Strategy::AwsSigV4 { .. }) {
        fields.push("session_token");
    }
    fields
}

/// The fields that a connection may have beside those that its strategy requires: some are used
/// where they are there, others renew or describe the rest and are never lent.
pub(super) fn optional_fields(strategy: &Strategy) -> &'static [&'static str] {
    match strategy {
        Strategy::AwsSigV4 { .. } => &["session_token"],
        Strategy::OAuth2 => &["refresh_token", "id_token", "token_type", "scope", "expires_in", "expires_at"],
        _ => &[],
    }
}

/// Why a source lends nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LendError {
    /// No such connection.
    #[error("there is no connection {0}")]
    NotFound(ConnectionName),
    /// Pending or failed.
    #[error("the connection {0} has no credentials yet")]
    NotReady(ConnectionName),
    /// Revoked.
    #[error("the connection {0} was revoked")]
    Revoked(ConnectionName),
    /// Past its end.
    #[error("the connection {0} has expired")]
    Expired(ConnectionName),
    /// A person has to look.
    #[error("the connection {0} needs attention")]
    Attention(ConnectionName),
    /// An operator said that nothing is lent for now.
    #[error("nothing is lent for now, the connection {0} included: the workspace is frozen")]
    Frozen(ConnectionName),
    /// The connection is not bound to the host that it was asked for.
    #[error("the connection {name} is not bound to the host {host}")]
    Unbound {
        /// Its name.
        name: ConnectionName,
        /// Where it was to go.
        host: Host,
    },
    /// What is stored cannot be used.
    #[error("the connection {name} cannot be used: {why}")]
    Unusable {
        /// Its name.
        name: ConnectionName,
        /// What is wrong.
        why: String,
    },
    /// The source answered that there is nothing at this moment.
    #[error("the source of the connection {name} has nothing at this moment: {why}")]
    Later {
        /// Its name.
        name: ConnectionName,
        /// What it said.
        why: String,
    },
    /// The source could not be asked.
    #[error("the source of the connection {name} could not be asked: {why}")]
    Unavailable {
        /// Its name.
        name: ConnectionName,
        /// What happened.
        why: String,
    },
}

impl LendError {
    /// Whether it says of the connection itself that nothing of it is lent any more.
    pub(super) fn ends_lease(&self) -> bool {
        !self.is_passing() && !matches!(self, Self::Unusable { .. } | Self::Unbound { .. })
    }

    /// Whether what is held may go on being used, and asking again may help: the source said
    /// nothing about the connection itself.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Later { .. } | Self::Unavailable { .. })
    }

    /// The reason as one word, for records.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::NotReady(_) => "not_ready",
            Self::Revoked(_) => "revoked",
            Self::Expired(_) => "expired",
            Self::Attention(_) => "attention",
            Self::Frozen(_) => "frozen",
            Self::Unbound { .. } => "unbound",
            Self::Unusable { .. } => "unusable",
            Self::Later { .. } => "later",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

impl From<LendError> for Refusal {
    fn from(error: LendError) -> Self {
        let log = error.to_string();
        let (code, message) = match &error {
            LendError::NotFound(name) => {
                let whose = match Catalogue::built_in().provider(name.as_str()) {
                    Some(_) => "",
                    None => " with --provider, or with --strategy and --host",
                };
                let message = format!("no connection \"{name}\": run nexus-sidecar connection add {name}{whose}");
                (Code::ConnectionNotFound, message)
            }
            LendError::NotReady(name) => (
                Code::ConnectionNotReady,
                format!("the connection \"{name}\" has no credentials yet: whoever started it has to finish it"),
            ),
            LendError::Revoked(name) => (
                Code::ConnectionRevoked,
                format!("the connection \"{name}\" was revoked: a person has to connect it again"),
            ),
            LendError::Expired(name) => (
                Code::ConnectionExpired,
                format!(
                    "the credentials of the connection \"{name}\" have expired: run nexus-sidecar connection set {name}"
                ),
            ),
            LendError::Attention(name) => {
                (Code::AttentionRequired, format!("the connection \"{name}\" needs the attention of a person"))
            }
            LendError::Frozen(_) => (
                Code::AuthorityUnavailable,
                "nothing is lent for now: an operator has frozen every connection".to_owned(),
            ),
            LendError::Unbound { name, host } => {
                let message = format!("the connection \"{name}\" is not bound to the host {host}");
                return Self::new(Code::PolicyDenied, message).with_cause(Cause::Unbound);
            }
            LendError::Unusable { name, .. } => {
                (Code::CredentialUnusable, format!("the credentials of the connection \"{name}\" cannot be used"))
            }
            LendError::Later { name, .. } => (
                Code::AuthorityUnavailable,
                format!("there are no credentials for the connection \"{name}\" at this moment: try again later"),
            ),
            LendError::Unavailable { name, .. } => (
                Code::AuthorityUnavailable,
                format!("the credentials of the connection \"{name}\" could not be borrowed: try again later"),
            ),
        };
        Refusal::new(code, message).with_log(log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Binding, HostPattern, Secret};

    #[test]
    fn each_reason_has_its_code() {
        let name = || ConnectionName::parse("github").unwrap();
        let why = || "x".to_owned();
        for (error, code) in [
            (LendError::NotFound(name()), Code::ConnectionNotFound),
            (LendError::NotReady(name()), Code::ConnectionNotReady),
            (LendError::Revoked(name()), Code::ConnectionRevoked),
            (LendError::Expired(name()), Code::ConnectionExpired),
            (LendError::Attention(name()), Code::AttentionRequired),
            (LendError::Unbound { name: name(), host: Host::parse("a.test").unwrap() }, Code::PolicyDenied),
            (LendError::Unusable { name: name(), why: why() }, Code::CredentialUnusable),
            (LendError::Later { name: name(), why: why() }, Code::AuthorityUnavailable),
            (LendError::Unavailable { name: name(), why: why() }, Code::AuthorityUnavailable),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!(refusal.code(), code);
            assert!(refusal.message().contains("\"github\""), "{}", refusal.message());
        }
        let missing = Refusal::from(LendError::NotFound(name()));
        assert_eq!(missing.message(), "no connection \"github\": run nexus-sidecar connection add github");
        let own = Refusal::from(LendError::NotFound(ConnectionName::parse("mine").unwrap()));
        assert!(own.message().ends_with("connection add mine with --provider, or with --strategy and --host"));
    }

    #[test]
    fn what_renews_credentials_is_dropped_unless_a_strategy_names_it() {
        let loan = |strategy: Strategy, names: &[&str]| {
            let mut credentials = Fields::new();
            for name in names {
                credentials.insert(*name, Secret::new("v"));
            }
            let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
            let bindings = Bindings::new(vec![Binding { hosts, strategy }], false).unwrap();
            let mut loan =
                Loan { id: "1".into(), version: 1, bindings, credentials, expires_at: None, refreshable: false };
            loan.keep_what_is_used();
            loan.credentials.names().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(loan(Strategy::OAuth2, &["access_token", "refresh_token", "id_token"]), ["access_token"]);
        let key = Strategy::from_json(&serde_json::json!({
            "type": "header", "config": {"credential_field": "client_secret"}
        }));
        assert_eq!(loan(key.unwrap(), &["client_secret", "refresh_token"]), ["client_secret"]);
        let aws = Strategy::from_json(&serde_json::json!({"type": "aws_sigv4"})).unwrap();
        let kept = loan(aws, &["access_key", "secret_key", "session_token", "expiration"]);
        assert_eq!(kept, ["access_key", "secret_key", "session_token"]);
    }
}
