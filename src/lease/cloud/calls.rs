use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::reply::Reply;
use crate::dial::{Answer, Call, CallError, Caller};
use crate::lease::{Ask, LendError};
use crate::model::{ConnectionName, Secret, Url, encode_form};
use crate::telemetry::Clock;

/// No credentials that are minted last longer than this; a larger number is a mistake, or
/// milliseconds.
const LONGEST: u64 = 366 * 86_400;

/// How a cloud is called: by whom, and by which clock.
#[derive(Clone)]
pub struct Calls {
    caller: Caller,
    clock: Arc<dyn Clock>,
}

/// Why nothing was minted. Nothing of what was sent or heard is in it, but for error codes.
#[derive(Debug)]
pub(super) enum Trouble {
    /// As it is configured it will not be.
    Unusable(String),
    /// It may be, later.
    Unavailable(String),
    /// A person of the cloud has to look.
    Attention,
}

impl Trouble {
    pub(super) fn of(self, name: &ConnectionName) -> LendError {
        let name = name.clone();
        match self {
            Self::Unusable(why) => LendError::Unusable { name, why },
            Self::Unavailable(why) => LendError::Unavailable { name, why },
            Self::Attention => LendError::Attention(name),
        }
    }

    pub(super) fn unusable(why: impl Into<String>) -> Self {
        Self::Unusable(why.into())
    }
}

impl Calls {
    /// Calls through `caller`, whose word is the operator's. Which addresses may be called in
    /// cleartext was settled when the configuration was read.
    pub fn new(caller: Caller, clock: Arc<dyn Clock>) -> Self {
        Self { caller: caller.in_cleartext_too(), clock }
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.wall()
    }

    /// Seconds since 1970.
    pub(super) fn unix(&self) -> i64 {
        OffsetDateTime::from(self.now()).unix_timestamp()
    }

    /// One call, whatever its answer. What is not reached is worth asking again.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        self.caller.call(call).await.map_err(|error| match error {
            CallError::TooLong { .. } | CallError::Cleartext { .. } => Trouble::Unusable(error.to_string()),
            _ => Trouble::Unavailable(error.with_causes()),
        })
    }

    /// A form, posted.
    pub(super) async fn post_form(&self, url: &Url, form: &Form) -> Result<Answer, Trouble> {
        self.call(form.post(url)).await
    }

    /// The moment that lies `seconds` ahead, as an answer says it.
    pub(super) fn after(&self, seconds: u64) -> Result<SystemTime, Trouble> {
        match seconds {
            0 => Err(ended()),
            1..=LONGEST => Ok(self.now() + Duration::from_secs(seconds)),
            _ => Err(Trouble::unusable("the answer says an end that is no time")),
        }
    }

    /// A moment (RFC 3339) that lies ahead.
    pub(super) fn until(&self, text: &str) -> Result<SystemTime, Trouble> {
        let moment = OffsetDateTime::parse(text, &Rfc3339);
        let moment = moment.map_err(|_| Trouble::unusable("the answer says an end that is no time"))?;
        let moment = SystemTime::from(moment);
        if moment <= self.now() { Err(ended()) } else { Ok(moment) }
    }
}

/// It may give others in a while.
fn ended() -> Trouble {
    Trouble::Unavailable("what it gave has ended already: look at the clock of this machine".to_owned())
}

/// A form (application/x-www-form-urlencoded) in the making, which may hold secrets.
#[derive(Default)]
pub(super) struct Form(zeroize::Zeroizing<String>);

impl Form {
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let value = zeroize::Zeroizing::new(encode_form(value));
        // Without growing, which would leave a copy behind.
        let mut whole = zeroize::Zeroizing::new(String::with_capacity(self.0.len() + name.len() + value.len() + 2));
        for part in [self.0.as_str(), if self.0.is_empty() { "" } else { "&" }, name, "=", value.as_str()] {
            whole.push_str(part);
        }
        self.0 = whole;
        self
    }

    /// The body.
    pub(super) fn body(&self) -> Secret {
        Secret::new(self.0.as_bytes())
    }

    fn post(&self, url: &Url) -> Call {
        Call::post(url.clone(), "application/x-www-form-urlencoded", self.body())
    }
}

/// What a status means that is none of those that were looked for.
pub(super) fn unexpected(what: &str, status: StatusCode, code: Option<&str>) -> Trouble {
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let why = format!("{what} answers {}{code}", status.as_u16());
    match status.as_u16() {
        408 | 425 | 429 | 500.. => Trouble::Unavailable(why),
        300..=399 => Trouble::Unusable(format!("{why}: no redirect is followed, look at the url")),
        _ => Trouble::Unusable(why),
    }
}

/// A token and its end, as a token endpoint answers (RFC 6749, section 5).
pub(super) fn token(calls: &Calls, what: &str, answer: &Answer) -> Result<(Secret, SystemTime), Trouble> {
    let reply = Reply::parse(&answer.body);
    if !answer.status.is_success() {
        let code = reply.as_ref().and_then(|reply| reply.word("error"));
        return Err(unexpected(what, answer.status, code));
    }
    let reply = reply.ok_or_else(|| Trouble::unusable(format!("what {what} answers is no JSON object")))?;
    if reply.text("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(Trouble::unusable(format!("{what} gives a token that is no bearer token")));
    }
    let token = reply.text("access_token").map(Secret::new);
    let token = token.ok_or_else(|| Trouble::unusable(format!("{what} gives no access_token")))?;
    let seconds = reply.count("expires_in");
    let seconds = seconds.ok_or_else(|| Trouble::unusable(format!("{what} does not say when the token ends")))?;
    Ok((token, calls.after(seconds)?))
}

/// Reads a file on a thread that may wait.
pub(super) async fn file<T: Send + 'static>(
    path: &Path,
    read: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&owned)).await.map_err(|error| error.to_string());
    let read = read.and_then(|read| read.map_err(|error| error.to_string()));
    read.map_err(|error| Trouble::Unusable(format!("cannot read {}: {error}", path.display())))
}

/// An address below another, whatever path that has itself.
pub(super) fn below(url: &Url, path: &str) -> Result<Url, Trouble> {
    let whole = format!("{}{path}", url.target().path().trim_end_matches('/'));
    url.at(&whole).map_err(|error| Trouble::Unusable(error.to_string()))
}

/// What a rule narrows the lease to.
pub(super) fn scope(ask: &Ask) -> Map<String, Value> {
    ask.scope.as_ref().map(crate::model::Scope::read).unwrap_or_default()
}
