//! One request's record: facts, an intent per attempt, one outcome.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::Audit;
use super::line::{Line, REASON};
use super::log::Unwritten;
use super::mask;
use crate::config::AuditMode;
use crate::model::{Cause, Code, Credential, Facts, IntentFacts, OutcomeFacts, Refusal, TraceId};
use crate::policy::{Stubbed, Verdict};

/// One request's record. Dropped without an outcome, it says `aborted`.
///
/// An intent's line says who asks, what is about to leave and why that is allowed. An outcome's
/// line says how it ended, and what the intents have not said: of a request of which nothing
/// left, who asked, and for what.
pub struct Entry {
    audit: Audit,
    facts: Facts,
    asked: Option<(Method, String)>,
    decided: Option<Decided>,
    attempts: u64,
    buffer: Vec<u8>,
    done: bool,
}

/// What the policy said.
#[derive(Default)]
struct Decided {
    policy: Arc<str>,
    rule: Option<Arc<str>>,
    connection: Option<Arc<str>>,
    /// What answered here.
    stub: Option<&'static str>,
    /// It is said although an intent said something: the policy refused after all.
    again: bool,
}

/// The word for how a request ended.
#[derive(Clone, Copy)]
enum End {
    /// It was answered to its last byte.
    Done,
    /// The agent, the policy or a connection's state is the reason that it was not.
    Denied,
    /// The destination, the Authority or the sidecar is.
    Failed,
    /// Nobody waited for the end.
    Aborted,
}

impl Entry {
    pub(super) fn new(audit: Audit, facts: Facts) -> Self {
        let buffer = Vec::with_capacity(640);
        Self { audit, facts, asked: None, decided: None, attempts: 0, buffer, done: false }
    }

    /// The id that the answer carries.
    pub fn trace(&self) -> TraceId {
        self.facts.trace
    }

    /// Notes what the request asked for, for an entry that may be refused before any intent.
    /// `target` is as it came; the values of its query are masked here.
    pub fn asked(&mut self, method: &Method, target: &str) {
        self.asked = Some((method.clone(), mask::target(target)));
    }

    /// Notes what the policy allowed, for an entry that may be refused before any intent.
    pub fn allowed_by(&mut self, verdict: &Verdict) {
        let terms = verdict.terms();
        let connection = match verdict {
            Verdict::Inject(grant) => Some(grant.connection().shared()),
            Verdict::Forward(_) => None,
        };
        let (policy, rule) = (Arc::clone(terms.policy()), Some(Arc::clone(terms.rule())));
        self.decided = Some(Decided { policy, rule, connection, stub: None, again: false });
    }

    /// Notes what answers here: there is no intent, since nothing leaves.
    pub fn answered_by(&mut self, stubbed: &Stubbed) {
        let (terms, stub) = (stubbed.terms(), Some(stubbed.stub().word()));
        let (policy, rule) = (Arc::clone(terms.policy()), Some(Arc::clone(terms.rule())));
        self.decided = Some(Decided { policy, rule, connection: None, stub, again: false });
    }

    /// Notes which version of the policy refused, and by which rule if it was one.
    pub fn refused_by(&mut self, policy: &Arc<str>, rule: Option<&str>) {
        let connection = self.decided.take().and_then(|decided| decided.connection);
        self.decided = Some(Decided {
            policy: Arc::clone(policy),
            rule: rule.map(Into::into),
            connection,
            stub: None,
            again: true,
        });
    }

    /// Writes, as `audit.mode` says, that an attempt is about to leave.
    pub async fn intent(&mut self, facts: IntentFacts) -> Result<(), Refusal> {
        self.attempts += 1;
        self.write_intent(&facts);
        let log = &self.audit.0.log;
        match log.mode {
            AuditMode::Required => log.write(&self.buffer).map_err(refusal),
            AuditMode::Durable => {
                let synced = log.write_durably(&self.buffer).map_err(refusal)?;
                // A sender that is gone is a log that was closed.
                if synced.await.unwrap_or(false) { Ok(()) } else { Err(refusal(Unwritten)) }
            }
            AuditMode::BestEffort => {
                // Counted and logged there; in this mode the request goes on.
                let _ = log.write(&self.buffer);
                Ok(())
            }
        }
    }

