//! One call, as handlers see it: what stood in its path, its query and its body, checked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::watch;

use super::Api;
use super::endpoint::{Endpoint, Kind, Parameter, Place};
use super::json::{self, Members};
use super::problem::{Problem, Surface};
use crate::authority::access::{Denied, Presented, Principal};
use crate::authority::{Actor, Authority};

/// What a handler works with.
pub(in crate::authority) struct Call {
    pub(super) api: Arc<Api>,
    /// What the caller showed, for what outlives the answer's head.
    pub(super) presented: Option<Arc<Presented>>,
    pub(super) arguments: Arguments,
    pub(super) body: Bytes,
}

impl Call {
    /// The Authority, as this caller uses it: in its workspace, on its behalf.
    pub(in crate::authority) fn authority(&self, principal: &Principal) -> Authority {
        let actor = Actor::Caller(principal.id().into());
        self.api.authority.within(principal.workspace().clone()).acting_as(actor)
    }

    /// The Authority, on nobody's behalf.
    pub(super) fn service(&self) -> &Authority {
        &self.api.authority
    }

    /// Waits until what this caller showed no longer makes it who it is: its key was revoked or has
    /// ended. What cannot be looked up is looked up again.
    pub(super) async fn dismissed(self, caller: Principal, every: Duration) {
        let Some(presented) = self.presented else { return };
        loop {
            tokio::time::sleep(every).await;
            let (gate, shown) = (Arc::clone(&self.api.gate), Arc::clone(&presented));
            match self.api.blocking.run(move || gate.admit(&shown)).await {
                Err(_) | Ok(Err(Denied::Store(_) | Denied::NoKeys)) => {}
                Ok(Ok(now)) if now == caller => {}
                Ok(_) => return,
            }
        }
    }

    /// Says true once the Authority stops: streams end then.
    pub(in crate::authority) fn stopping(&self) -> watch::Receiver<bool> {
        self.api.stopping.subscribe()
    }

    /// A parameter as text; empty where it is optional and was left out.
    pub(in crate::authority) fn text(&self, name: &str) -> &str {
        self.arguments.get(name).unwrap_or_default()
    }

    /// A parameter that is there.
    pub(in crate::authority) fn given(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)
    }

    /// A number; its default where it was left out.
    pub(in crate::authority) fn number(&self, name: &str) -> u64 {
        self.arguments.number(name)
    }

    /// The body, a JSON object, to be read member by member.
    pub(in crate::authority) fn members(&self) -> Result<Members, Problem> {
        Members::of(json::strict(&self.body)?)
    }

    /// The body as the reference reads it: the first JSON value, whatever follows it.
    pub(in crate::authority) fn lenient(&self) -> Result<Value, Problem> {
        json::lenient(&self.body)
    }
}

/// The parameters of a call, each of its kind.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<(&'static str, String, Option<u64>)>);

impl Arguments {
    /// Reads what stood in the path, in the query and in headers. On new surfaces a query is read
    /// strictly: what is unknown or stands twice is refused; the reference ignores it.
    pub(super) fn read(
        endpoint: &Endpoint,
        path: &[String],
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let strict = endpoint.surface == Surface::New;
        let mut found = Self::default();
        let in_path = endpoint.parameters.iter().filter(|parameter| parameter.place == Place::Path);
        for (parameter, text) in in_path.zip(path) {
            found.take(parameter, text.clone())?;
        }
        for parameter in endpoint.parameters.iter().filter(|parameter| parameter.place == Place::Header) {
            if let Some(value) = headers.get(parameter.name) {
                found.take(parameter, String::from_utf8_lossy(value.as_bytes()).into_owned())?;
            }
        }
        for (name, value) in pairs(query.unwrap_or_default())? {
            let known = |parameter: &&Parameter| parameter.place == Place::Query && parameter.name == name;
            let Some(parameter) = endpoint.parameters.iter().find(known) else {
                if strict {
                    return Err(
                        Problem::invalid("the query holds a parameter that there is not").with("parameter", name)
                    );
                }
                continue;
            };
            if found.get(parameter.name).is_some() {
                if strict {
                    let message = format!("the parameter {} stands twice in the query", parameter.name);
                    return Err(Problem::invalid(message).with("parameter", parameter.name));
                }
                continue;
            }
            found.take(parameter, value)?;
        }
        for parameter in &endpoint.parameters {
            if let (Kind::Number { default: Some(default), .. }, None) = (parameter.kind, found.get(parameter.name)) {
                found.0.push((parameter.name, default.to_string(), Some(default)));
            }
        }
        Ok(found)
    }

