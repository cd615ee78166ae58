//! A record as the question that it was.

use http::Method;

use crate::audit::Record;
use crate::identity::Agent;
use crate::model::{Cause, HostPort, Query};
use crate::policy::{self, Asking, Past};

/// What was asked, as far as the record has it; `None` for what never became a request.
pub(super) fn of(record: &Record, cause: Option<Cause>, several_agents: bool) -> Option<Past> {
    let method = Method::from_bytes(record.method.as_deref()?.as_bytes()).ok()?;
    let asked = record.asked()?;
    let was_cut = record.target_sha256.is_some() || record.path_sha256.is_some();
    let (what, is_cut) = if method == Method::CONNECT {
        (Asking::Connect(authority(&asked)?), false)
    } else {
        request(&method, &asked, was_cut)?
    };
    Some(Past {
        agent: Agent::hypothetical(record.agent.as_deref()?),
        what,
        is_cut,
        policy: record.policy.clone(),
        rule: record.rule.clone(),
        address: match cause {
            Some(Cause::Address(address)) => Some(address),
            _ => None,
        },
        several_agents,
    })
}

/// `HOST:PORT`, or the destination of a tunnel that was allowed.
fn authority(asked: &str) -> Option<HostPort> {
    let rest = asked.split_once("://").map_or(asked, |(_, rest)| rest);
    let named = HostPort::parse(rest.split('/').next()?).ok()?;
    Some(HostPort { port: named.port.or(Some(443)), ..named })
}

/// A URL whose query's values are masked, and whether its path is only the beginning.
fn request(method: &Method, asked: &str, was_cut: bool) -> Option<(Asking, bool)> {
    let (front, query) = asked.split_once('?').map_or((asked, None), |(front, query)| (front, Some(query)));
    let is_cut = was_cut && front.ends_with('…');
    let front = if is_cut { &front[..=front.rfind('/')?] } else { front };
    let mut target = policy::request(method, front).ok()?;
    // Not checked again: it is only searched for names.
    target.query = query.map(Query::new);
    Some((Asking::Request(target), is_cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(method: &str, target: &str, cut: bool) -> Option<Past> {
        let some = |text: &str| Some(text.to_owned());
        let record = Record {
            agent: some("a"),
            method: some(method),
            target: some(target),
            target_sha256: cut.then(|| "x".to_owned()),
            ..Record::default()
        };
        of(&record, None, false)
    }

    #[test]
    fn records_are_read_back_as_questions() {
        let said = |past: Option<Past>| {
            past.map(|past| match past.what {
                Asking::Connect(target) => format!("{}:{}", target.host, target.port.unwrap()),
                Asking::Request(target) => {
                    let query = target.query.map(|query| query.as_str().to_owned()).unwrap_or_default();
                    format!("{}{} {query} {}", target.destination, target.path, past.is_cut)
                }
            })
        };
        for (method, target, cut, want) in [
            ("CONNECT", "a.test:8443", false, Some("a.test:8443")),
            ("CONNECT", "https://a.test", false, Some("a.test:443")),
            ("GET", "https://a.test:8443/p?q=***", false, Some("https://a.test:8443/p q=*** false")),
            ("GET", "http://a.test/a/b%2…", true, Some("http://a.test/a/  true")),
            ("GET", "http://a.test/a?b=***&c…", true, Some("http://a.test/a b=***&c… false")),
            ("GET", "/only/a/path", false, None),
            ("GET", "http://a.test/a b", false, None),
            ("G T", "http://a.test/", false, None),
            ("CONNECT", "", false, None),
        ] {
            assert_eq!(said(past(method, target, cut)).as_deref(), want, "{method} {target}");
        }
    }
}
