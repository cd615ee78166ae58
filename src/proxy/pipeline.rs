//! A request's life: all of its control flow, in one parent. Plain HTTP, decrypted TLS and what
//! comes later enter here: one path, never two.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::arrival::Arrival;
use super::body;
use super::classify::classify;
use super::head::Malformed;
use super::heal;
use super::live::{Download, Live, LiveParts};
use super::registry::{Registry, Stay};
use super::respond;
use super::stub::Stubbing;
use super::upload::Progress;
use super::upstream::{SendError, Sent, Upstream};
use crate::audit::{Audit, Entry};
use crate::config::{Config, Limits, Timeouts};
use crate::dial::Dialer;
use crate::identity::Gate;
use crate::lease::{Leases, Lent};
use crate::model::{Cause, Code, ConnectionName, Credential, OutcomeFacts, Query, Refusal, Stages, Target, TraceId};
use crate::policy::{Decision, Policy, Verdict};
use crate::strategy::{self, Ambient, Head};
use crate::telemetry::{Clock, Metrics};

/// A request that came to nothing for want of a right.
#[derive(Clone, Copy, Debug)]
pub enum Refused<'a> {
    /// The sidecar refused it, for this reason.
    Here(&'a Refusal),
    /// The destination answered 401 to the credentials of this connection.
    There(&'a ConnectionName),
}

/// Called with each of them, a word for its target, and its trace.
pub type OnRefusal = Box<dyn Fn(Refused<'_>, &str, TraceId) + Send + Sync>;

/// What a pipeline is made of.
pub(crate) struct PipelineParts {
    pub(crate) policy: Policy,
    pub(crate) gate: Arc<Gate>,
    pub(crate) leases: Leases,
    pub(crate) dialer: Dialer,
    pub(crate) audit: Audit,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) on_refusal: Option<OnRefusal>,
}

/// What every request needs, shared by all connections.
pub(crate) struct Pipeline {
    pub(crate) policy: ArcSwap<Policy>,
    pub(crate) gate: ArcSwap<Gate>,
    pub(crate) leases: Leases,
    pub(super) upstream: Arc<Upstream>,
    pub(super) audit: Audit,
    pub(super) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// What is under way with a connection that was revoked goes on for this long.
    pub(super) grace: Duration,
    pub(crate) on_refusal: Option<OnRefusal>,
    /// Hashes what the registry keeps of values; lives as long as the process.
    pub(super) question_key: [u8; 32],
}

/// A request under way: what its end needs, whichever way it ends.
struct Attempt {
    started: Instant,
    stages: Stages,
    progress: Arc<Progress>,
    /// For the summary of refusals.
    asked: String,
}

/// What an attempt leaves behind when the destination answered.
struct Answered {
    sent: Sent,
    lent: Lent,
    stay: Arc<Stay>,
    watch: strategy::Watch,
    credential: Option<Credential>,
}

/// How an attempt went well.
#[expect(clippy::large_enum_variant, reason = "taken apart at once: a box would cost every request an allocation")]
enum Ended {
    /// The destination answered.
    There(Answered),
    /// A stub did.
    Here(Stubbing),
}

impl Pipeline {
    /// Serves one request to its answer's head. The body goes on with `Live` in its hands.
    pub(super) async fn handle(
        &self,
        arrival: &Arrival,
        request: Request<Incoming>,
        malformed: Option<Malformed>,
    ) -> Response<Answer> {
        let trace = draw_trace();
        match self.serve(arrival, request.map(Some), malformed, trace).await {
            Ok(response) => response,
            Err(refusal) => answer::refuse(&refusal, trace),
        }
    }

    /// The same for whoever wants to know the refusal, which is recorded by then.
    pub(super) async fn serve(
        &self,
        arrival: &Arrival,
        request: Request<Option<Incoming>>,
        malformed: Option<Malformed>,
        trace: TraceId,
    ) -> Result<Response<Answer>, Refusal> {
        let mut entry = self.audit.entry(arrival.facts(trace))?;
        let mut attempt = Attempt::new();
        let result = match malformed {
            Some(why) => Err(refuse_malformed(why)),
            None => self.attempt(&mut entry, &mut attempt, arrival, request).await,
        };
        match result {
            Ok(Ended::There(answered)) => Ok(self.respond(entry, attempt, answered)),
            Ok(Ended::Here(stubbing)) => Ok(self.settle_stub(entry, attempt, stubbing)),
            Err(refusal) => {
                self.settle(entry, attempt, &refusal, trace);
                Err(refusal)
            }
        }
    }

    async fn attempt(
        &self,
        entry: &mut Entry,
        attempt: &mut Attempt,
        arrival: &Arrival,
        request: Request<Option<Incoming>>,
    ) -> Result<Ended, Refusal> {
        let (parts, incoming) = request.into_parts();
        attempt.asked = asked(&parts, arrival);
        match parts.uri.query() {
            Some(query) => entry.asked(&parts.method, &format!("{}?{query}", attempt.asked)),
            None => entry.asked(&parts.method, &attempt.asked),
        }
        let agent = arrival.agent()?;
        let target = classify(arrival, &parts)?;
        let policy = self.policy.load_full();
        let verdict = match policy.decide(agent, &target, &parts.headers)? {
            Decision::Send(verdict) => verdict,
            Decision::Stub(stubbed) => {
                entry.answered_by(&stubbed);
                self.still_knows(agent)?;
                attempt.stages.decide = attempt.started.elapsed();
                return self.stub(&stubbed, &target, &parts, incoming).await.map(Ended::Here);
            }
        };
        entry.allowed_by(&verdict);
        let question = policy.question(agent, &target, &parts.headers, &self.question_key);
        let stay = Arc::new(self.registry.request(question, verdict.clone(), &arrival.line));
        self.still_knows(agent)?;
        attempt.stages.decide = attempt.started.elapsed();
        let result = tokio::select! {
            biased;
            result = self.send(entry, attempt, &stay, verdict, &target, &parts, incoming) => result,
            why = stay.closer().closed() => Err(why),
        };
        result.map(|(sent, lent, watch, credential)| Ended::There(Answered { sent, lent, stay, watch, credential }))
    }

    /// Lease, body, strategy, intent, destination: once; once more for a request without a body that
    /// died unanswered on a connection that had served before, and once more with others where the
    /// destination refused our credentials.
    #[expect(
        clippy::too_many_arguments,
        reason = "the stages' values, each of its own type, in the order of their making"
    )]
    async fn send(
        &self,
        entry: &mut Entry,
        attempt: &mut Attempt,
        stay: &Arc<Stay>,
        verdict: Verdict,
        target: &Target,
        parts: &Parts,
        incoming: Option<Incoming>,
    ) -> Result<(Sent, Lent, strategy::Watch, Option<Credential>), Refusal> {
        let mut verdict = verdict;
        let mut lent = timed(&mut attempt.stages.lease, self.leases.lend(&verdict)).await?;
        // Noted before the body comes, which may take long: a revocation meanwhile ends the request.
        stay.uses(&lent);
        let need = strategy::body_need(&lent, &head(&parts.headers, target.query.as_ref(), None))?;
        let keep = lent.may_be_replaced(&parts.method);
        let mut body =
            timed(&mut attempt.stages.body, body::prepare(incoming, parts, need, &self.limits, &self.timeouts, keep))
                .await?;
        attempt.progress = Arc::clone(body.progress());
        let (mut fresh, mut replayed) = (false, false);
        loop {
            let decided = Arc::clone(verdict.terms().policy());
            verdict = self.still(verdict, target, &parts.headers)?;
            // What was lent holds the grant that it was lent for: a newer one may allow less.
            // What was heard between the loan and its note in the registry closed nobody.
            if !lent.is_live() || !self.leases.holds(&lent) || decided != *verdict.terms().policy() {
                lent = timed(&mut attempt.stages.lease, self.leases.lend(&verdict)).await?;
                stay.uses(&lent);
            }
            let applying = Instant::now();
            let head = head(&parts.headers, target.query.as_ref(), body.length());
            let outbound = strategy::apply(&head, body.signable(), &lent, Ambient { now: self.clock.wall() })?;
            attempt.stages.apply += applying.elapsed();
            timed(&mut attempt.stages.record, entry.intent(outbound.facts())).await?;
            let watch = outbound.watch();
            let upload = body.take(stay)?;
            match timed(
                &mut attempt.stages.upstream,
                self.upstream.send(outbound, &lent, upload, body.progress(), fresh),
            )
            .await
            {
                Ok(mut sent) => {
                    let now = self.clock.boot();
                    match heal::heal(&self.leases, &lent, &mut sent, &parts.method, &body, replayed, now).await {
                        heal::Next::Done(credential) => return Ok((sent, lent, watch, credential)),
                        heal::Next::Again(lease) => {
                            heal::pass_over(sent).await;
                            (lent, replayed) = (Lent::Lease(lease), true);
                            stay.uses(&lent);
                        }
                    }
                }
                Err(SendError::DiedUnanswered(_)) if !fresh && body.is_repeatable(&parts.method) => fresh = true,
                Err(SendError::DiedUnanswered(refusal) | SendError::Refused(refusal)) => return Err(refusal),
            }
        }
    }

    /// A yes of an older policy is asked again, and must come out the same.
    fn still(&self, verdict: Verdict, target: &Target, headers: &HeaderMap) -> Result<Verdict, Refusal> {
        let policy = self.policy.load();
        if policy.version() == verdict.terms().policy() {
            return Ok(verdict);
        }
        let again = policy.decide(verdict.terms().agent(), target, headers)?.verdict();
        let same = |again: &Verdict| {
            let same = match (&verdict, again) {
                (Verdict::Inject(before), Verdict::Inject(now)) => before.connection() == now.connection(),
                (Verdict::Forward(_), Verdict::Forward(_)) => true,
                _ => false,
            };
            same && verdict.terms().destination() == again.terms().destination()
        };
        again.filter(same).ok_or_else(|| {
            let message = "the policy changed while the request waited: send it again";
            Refusal::new(Code::PolicyDenied, message).with_cause(Cause::PolicyChanged)
        })
    }

    /// Nothing left, so that the answer's head is the end.
    fn settle_stub(&self, entry: Entry, mut attempt: Attempt, stubbing: Stubbing) -> Response<Answer> {
        let Stubbing { stub, response, down } = stubbing;
        attempt.stages.total = attempt.started.elapsed();
        self.metrics.stubbed(stub, response.status().as_u16(), attempt.stages.total.as_secs_f64());
        entry.outcome(OutcomeFacts {
            status: Some(response.status().as_u16()),
            bytes_down: down,
            stages: attempt.stages,
            ..OutcomeFacts::default()
        });
        response
    }

    fn respond(&self, entry: Entry, attempt: Attempt, answered: Answered) -> Response<Answer> {
        let Answered { sent, lent, stay, watch, credential } = answered;
        let (mut parts, body) = sent.response.into_parts();
        respond::strip(&mut parts.headers, matches!(lent, Lent::Lease(_)), &watch);
        if let Some(credential) = credential {
            self.metrics.credential(credential);
        }
        if let Some(mark) = heal::mark(credential) {
            parts.headers.insert(heal::X_NEXUS_CREDENTIAL, mark);
        }
        if let (StatusCode::UNAUTHORIZED, Lent::Lease(lease), Some(tell)) = (parts.status, &lent, &self.on_refusal) {
            tell(Refused::There(lease.grant().connection()), &attempt.asked, entry.trace());
        }
        let live = Live::new(LiveParts {
            entry,
            stay,
            lent,
            checkout: sent.checkout,
            progress: attempt.progress,
            metrics: Arc::clone(&self.metrics),
            status: parts.status.as_u16(),
            credential,
            stages: attempt.stages,
            started: attempt.started,
        });
        let mut response = Response::new(Answer::download(Download::new(body, live, watch, self.timeouts.body)));
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        response
    }

    /// Opens an entry for what never became a request, and settles it.
    pub(super) fn record_refusal(
        &self,
        arrival: &Arrival,
        method: &Method,
        asked: &str,
        refusal: &Refusal,
    ) -> Response<Answer> {
        let trace = draw_trace();
        match self.audit.entry(arrival.facts(trace)) {
            Err(unrecorded) => answer::refuse(&unrecorded, trace),
            Ok(mut entry) => {
                entry.asked(method, asked);
                self.settle_refusal(entry, trace, asked, refusal)
            }
        }
    }

    /// Settles an entry with a refusal and makes its answer.
    pub(super) fn settle_refusal(
        &self,
        entry: Entry,
        trace: TraceId,
        asked: &str,
        refusal: &Refusal,
    ) -> Response<Answer> {
        let attempt = Attempt { asked: asked.to_owned(), ..Attempt::new() };
        self.settle(entry, attempt, refusal, trace);
        answer::refuse(refusal, trace)
    }

    fn settle(&self, mut entry: Entry, mut attempt: Attempt, refusal: &Refusal, trace: TraceId) {
        if refusal.code() == Code::PolicyDenied {
            entry.refused_by(self.policy.load().version(), refusal.rule());
        }
        self.metrics.refused(refusal.code());
        if let Some(tell) = &self.on_refusal {
            tell(Refused::Here(refusal), &attempt.asked, trace);
        }
        if refusal.code() == Code::Internal {
            tracing::error!(%trace, reason = refusal.log(), "a request failed here");
        }
        attempt.stages.total = attempt.started.elapsed();
        entry.outcome(outcome(refusal, &attempt));
    }
}

