//! A tunnel: bytes untouched, after a ClientHello whose SNI is the host.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, Response};
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::rustls::server::Acceptor;

use super::answer::Answer;
use super::arrival::Arrival;
use super::front::Front;
use super::intercept::{AgentStream, UNRECOGNIZED_NAME, agree, take_stream};
use super::lifeline::Lifeline;
use super::pipeline::draw_trace;
use super::registry::Stay;
use crate::audit::Entry;
use crate::config::Protocol;
use crate::dial::Word;
use crate::model::{Code, Host, HostPort, IntentFacts, OutcomeFacts, Refusal, Stages};
use crate::policy::Permit;

/// The longest ClientHello that is waited for.
const MAX_CLIENT_HELLO: usize = 16 * 1024;

/// A tunnel that policy allowed and whose destination answered.
pub(super) struct Tunnel {
    front: Arc<Front>,
    entry: Entry,
    stay: Stay,
    /// The connection that it came on, and its place among them.
    _line: Arc<Lifeline>,
    upstream: TcpStream,
    host: Host,
    protocol: Protocol,
    started: Instant,
    stages: Stages,
}

impl Tunnel {
    /// Records the intent and connects; a refusal comes back as its answer, recorded.
    pub(super) async fn open(
        front: &Arc<Front>,
        arrival: &Arrival,
        target: &HostPort,
        permit: Permit,
        protocol: Protocol,
    ) -> Result<Self, Response<Answer>> {
        let pipeline = &front.pipeline;
        let trace = draw_trace();
        let mut entry =
            pipeline.audit.entry(arrival.facts(trace)).map_err(|refusal| super::answer::refuse(&refusal, trace))?;
        let destination = permit.terms().destination().clone();
        entry.asked(&Method::CONNECT, &format!("{}:{}", destination.host(), destination.port()));
        let question = pipeline.policy.load().tunnel_question(permit.terms().agent(), target);
        let stay = pipeline.registry.tunnel(question, permit.clone());
        let started = Instant::now();
        let mut stages = Stages::default();
        let connected = async {
            pipeline.is_current(&permit)?;
            entry.intent(intent(&permit)).await?;
            stages.record = started.elapsed();
            let word = Word::Rule(permit.terms().networks());
            Ok(pipeline.upstream.dialer().tcp(&destination, word).await?)
        };
        let connected = tokio::select! {
            biased;
            connected = connected => connected,
            why = stay.closer().closed() => Err(why),
        };
        match connected {
            Ok(upstream) => {
                stages.upstream = started.elapsed();
                let host = destination.host().clone();
                let (front, line) = (Arc::clone(front), Arc::clone(&arrival.line));
                Ok(Self { front, entry, stay, _line: line, upstream, host, protocol, started, stages })
            }
            Err(refusal) => Err(pipeline.settle_refusal(entry, trace, &destination.to_string(), &refusal)),
        }
    }