    /// Writes how it ended.
    pub fn outcome(mut self, facts: OutcomeFacts) {
        let end = match (facts.code, facts.status) {
            (Some(code), _) => side(code),
            (None, Some(_)) => End::Done,
            (None, None) => End::Aborted,
        };
        self.finish(end, &facts);
    }

    /// Writes that nobody waited for the end, and what is known of it.
    pub fn aborted(mut self, facts: OutcomeFacts) {
        self.finish(End::Aborted, &facts);
    }

    fn write_intent(&mut self, facts: &IntentFacts) {
        let mut line = Line::begin(&mut self.buffer, self.audit.0.log.clock.wall(), "intent");
        line.shown("trace", &self.facts.trace).number("attempt", self.attempts);
        who(&mut line, &self.facts);
        line.text("rule", &facts.rule).text("policy", &facts.policy);
        if let Some((connection, version)) = &facts.connection {
            line.text("conn", connection).number("conn_version", *version);
        }
        line.maybe("strategy", facts.strategy).shown("dest", &facts.destination);
        line.text("method", facts.method.as_str()).hashed("path", facts.path.as_str());
        if let Some(query) = &facts.query {
            line.hashed("query", query);
        }
    }

    fn finish(&mut self, end: End, facts: &OutcomeFacts) {
        self.done = true;
        let log = &self.audit.0.log;
        let mut line = Line::begin(&mut self.buffer, log.clock.wall(), "outcome");
        line.shown("trace", &self.facts.trace).number("attempts", self.attempts);
        if self.attempts == 0 {
            who(&mut line, &self.facts);
            if let Some((method, target)) = &self.asked {
                line.text("method", method.as_str()).hashed("target", target);
            }
        }
        if let Some(decided) = self.decided.as_ref().filter(|decided| self.attempts == 0 || decided.again) {
            line.maybe("rule", decided.rule.as_deref()).text("policy", &decided.policy);
            if self.attempts == 0 {
                line.maybe("conn", decided.connection.as_deref()).maybe("stub", decided.stub);
            }
        }
        line.text("end", end.word());
        if let Some(status) = facts.status {
            line.number("status", status.into());
        }
        line.maybe("code", facts.code.map(Code::as_str)).maybe("cause", facts.cause.map(Cause::as_str));
        if let Some(Cause::Address(address)) = &facts.cause {
            line.shown("address", address);
        }
        line.maybe("credential", facts.credential.map(Credential::word));
        if let Some(reason) = &facts.reason {
            line.cut("reason", reason, REASON);
        }
        line.number("up", facts.bytes_up).number("down", facts.bytes_down);
        line.micros("us", &stages(facts));
        if log.defer(&self.buffer).is_err() {
            tracing::debug!(trace = %self.facts.trace, "an outcome was not recorded");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.done {
            self.finish(End::Aborted, &OutcomeFacts::default());
        }
    }
}

impl End {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// Whose doing a refusal is: a new code has to say.
const fn side(code: Code) -> End {
    match code {
        Code::InvalidRequest
        | Code::ProxyAuthenticationRequired
        | Code::PolicyDenied
        | Code::ConnectionNotFound
        | Code::ConnectionNotReady
        | Code::ConnectionRevoked
        | Code::ConnectionExpired
        | Code::AttentionRequired
        | Code::BodyTooLarge
        | Code::MisdirectedRequest
        | Code::NotSupported => End::Denied,
        Code::CredentialUnusable
        | Code::Internal
        | Code::UpstreamFailed
        | Code::AuthorityUnavailable
        | Code::UpstreamTimeout
        | Code::RequestTimeout
        | Code::Unavailable => End::Failed,
    }
}

pub(super) fn refusal(_: Unwritten) -> Refusal {
    Refusal::new(Code::Unavailable, "the audit cannot be written")
}

fn who(line: &mut Line<'_>, facts: &Facts) {
    line.text("ws", "local").maybe("agent", facts.agent.as_deref()).text("proof", facts.proof);
    if let Some(peer) = &facts.peer {
        line.shown("peer", peer);
    }
    line.text("via", facts.via);
}

fn stages(facts: &OutcomeFacts) -> [(&'static str, Duration); 7] {
    let stages = &facts.stages;
    [
        ("decide", stages.decide),
        ("body", stages.body),
        ("lease", stages.lease),
        ("apply", stages.apply),
        ("record", stages.record),
        ("upstream", stages.upstream),
        ("total", stages.total),
    ]
}
