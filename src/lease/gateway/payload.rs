//! What the answers hold, read as something that nobody has checked. Pure; nothing is quoted.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::model::{Fields, Secret};

/// More fields than this are no credentials of a person's making.
const MOST: usize = 256;

/// The end of the year 9999 in Unix seconds: what lies behind it counts in something else.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// How Go writes that there is no time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The credentials of a connection, as they are served at some moment.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// How to authenticate: `{"type", "config"}`, unchecked.
    pub(super) strategy: Option<Value>,
    /// Every field that is a string, but for refresh and ID tokens.
    pub(super) fields: Fields,
    /// A refresh token was among them.
    pub(super) renewable: bool,
    /// When they end: the earliest of all that is said.
    pub(super) ends: Option<SystemTime>,
    /// How long they were good for when they were issued.
    pub(super) lifetime: Option<Duration>,
    /// The service says itself that they have ended.
    pub(super) expired: bool,
}

/// Reads what `GET token` answered with 200; says what is wrong with it where it holds no
/// credentials.
pub(super) fn read(body: &[u8]) -> Result<Payload, String> {
    let Whole { strategy, fields, times, has_error, is_wrapped, .. } = parse(body)?;
    match fields {
        None if is_wrapped => {
            Err("it is wrapped as the HTTP mirror of the gRPC Gateway does, which tells no failure from \
                 another: write the url of the REST Gateway"
                .to_owned())
        }
        None if has_error => Err("it answered 200 with an error and no credentials".to_owned()),
        None => Err("it answered 200 without credentials".to_owned()),
        Some(fields) => {
            let Times { ends, lifetime, expired, renewable, unreadable } = times;
            match unreadable {
                Some(what) => Err(format!("its {what} is no time that is known here")),
                None => Ok(Payload { strategy, fields, renewable, ends, lifetime, expired }),
            }
        }
    }
}

/// Reads what a refresh answered with 200: for how long the new token is good, counted from the
/// answer, where that is said. The token itself is asked for afterwards, with its strategy.
pub(super) fn refreshed(body: &[u8]) -> Result<Option<Duration>, String> {
    let Whole { times, has_error, has_token, .. } = parse(body)?;
    match (has_token, has_error) {
        (true, _) => Ok(times.lifetime),
        (false, true) => Err("its refresh answered 200 with an error and no token".to_owned()),
        (false, false) => Err("its refresh answered 200 without a token".to_owned()),
    }
}

fn parse(body: &[u8]) -> Result<Whole, String> {
    if body.trim_ascii().is_empty() {
        return Err("it answered 200 with nothing".to_owned());
    }
    // `serde_json` quotes what it met, which may be a credential: only the place is told.
    let unreadable = |error: serde_json::Error| {
        format!("its answer cannot be read (line {}, column {})", error.line(), error.column())
    };
    // Null is what a provider may have said.
    let whole: Option<Whole> = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(whole.unwrap_or_default())
}

/// An answer, of either call.
#[derive(Default)]
struct Whole {
    strategy: Option<Value>,
    fields: Option<Fields>,
    times: Times,
    has_token: bool,
    has_error: bool,
    is_wrapped: bool,
}

/// What members of the credentials and of the answer around them say about their life.
#[derive(Default)]
struct Times {
    ends: Option<SystemTime>,
    lifetime: Option<Duration>,
    expired: bool,
    renewable: bool,
    unreadable: Option<&'static str>,
}

impl Times {
    /// Takes note of a member; gives it back where it says nothing about time.
    fn note(&mut self, name: &str, value: One) -> Option<Secret> {
        match (name, value) {
            ("expires_at", value) => self.end("expires_at", &value),
            ("expiry", value) => self.end("expiry", &value),
            ("expires_in", value) => {
                let length = length(&value);
                self.lifetime = self.lifetime.into_iter().chain(length).min();
            }
            ("expired", One::Flag(expired)) => self.expired |= expired,
            ("refresh_token", One::Text(token)) => self.renewable |= !token.is_empty(),
            ("refresh_token" | "id_token", _) => {}
            (_, One::Text(text)) => return Some(text),
            _ => {}
        }
        None
    }

