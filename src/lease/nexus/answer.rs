//! What the Authority answers, read as something that nobody has checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lease::{LendError, Loan};
use crate::model::{Binding, Bindings, ConnectionName, Fields, Host, HostPattern, Scheme, Secret, Strategy, Url};

/// More lines, hosts of a line, or fields than this are no contract of a person's making.
const MOST: usize = 256;

/// The longest id.
const LONGEST_ID: usize = 128;

/// A loan, and the last event that it knows of.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) name: ConnectionName,
    pub(super) event: u64,
    /// It is the version that was held already, and holds no credentials.
    pub(super) unchanged: bool,
    pub(super) loan: Loan,
}

/// A policy as the Authority keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PolicyDocument {
    /// The Authority's number of it.
    pub version: u64,
    /// The text.
    pub document: String,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    name: String,
    version: u64,
    #[serde(default)]
    owned: bool,
    bindings: Vec<WireBinding>,
    #[serde(default)]
    credentials: Option<BTreeMap<String, MaybeText>>,
    #[serde(default)]
    unchanged: bool,
    #[serde(default)]
    refreshable: bool,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    expires_in: Option<i64>,
    event: u64,
}

#[derive(Deserialize)]
struct WireBinding {
    hosts: Vec<String>,
    strategy: Value,
}

/// Reads a loan; says what is wrong with it, without quoting a value. `asked_at` is when it was
/// asked for: `expires_in` counts from then.
pub(super) fn lease(body: &[u8], asked_at: SystemTime) -> Result<Lent, String> {
    let wire: Wire = serde_json::from_slice(body).map_err(|error| not_json("lease", &error))?;
    if !is_id(&wire.id) {
        return Err("its id is none".to_owned());
    }
    let name = ConnectionName::parse(&wire.name).map_err(|error| error.to_string())?;
    let expires_at = Some(ends(&wire, asked_at)?);
    let given = match (wire.credentials, wire.unchanged) {
        (Some(given), false) => given,
        (None, true) => BTreeMap::new(),
        _ => return Err("it has no credentials, or says of some that they are not sent".to_owned()),
    };
    if wire.bindings.len() > MOST || given.len() > MOST {
        return Err("it has more lines or fields than a contract can have".to_owned());
    }
    let bindings = wire.bindings.iter().map(binding).collect::<Result<_, String>>()?;
    let bindings = Bindings::new(bindings, wire.owned).map_err(|error| error.to_string())?;
    let mut credentials = Fields::new();
    for (field, value) in given {
        if let MaybeText(Some(secret)) = value {
            credentials.insert(field, secret);
        }
    }
    let mut loan = Loan {
        id: Arc::from(wire.id),
        version: wire.version,
        bindings,
        credentials,
        expires_at,
        refreshable: wire.refreshable,
    };
    loan.keep_what_is_used();
    Ok(Lent { name, event: wire.event, unchanged: wire.unchanged, loan })
}

fn binding(line: &WireBinding) -> Result<Binding, String> {
    if line.hosts.len() > MOST {
        return Err("a line of it has more hosts than a contract can have".to_owned());
    }
    let hosts = line.hosts.iter().map(|host| HostPattern::parse(host).map_err(|error| format!("{host:?}: {error}")));
    let strategy = Strategy::from_json(&line.strategy).map_err(|error| error.to_string())?;
    Ok(Binding { hosts: hosts.collect::<Result<_, _>>()?, strategy })
}

/// The earlier of the two ends; every loan has one.
fn ends(wire: &Wire, asked_at: SystemTime) -> Result<SystemTime, String> {
    let at = wire.expires_at.as_deref().map(|text| {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "its expires_at is no time".to_owned());
        moment.map(SystemTime::from)
    });
    let within = wire.expires_in.map(|seconds| {
        let left = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        asked_at.checked_add(left).ok_or_else(|| "its expires_in is no time".to_owned())
    });
    match (at.transpose()?, within.transpose()?) {
        (Some(at), Some(within)) => Ok(at.min(within)),
        (Some(end), None) | (None, Some(end)) => Ok(end),
        (None, None) => Err("it has no end: neither expires_at nor expires_in".to_owned()),
    }
}