impl Attempt {
    fn new() -> Self {
        Self { started: Instant::now(), stages: Stages::default(), progress: Arc::default(), asked: String::new() }
    }
}

fn outcome(refusal: &Refusal, attempt: &Attempt) -> OutcomeFacts {
    OutcomeFacts {
        status: Some(refusal.code().status().as_u16()),
        code: Some(refusal.code()),
        cause: refusal.cause(),
        reason: Some(refusal.log().to_owned()),
        credential: None,
        bytes_up: attempt.progress.bytes(),
        bytes_down: 0,
        stages: attempt.stages,
    }
}

fn head<'a>(headers: &'a HeaderMap, query: Option<&'a Query>, content_length: Option<u64>) -> Head<'a> {
    Head { headers, query, content_length }
}

/// Adds a stage's time to where it belongs.
async fn timed<T>(stage: &mut Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let result = work.await;
    *stage += started.elapsed();
    result
}

/// The target as the agent wrote it, without a query: values may be secrets.
fn asked(parts: &Parts, arrival: &Arrival) -> String {
    let path = parts.uri.path();
    match (&arrival.tunnel, parts.uri.scheme_str(), parts.uri.authority()) {
        (Some(around), _, _) => format!("{around}{path}"),
        (None, Some(scheme), Some(authority)) => {
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        _ => path.to_owned(),
    }
}

fn refuse_malformed(why: Malformed) -> Refusal {
    let code = if why == Malformed::Slow { Code::RequestTimeout } else { Code::InvalidRequest };
    Refusal::new(code, why.message())
}

/// A fresh id; the system's generator failing would be a broken machine, and an id of zeros
/// then still leaves the chain whole.
pub(super) fn draw_trace() -> TraceId {
    let mut bytes = [0; 16];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    TraceId::from_random(bytes)
}
