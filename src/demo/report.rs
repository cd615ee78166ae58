//! What the demonstration found, and what it had to find.

use serde::Serialize;

use super::agent::Sent;
use super::service::Seen;

/// One request of the agent and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// What kind of request it is: without the sidecar, through it, or against the policy.
    pub part: &'static str,
    /// What the agent wanted.
    pub purpose: &'static str,
    /// The method.
    pub method: String,
    /// Host and path, without the port of this demonstration.
    pub target: String,
    /// The status that the agent saw.
    pub status: u16,
    /// The code of the sidecar's refusal, if it refused.
    pub refusal: Option<String>,
    /// What the service saw: a credential, masked, or `None` where nothing arrived.
    pub service_saw: Option<String>,
    /// Whether it went as it must.
    pub held: bool,
}

/// One thing that has to be true.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was checked, as a sentence that should be true.
    pub claim: &'static str,
    /// What was found.
    pub found: String,
    /// Whether it is true.
    pub held: bool,
}

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the agent sent, in order.
    pub calls: Vec<Call>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// Whether every call and every check held.
    pub held: bool,
    /// How long it took, in milliseconds.
    pub milliseconds: u128,
}

/// What happened just now, for whoever watches.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A part was started, in words.
    Started(String),
    /// The agent sent a request.
    Called(&'a Call),
    /// Something was checked.
    Checked(&'a Check),
}

/// A request that the agent must have made.
struct Expected {
    name: &'static str,
    purpose: &'static str,
    status: u16,
    end: End,
}

/// Where a request must have ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The service took its credential.
    Accepted,
    /// The service saw no credential and turned it away.
    TurnedAway,
    /// The policy refused it, and the service saw nothing.
    Denied,
}

impl End {
    const fn part(self) -> &'static str {
        match self {
            Self::TurnedAway => "without the sidecar",
            Self::Accepted => "through the sidecar",
            Self::Denied => "through the sidecar, against the policy",
        }
    }
}

const fn expected(name: &'static str, purpose: &'static str, status: u16, end: End) -> Expected {
    Expected { name, purpose, status, end }
}

/// The script's requests, in its order.
const EXPECTED: [Expected; 10] = [
    expected("direct-tickets", "read the open tickets", 401, End::TurnedAway),
    expected("direct-storage", "store a report", 403, End::TurnedAway),
    expected("direct-chat", "tell the channel", 401, End::TurnedAway),
    expected("read-tickets", "read the open tickets", 200, End::Accepted),
    expected("store-report", "store a report", 200, End::Accepted),
    expected("fetch-report", "fetch it again", 200, End::Accepted),
    expected("post-message", "tell the channel", 200, End::Accepted),
    expected("delete-ticket", "delete a ticket", 403, End::Denied),
    expected("other-host", "send data elsewhere", 403, End::Denied),
    expected("read-chat", "read the channel", 403, End::Denied),
];

impl Call {
    /// Compares what the agent tells with what the service saw. `None` for a request that the
    /// script does not make.
    pub(super) fn judge(sent: &Sent<'_>, seen: Option<&Seen>) -> Option<Self> {
        let expected = EXPECTED.iter().find(|expected| expected.name == sent.name)?;
        let ended = match (seen, sent.refusal) {
            (Some(seen), None) if seen.accepted => Some(End::Accepted),
            (Some(seen), None) if seen.checked.credential.is_none() => Some(End::TurnedAway),
            (None, Some("POLICY_DENIED")) => Some(End::Denied),
            _ => None,
        };
        Some(Self {
            part: expected.end.part(),
            purpose: expected.purpose,
            method: sent.method.to_owned(),
            target: without_port(sent.url),
            status: sent.status,
            refusal: sent.refusal.map(str::to_owned),
            service_saw: seen.map(Seen::in_words),
            held: sent.status == expected.status && ended == Some(expected.end),
        })
    }
}