/// Where `GET /connections/{id}` says that a connection is in its life: whether it is still there.
pub(super) fn is_there(body: &[u8], id: &str) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Connection {
        id: String,
        state: String,
    }
    let connection: Connection = serde_json::from_slice(body).map_err(|error| not_json("connection", &error))?;
    if connection.id != id {
        return Err("it answered with another connection".to_owned());
    }
    Ok(connection.state != "revoked")
}

/// Reads a policy; the document itself is checked when it is compiled.
pub(super) fn policy(body: &[u8]) -> Result<PolicyDocument, String> {
    serde_json::from_slice(body).map_err(|error| not_json("policy", &error))
}

/// The code of a refusal, in the Authority's shape; `None` for what something else answered.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let code = answer.get("error")?.get("code")?.as_str()?;
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (code.len() <= 64 && code.bytes().all(plain)).then(|| code.to_owned())
}

/// A refusal of a lease as the trait's own.
pub(super) fn refusal(status: StatusCode, body: &[u8], name: &ConnectionName, host: &Host) -> LendError {
    let name = name.clone();
    let code = code(body);
    match (status.as_u16(), code.as_deref()) {
        (404, Some("CONNECTION_NOT_FOUND")) => LendError::NotFound(name),
        (409, Some("CONNECTION_NOT_READY")) => LendError::NotReady(name),
        (409, Some("ATTENTION_REQUIRED")) => LendError::Attention(name),
        (410, Some("CONNECTION_EXPIRED")) => LendError::Expired(name),
        (410, Some("CONNECTION_REVOKED")) => LendError::Revoked(name),
        (403, Some("POLICY_DENIED")) => LendError::Unbound { name, host: host.clone() },
        (_, Some("AUTHORITY_FROZEN")) => LendError::Frozen(name),
        (503, Some("AUTHORITY_UNAVAILABLE")) => LendError::Later { name, why: unexpected(status, code.as_deref()) },
        (502, Some("CREDENTIAL_UNUSABLE")) => {
            LendError::Unusable { name, why: "the Authority cannot use what it has stored for it".to_owned() }
        }
        (501, Some(_)) => {
            LendError::Unusable { name, why: "the Authority cannot narrow it as it was asked to".to_owned() }
        }
        _ => LendError::Unavailable { name, why: unexpected(status, code.as_deref()) },
    }
}

/// The page on which a person mends a connection, where a refusal names one: over TLS, or on this
/// machine, and short enough to be one.
pub(super) fn reconnect_page(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let page = answer.get("error")?.get("details")?.get("reconnect_url")?.as_str()?;
    let url = Url::parse(page).ok().filter(|_| page.len() <= 2048)?;
    let here = match url.destination().host() {
        Host::Ip(ip) => ip.is_loopback(),
        Host::Name(name) => &**name == "localhost",
    };
    (url.destination().scheme() == Scheme::Https || here).then(|| page.to_owned())
}

/// What an operator can do about an answer that is none.
pub(super) fn unexpected(status: StatusCode, code: Option<&str>) -> String {
    let said = code.map(|code| format!(" {code}")).unwrap_or_default();
    let advice = match (status.as_u16(), code) {
        (_, Some("KEY_REVOKED" | "KEY_EXPIRED")) | (410, None) => {
            ": the key in auth.bearer_file is no longer good; make another with the scope `sidecar`"
        }
        (401, _) => {
            ": it does not know the key in auth.bearer_file, or the certificate; make a key with the scope `sidecar`"
        }
        (403, _) => {
            ": the key in auth.bearer_file, or the certificate, is not allowed this; it needs the scope `sidecar`"
        }
        (404, None) => ": this is no answer of an Authority; look at the source's url",
        (300..=399, _) => ": redirects are not followed; write the final address as the source's url",
        _ => "",
    };
    format!("the Authority answered {}{said}{advice}", status.as_u16())
}