    fn take(&mut self, parameter: &Parameter, text: String) -> Result<(), Problem> {
        if !parameter.kind.takes(&text) {
            let message = format!("the parameter {} must be {}", parameter.name, parameter.kind.wants());
            return Err(Problem::invalid(message).with("parameter", parameter.name));
        }
        let number = text.parse().ok();
        self.0.push((parameter.name, text, number));
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, ..)| *known == name).map(|(_, text, _)| text.as_str())
    }

    fn number(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, ..)| *known == name).and_then(|(.., number)| *number).unwrap_or_default()
    }
}

/// `application/x-www-form-urlencoded`, as far as a query needs it.
fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let decoded = |text: &str| {
        decode(&text.replace('+', " ")).ok_or_else(|| Problem::invalid("the query is not percent-encoded UTF-8"))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Decodes percent-encoding; nothing for a broken escape or what is no UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (digits, after) = tail.split_at_checked(2)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.extend(byte);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::answer::Answer;
    use super::super::endpoint::{Bucket, Handler};
    use super::*;
    use crate::model::TraceId;

    fn endpoint(surface: Surface) -> Endpoint {
        let parameter = |name, place, kind| Parameter { name, place, kind, says: "" };
        Endpoint {
            method: Method::GET,
            path: "/x/{id}",
            name: "x",
            surface,
            summary: "",
            parameters: vec![
                parameter("id", Place::Path, Kind::Any),
                parameter("limit", Place::Query, Kind::Number { least: 1, most: 1000, default: Some(100) }),
                parameter(
                    "word",
                    Place::Query,
                    Kind::Text { pattern: "^[ab]$", good: |text| ["a", "b"].contains(&text), example: "a" },
                ),
                parameter("last-event-id", Place::Header, Kind::Number { least: 0, most: 9, default: None }),
            ],
            body: None,
            answers: Vec::new(),
            bucket: Bucket::Requests,
            handler: Handler::Open(|_| Ok(Answer::done())),
        }
    }

    fn read(surface: Surface, query: &str) -> Result<(u64, String), String> {
        let none = HeaderMap::new();
        let found = Arguments::read(&endpoint(surface), &["ä".to_owned()], Some(query), &none).map_err(|problem| {
            assert_eq!(problem.code.status(), 400);
            problem.body(Surface::New, TraceId::from_random([0; 16]))["error"]["details"]["parameter"].to_string()
        })?;
        assert_eq!(found.get("id"), Some("ä"));
        Ok((found.number("limit"), found.get("word").unwrap_or("-").to_owned()))
    }

    #[test]
    fn new_surfaces_read_strictly() {
        assert_eq!(read(Surface::New, ""), Ok((100, "-".into())));
        assert_eq!(read(Surface::New, "limit=1000&word=%61"), Ok((1000, "a".into())));
        for (query, named) in [
            ("limit=0", "\"limit\""),
            ("limit=1001", "\"limit\""),
            ("limit=+7", "\"limit\""),
            ("limit=", "\"limit\""),
            ("limit=1&limit=1", "\"limit\""),
            ("word=c", "\"word\""),
            ("id=7", "\"id\""),
            ("LIMIT=7", "\"LIMIT\""),
            ("limit=%zz", "null"),
            ("limit=%f", "null"),
            ("word=%ff", "null"),
        ] {
            assert_eq!(read(Surface::New, query), Err(named.into()), "{query}");
        }
    }

    #[test]
    fn a_header_is_read_by_its_name_alone() {
        let read = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]);
            Arguments::read(&endpoint(Surface::New), &["a".to_owned()], None, &headers)
                .map(|found| found.number("last-event-id"))
        };
        assert_eq!((read("last-event-id", "7"), read("limit", "7")), (Ok(7), Ok(0)));
        assert!(read("last-event-id", "x").is_err());
        let in_query =
            Arguments::read(&endpoint(Surface::New), &["a".to_owned()], Some("last-event-id=7"), &HeaderMap::new());
        assert!(in_query.is_err());
    }

    #[test]
    fn old_surfaces_ignore_what_they_do_not_know() {
        assert_eq!(read(Surface::Old, "x=1&limit=5&limit=6&y"), Ok((5, "-".into())));
    }
}