impl Call {
    /// Tells whether the sidecar has a record of it.
    pub(super) fn came_to_the_sidecar(&self) -> bool {
        self.part != End::TurnedAway.part()
    }
}

/// The checks that the calls alone decide.
pub(super) fn of_calls(calls: &[Call], same_object: bool, unexplained: usize) -> Vec<Check> {
    let check = |claim, end, also: bool| {
        let wanted = EXPECTED.iter().filter(|expected| expected.end == end).count();
        let held = |call: &&Call| call.held && call.part == end.part();
        let count = calls.iter().filter(held).count();
        Check { claim, found: format!("{count} of {wanted} requests"), held: count == wanted && also }
    };
    vec![
        check("the services turn away whoever brings no credential", End::TurnedAway, true),
        check("through the sidecar they see credentials that the agent never had", End::Accepted, true),
        Check {
            claim: "the stored object came back byte for byte",
            found: if same_object { "the same bytes" } else { "other bytes, or none" }.to_owned(),
            held: same_object,
        },
        check("what the policy does not allow reaches no service", End::Denied, unexplained == 0),
    ]
}

fn without_port(url: &str) -> String {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    format!("{host}{path}")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::service::Checked;
    use super::*;

    fn sent<'a>(name: &'a str, status: u16, refusal: Option<&'a str>) -> Sent<'a> {
        Sent { name, method: "GET", url: "https://a.demo.test:4711/x?y=1", status, refusal }
    }

    fn seen(credential: Option<&str>, accepted: bool) -> Seen {
        let checked = Checked { credential: credential.map(str::to_owned), fault: None };
        Seen { method: Method::GET, path: "/x".to_owned(), checked, accepted }
    }

    #[test]
    fn a_call_holds_only_if_it_ended_where_it_must() {
        let denied = Some("POLICY_DENIED");
        let (good, none) = (seen(Some("Bearer abcd…"), true), seen(None, false));
        for (sent, seen, held) in [
            (sent("read-tickets", 200, None), Some(&good), true),
            (sent("read-tickets", 500, None), Some(&good), false),
            (sent("read-tickets", 200, None), None, false),
            (sent("read-tickets", 200, denied), Some(&good), false),
            (sent("direct-tickets", 401, None), Some(&none), true),
            (sent("direct-tickets", 401, None), Some(&seen(Some("Bearer x…"), false)), false),
            (sent("delete-ticket", 403, denied), None, true),
            (sent("delete-ticket", 403, denied), Some(&none), false),
            (sent("delete-ticket", 403, None), None, false),
            (sent("delete-ticket", 403, Some("UPSTREAM_FAILED")), None, false),
        ] {
            let call = Call::judge(&sent, seen).unwrap();
            assert_eq!(call.held, held, "{call:?}");
            assert_eq!(call.target, "a.demo.test/x?y=1");
        }
        assert!(Call::judge(&sent("unknown", 200, None), None).is_none());
    }

    #[test]
    fn a_call_that_is_missing_fails_its_check() {
        let calls: Vec<Call> = EXPECTED
            .iter()
            .map(|expected| {
                let refusal = (expected.end == End::Denied).then_some("POLICY_DENIED");
                let seen = match expected.end {
                    End::Accepted => Some(seen(Some("Bearer abcd…"), true)),
                    End::TurnedAway => Some(seen(None, false)),
                    End::Denied => None,
                };
                Call::judge(&sent(expected.name, expected.status, refusal), seen.as_ref()).unwrap()
            })
            .collect();
        assert!(of_calls(&calls, true, 0).iter().all(|check| check.held));
        assert!(!of_calls(&calls, false, 0).iter().all(|check| check.held));
        assert!(!of_calls(&calls, true, 1).iter().all(|check| check.held));
        for missing in 0..calls.len() {
            let mut fewer = calls.clone();
            fewer.remove(missing);
            assert!(!of_calls(&fewer, true, 0).iter().all(|check| check.held), "{missing}");
        }
    }
}