/// An id stands in paths as it is.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.len() <= LONGEST_ID
        && text.bytes().all(plain)
}

/// `serde_json` quotes what it met, which may be a credential: only the place is told.
fn not_json(what: &str, error: &serde_json::Error) -> String {
    format!("its {what} cannot be read (line {}, column {})", error.line(), error.column())
}

/// A string that becomes a secret without another copy of it; whatever else is passed over.
struct MaybeText(Option<Secret>);

impl<'de> Deserialize<'de> for MaybeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = MaybeText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_str<E>(self, text: &str) -> Result<MaybeText, E> {
        Ok(MaybeText(Some(Secret::new(text))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<MaybeText, E> {
        Ok(MaybeText(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<MaybeText, E> {
        Ok(MaybeText(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<MaybeText, E> {
        Ok(MaybeText(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<MaybeText, E> {
        Ok(MaybeText(None))
    }

    fn visit_unit<E>(self) -> Result<MaybeText, E> {
        Ok(MaybeText(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MaybeText, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(MaybeText(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MaybeText, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(MaybeText(None))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked_at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn whole() -> Value {
        json!({
            "id": "2f1c0d2e", "name": "jira", "version": 3, "owned": false,
            "strategy": {"type": "oauth2"}, "hosts": ["api.test"],
            "bindings": [{"hosts": ["api.test"], "strategy": {"type": "oauth2"}}],
            "credentials": {"access_token": "canary", "refresh_token": "r", "n": 7, "o": {"a": [1]}, "l": [null, "x"], "z": null},
            "expires_in": 600, "event": 812, "later": true,
        })
    }

    fn read(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<Lent, String> {
        let Value::Object(mut answer) = whole() else { unreachable!() };
        change(&mut answer);
        lease(Value::from(answer).to_string().as_bytes(), asked_at())
    }

    fn set(key: &str, value: Value) -> Result<Lent, String> {
        read(|answer| drop(answer.insert(key.to_owned(), value)))
    }

    #[test]
    fn a_loan_is_read_with_its_used_fields_alone() {
        let Lent { name, event, loan, unchanged } = read(|_| {}).unwrap();
        assert!(!unchanged);
        assert_eq!((name.as_str(), event, &*loan.id, loan.version), ("jira", 812, "2f1c0d2e", 3));
        assert_eq!(loan.credentials.names().collect::<Vec<_>>(), ["access_token"]);
        assert_eq!(loan.credentials.get("access_token").unwrap().expose(), b"canary");
        assert!(loan.bindings.strategy_for(&Host::parse("api.test").unwrap()).is_some());
    }

    #[test]
    fn the_earlier_end_holds_and_one_there_must_be() {
        let left = |lent: Result<Lent, String>| {
            lent.map(|lent| lent.loan.expires_at.unwrap().duration_since(asked_at()).unwrap_or_default().as_secs())
        };
        assert_eq!(left(read(|_| {})), Ok(600));
        assert_eq!(left(set("expires_at", json!("2027-01-15T08:00:10Z"))), Ok(10));
        assert_eq!(left(set("expires_at", json!("2027-01-15T09:01:00+01:00"))), Ok(60));
        assert_eq!(left(set("expires_at", json!("2037-01-15T08:00:10Z"))), Ok(600));
        assert_eq!(left(set("expires_in", json!(-5))), Ok(0));
        assert_eq!(left(set("expires_at", json!(null))), Ok(600));
        let only_at = read(|answer| {
            answer.remove("expires_in");
            answer.insert("expires_at".to_owned(), json!("2027-01-15T08:00:20Z"));
        });
        assert_eq!(left(only_at), Ok(20));
        assert!(read(|answer| drop(answer.remove("expires_in"))).unwrap_err().contains("no end"));
        assert!(set("expires_at", json!("tomorrow")).is_err());
        assert!(set("expires_in", json!(u64::MAX)).is_err());
    }

    #[test]
    fn what_is_no_loan_is_refused_and_nothing_of_it_is_quoted() {
        for (key, value) in [
            ("id", json!("")),
            ("id", json!("a b")),
            ("id", json!("../x")),
            ("id", json!("x".repeat(200))),
            ("name", json!("No Name")),
            ("version", json!(-1)),
            ("version", json!("3")),
            ("bindings", json!([])),
            ("bindings", json!([{"hosts": [], "strategy": {"type": "oauth2"}}])),
            ("bindings", json!([{"hosts": ["*.test"], "strategy": {"type": "oauth2"}}])),
            ("bindings", json!([{"hosts": ["a b"], "strategy": {"type": "oauth2"}}])),
            ("bindings", json!([{"hosts": ["a.test"], "strategy": {"type": "magic"}}])),
            ("bindings", json!(vec![json!({"hosts": ["a.test"], "strategy": {"type": "oauth2"}}); MOST + 1])),
            ("credentials", json!("canary")),
            ("credentials", json!(["canary"])),
            ("event", json!(null)),
            ("expires_in", json!("canary")),
        ] {
            let error = set(key, value.clone()).unwrap_err();
            assert!(!error.contains("canary"), "{key} {value}: {error}");
        }
        for body in ["", "null", "[]", "canary", "{\"id\":\"canary", "{}"] {
            assert!(!lease(body.as_bytes(), asked_at()).unwrap_err().contains("canary"), "{body}");
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let name = ConnectionName::parse("jira").unwrap();
        let host = Host::parse("api.test").unwrap();
        let word = |status: u16, code: &str| {
            let body = json!({"error": {"code": code, "message": "m"}}).to_string();
            match refusal(StatusCode::from_u16(status).unwrap(), body.as_bytes(), &name, &host) {
                LendError::Unavailable { why, .. } => why,
                other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
            }
        };
        assert_eq!(word(404, "CONNECTION_NOT_FOUND"), "NotFound");
        assert_eq!(word(409, "CONNECTION_NOT_READY"), "NotReady");
        assert_eq!(word(409, "ATTENTION_REQUIRED"), "Attention");
        assert_eq!(word(410, "CONNECTION_REVOKED"), "Revoked");
        assert_eq!(word(410, "CONNECTION_EXPIRED"), "Expired");
        assert_eq!(word(403, "POLICY_DENIED"), "Unbound");
        assert_eq!(word(503, "AUTHORITY_FROZEN"), "Frozen");
        assert_eq!(word(501, "NOT_SUPPORTED"), "Unusable");
        for (status, code, want) in [
            (401, "UNAUTHENTICATED", "auth.bearer_file"),
            (410, "KEY_REVOKED", "no longer good"),
            (410, "KEY_EXPIRED", "no longer good"),
            (403, "FORBIDDEN", "scope `sidecar`"),
            (429, "RATE_LIMITED", "answered 429 RATE_LIMITED"),
            (500, "INTERNAL", "answered 500 INTERNAL"),
            (302, "x y", "redirects are not followed"),
            (404, "bad code\n", "no answer of an Authority"),
        ] {
            assert!(word(status, code).contains(want), "{}", word(status, code));
        }
        let page = refusal(StatusCode::NOT_FOUND, b"<html>404</html>", &name, &host);
        assert!(matches!(page, LendError::Unavailable { .. }), "{page:?}");
    }

    #[test]
    fn a_connection_that_is_there_says_its_state() {
        let body = |state: &str| format!(r#"{{"id":"i","name":"n","state":"{state}","version":1}}"#);
        assert_eq!(is_there(body("active").as_bytes(), "i"), Ok(true));
        assert_eq!(is_there(body("attention").as_bytes(), "i"), Ok(true));
        assert_eq!(is_there(body("revoked").as_bytes(), "i"), Ok(false));
        assert!(is_there(body("active").as_bytes(), "other").is_err());
        assert!(is_there(b"{}", "i").is_err());
    }
}