    /// Passes bytes until one side ends, the rule is taken back, or nothing moves.
    pub(super) async fn serve(mut self, upgrade: OnUpgrade) {
        let Some(mut agent) = upgrade.await.ok().and_then(take_stream) else { return };
        let (up, down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let checked = tokio::select! {
            checked = self.check_hello(&mut agent) => checked,
            why = self.stay.closer().closed() => Err(why),
        };
        let why = match checked {
            Err(refusal) => {
                if refusal.code() == Code::MisdirectedRequest {
                    let _ = agent.write_all(&UNRECOGNIZED_NAME).await;
                }
                Some(refusal)
            }
            Ok(()) => self.splice(agent, &up, &down).await,
        };
        let metrics = &self.front.pipeline.metrics;
        match &why {
            Some(why) => metrics.refused(why.code()),
            None => metrics.answered(200, self.started.elapsed().as_secs_f64()),
        }
        self.stages.total = self.started.elapsed();
        self.entry.outcome(OutcomeFacts {
            status: Some(200),
            code: why.as_ref().map(Refusal::code),
            cause: why.as_ref().and_then(Refusal::cause),
            reason: why.as_ref().map(|why| why.log().to_owned()),
            credential: None,
            bytes_up: up.load(Ordering::Relaxed),
            bytes_down: down.load(Ordering::Relaxed),
            stages: self.stages,
        });
    }

    async fn check_hello(&self, agent: &mut AgentStream) -> Result<(), Refusal> {
        if self.protocol == Protocol::Any {
            return Ok(());
        }
        let patience = self.front.pipeline.timeouts.handshake;
        match tokio::time::timeout(patience, read_hello(agent)).await {
            Err(_) => Err(Refusal::new(
                Code::RequestTimeout,
                "no whole ClientHello came in time: a tunnel that is not TLS needs protocol: any",
            )),
            Ok(Err(refusal)) => Err(refusal),
            // An address has no SNI (RFC 6066, section 3).
            Ok(Ok(None)) if self.host.ip().is_some() => Ok(()),
            Ok(Ok(None)) => {
                Err(Refusal::new(Code::MisdirectedRequest, "the ClientHello of the tunnel names no server"))
            }
            Ok(Ok(Some(name))) => agree(&self.host, Some(&name)),
        }
    }

    async fn splice(&mut self, agent: AgentStream, up: &Arc<AtomicU64>, down: &Arc<AtomicU64>) -> Option<Refusal> {
        let idle = self.front.pipeline.timeouts.tunnel;
        let mut agent = Counted { stream: agent, read: Arc::clone(up) };
        let mut upstream = Counted { stream: &mut self.upstream, read: Arc::clone(down) };
        let mut copy = std::pin::pin!(tokio::io::copy_bidirectional(&mut agent, &mut upstream));
        loop {
            let moved = up.load(Ordering::Relaxed) + down.load(Ordering::Relaxed);
            tokio::select! {
                result = &mut copy => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a tunnel broke off");
                    }
                    return None;
                }
                why = self.stay.closer().closed() => return Some(why),
                () = tokio::time::sleep(idle.max(Duration::from_millis(1))) => {
                    if up.load(Ordering::Relaxed) + down.load(Ordering::Relaxed) == moved {
                        return Some(Refusal::new(Code::RequestTimeout, "the tunnel was idle for timeouts.tunnel"));
                    }
                }
            }
        }
    }
}

/// Reads a whole ClientHello without taking it, and answers its server name.
async fn read_hello(agent: &mut AgentStream) -> Result<Option<String>, Refusal> {
    let broken = |why: String| {
        Refusal::new(Code::InvalidRequest, "what follows the CONNECT is no TLS ClientHello").with_log(why)
    };
    let mut wanted = 1;
    loop {
        let bytes = agent.peek(wanted).await.map_err(|error| broken(error.to_string()))?;
        if bytes.len() < wanted {
            return Err(broken("the connection ended".to_owned()));
        }
        let mut acceptor = Acceptor::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest).map_err(|error| broken(error.to_string()))?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted.client_hello().server_name().map(str::to_owned)),
            Ok(None) if bytes.len() >= MAX_CLIENT_HELLO => return Err(broken("it is longer than 16 KiB".to_owned())),
            Ok(None) => wanted = bytes.len() + 1,
            Err((error, _)) => return Err(broken(error.to_string())),
        }
    }
}

fn intent(permit: &Permit) -> IntentFacts {
    let terms = permit.terms();
    IntentFacts {
        rule: Arc::clone(terms.rule()),
        policy: Arc::clone(terms.policy()),
        connection: None,
        strategy: None,
        destination: terms.destination().clone(),
        method: terms.method().clone(),
        path: terms.path().clone(),
        query: None,
    }
}

/// Counts what is read from a stream.
struct Counted<S> {
    stream: S,
    read: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        self.read.fetch_add(u64::try_from(out.filled().len() - before).unwrap_or_default(), Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