    fn end(&mut self, name: &'static str, value: &One) {
        match end(value) {
            Ok(end) => self.ends = self.ends.into_iter().chain(end).min(),
            Err(()) => self.unreadable = Some(name),
        }
    }
}

/// RFC 3339 with `Z` or an offset, Unix seconds, or their digits; nothing where nothing is said.
fn end(value: &One) -> Result<Option<SystemTime>, ()> {
    let text = match value {
        One::Null => return Ok(None),
        One::Number(seconds) => return unix(*seconds).map(Some),
        One::Text(text) => text.expose_str().ok_or(())?.trim(),
        One::Flag(_) | One::Other => return Err(()),
    };
    if text.is_empty() || text == NO_TIME {
        return Ok(None);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return unix(text.parse().map_err(drop)?).map(Some);
    }
    OffsetDateTime::parse(text, &Rfc3339).map(|moment| Some(SystemTime::from(moment))).map_err(drop)
}

fn unix(seconds: f64) -> Result<SystemTime, ()> {
    let past = Ok(SystemTime::UNIX_EPOCH);
    match seconds {
        // Before any token.
        _ if seconds <= 0.0 => past,
        _ if seconds <= LAST_SECOND => Ok(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds.floor())),
        _ => Err(()),
    }
}

/// A number of seconds, or its digits. What is neither bounds nothing.
fn length(value: &One) -> Option<Duration> {
    let seconds = match value {
        One::Number(seconds) => *seconds,
        One::Text(text) => {
            text.expose_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?
        }
        _ => return None,
    };
    (seconds <= LAST_SECOND).then(|| Duration::from_secs_f64(seconds.max(0.0)))
}

/// A member: a text becomes a secret at once, and is wiped where it is not wanted.
enum One {
    Null,
    Flag(bool),
    Number(f64),
    Text(Secret),
    Other,
}

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor)
    }
}

struct OneVisitor;

#[expect(clippy::cast_precision_loss, reason = "seconds are exact, and what is larger is no time")]
impl<'de> Visitor<'de> for OneVisitor {
    type Value = One;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member")
    }

    fn visit_unit<E>(self) -> Result<One, E> {
        Ok(One::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<One, E> {
        Ok(One::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<One, E> {
        Ok(One::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<One, E> {
        Ok(One::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<One, E> {
        Ok(One::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<One, E> {
        Ok(One::Text(Secret::new(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<One, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(One::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<One, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(One::Other)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WholeVisitor)
    }
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole, A::Error> {
        let mut whole = Whole::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "strategy" => whole.strategy = map.next_value()?,
                "credentials" => {
                    if let Some(Credentials { fields, times }) = map.next_value()? {
                        whole.fields = Some(fields);
                        whole.times.join(times);
                    }
                }
                "error" => whole.has_error |= !matches!(map.next_value()?, One::Null),
                "token" => whole.is_wrapped |= matches!(map.next_value()?, One::Other),
                "access_token" => {
                    whole.has_token |= matches!(map.next_value()?, One::Text(token) if !token.is_empty());
                }
                _ => drop(whole.times.note(&name, map.next_value()?)),
            }
        }
        Ok(whole)
    }
}

impl Times {
    fn join(&mut self, other: Self) {
        self.ends = self.ends.into_iter().chain(other.ends).min();
        self.lifetime = self.lifetime.into_iter().chain(other.lifetime).min();
        self.expired |= other.expired;
        self.renewable |= other.renewable;
        self.unreadable = self.unreadable.or(other.unreadable);
    }
}

struct Credentials {
    fields: Fields,
    times: Times,
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CredentialsVisitor)
    }
}

struct CredentialsVisitor;

impl<'de> Visitor<'de> for CredentialsVisitor {
    type Value = Credentials;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of credentials")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Credentials, A::Error> {
        let (mut fields, mut times, mut count) = (Fields::new(), Times::default(), 0);
        while let Some(name) = map.next_key::<String>()? {
            count += 1;
            if count > MOST {
                return Err(A::Error::custom("more fields than credentials have"));
            }
            if let Some(value) = times.note(&name, map.next_value()?) {
                fields.insert(name, value);
            }
        }
        Ok(Credentials { fields, times })
    }
}

#[cfg(test)]
mod tests;
