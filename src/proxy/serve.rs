//! Speaks HTTP with the agent: h1 behind the strict head reader, h2 after ALPN.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use http::header::PROXY_AUTHORIZATION;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::answer::{self, Answer, Turn};
use super::arrival::Arrival;
use super::connect;
use super::findings::Findings;
use super::front::Front;
use super::head::Malformed;
use super::lifeline::{GRACE, Lifeline};
use super::pipeline::draw_trace;
use super::registry::Stay;
use super::strict::StrictStream;
use crate::identity::{Agent, Peer, Unproved};
use crate::model::{Code, Refusal};

/// Serves a connection to the proxy's own port: absolute-form requests and CONNECT.
pub(super) async fn explicit(front: Arc<Front>, stream: TcpStream, peer: Peer, line: Arc<Lifeline>) {
    let findings = Arc::new(Findings::default());
    let io = TokioIo::new(StrictStream::new(stream, front.stream_limits(), Arc::clone(&findings)));
    // What the socket alone proves is asked once for a connection.
    let by_socket: Arc<OnceLock<Result<Agent, Unproved>>> = Arc::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (front, findings, by_socket) = (Arc::clone(&front), Arc::clone(&findings), Arc::clone(&by_socket));
        let line = &line;
        async move {
            let malformed = findings.next_request();
            let turn = Turn::of(&findings);
            let agent =
                if malformed.is_some() { Err(Unproved::Missing) } else { prove(&front, &request, peer, &by_socket) };
            let arrival = Arrival { agent, peer: Some(peer.remote), tunnel: None, via: "http", line: Arc::clone(line) };
            let connects = malformed.is_none() && request.method() == Method::CONNECT;
            let mut response = if connects {
                guard(connect::connect(&front, arrival, request)).await
            } else {
                guard(front.pipeline.handle(&arrival, request, malformed)).await
            };
            finish(&mut response, &findings, malformed, turn);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(io, service).with_upgrades();
    drive(connection, &front, &line, None, None).await;
}

/// Serves HTTP/1.1 inside a CONNECT. Answers how many requests came.
pub(super) async fn inside_h1<S>(front: &Arc<Front>, io: S, arrival: Arrival, stay: &Stay) -> u64
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let findings = Arc::new(Findings::default());
    let io = TokioIo::new(StrictStream::new(io, front.stream_limits(), Arc::clone(&findings)));
    let line = Arc::clone(&arrival.line);
    let arrival = Arc::new(arrival);
    let service = service_fn(|request: Request<Incoming>| {
        let (front, findings, arrival) = (Arc::clone(front), Arc::clone(&findings), Arc::clone(&arrival));
        async move {
            let malformed = findings.next_request();
            let turn = Turn::of(&findings);
            let mut response = guard(front.pipeline.handle(&arrival, request, malformed)).await;
            finish(&mut response, &findings, malformed, turn);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(io, service);
    drive(connection, front, &line, Some(stay), None).await;
    findings.served()
}

/// Serves h2 inside a CONNECT. Answers how many requests came.
pub(super) async fn inside_h2<S>(front: &Arc<Front>, io: S, arrival: Arrival, stay: &Stay) -> u64
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let findings = Arc::new(Findings::default());
    let limits = front.stream_limits();
    let io = TokioIo::new(StrictStream::raw(io, limits));
    let line = Arc::clone(&arrival.line);
    let arrival = Arc::new(arrival);
    let service = service_fn(|request: Request<Incoming>| {
        let (front, findings, arrival) = (Arc::clone(front), Arc::clone(&findings), Arc::clone(&arrival));
        async move {
            findings.next_request();
            let turn = Turn::of(&findings);
            let mut response = guard(front.pipeline.handle(&arrival, request, None)).await;
            response.body_mut().hold(turn);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(front.pipeline.limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(limits.header)
        .serve_connection(io, service);
    drive(connection, front, &line, Some(stay), Some((&findings, limits.keep_alive))).await;
    findings.served()
}

fn prove(
    front: &Front,
    request: &Request<Incoming>,
    peer: Peer,
    by_socket: &OnceLock<Result<Agent, Unproved>>,
) -> Result<Agent, Unproved> {
    let gate = front.pipeline.gate.load();
    match request.headers().get(PROXY_AUTHORIZATION) {
        Some(authorization) => gate.prove(Some(authorization), peer),
        None => match by_socket.get() {
            Some(Ok(agent)) if gate.still(agent) => Ok(agent.clone()),
            _ => {
                let proved = gate.prove(None, peer);
                // Only a yes is kept: a descendant may not have been started a moment ago.
                if proved.is_ok() {
                    let _ = by_socket.set(proved.clone());
                }
                proved
            }
        },
    }
}

fn finish(response: &mut Response<Answer>, findings: &Findings, malformed: Option<Malformed>, turn: Turn) {
    if malformed.is_some() || findings.broken_body().is_some() {
        answer::close_after(response);
    }
    response.body_mut().hold(turn);
}

/// A panicking request is a 500 and, as its entry is dropped, a record.
async fn guard(handling: impl Future<Output = Response<Answer>>) -> Response<Answer> {
    let mut handling = std::pin::pin!(handling);
    let result =
        std::future::poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
            Err(_) => Poll::Ready(None),
        });
    match result.await {
        Some(response) => response,
        None => {
            let trace = draw_trace();
            tracing::error!(%trace, "a request made this program panic");
            answer::refuse(
                &Refusal::new(Code::Internal, "something went wrong here; the log has it under the trace id"),
                trace,
            )
        }
    }
}

/// A connection of hyper's server that can be told to end.
trait Connection: Future<Output = Result<(), hyper::Error>> {
    fn end(self: Pin<&mut Self>);
}

impl<I, B, S> Connection for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S> Connection for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S, E> Connection for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Serves until the connection ends, the shutdown asks it to, its agent is sent away, or a request
/// on it that was told to end does not.
async fn drive(
    connection: impl Connection,
    front: &Front,
    line: &Lifeline,
    stay: Option<&Stay>,
    idle: Option<(&Findings, Duration)>,
) {
    let mut connection = std::pin::pin!(connection);
    let mut overdue = std::pin::pin!(line.overdue());
    let mut shutdown = front.shutdown.clone();
    let (mut asked, mut sent_away) = (false, false);
    let mut served = 0;
    let patience = front.pipeline.timeouts.body;
    let mut idle_check = every(idle.map_or(Duration::from_secs(3600), |(_, time)| time));
    let mut stall_check = every(patience);
    loop {
        let closed = async {
            match stay {
                Some(stay) => stay.closer().closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "an agent's connection ended");
                }
                return;
            }
            _ = shutdown.wait_for(|down| *down), if !asked => {
                asked = true;
                connection.as_mut().end();
            }
            _ = closed, if !sent_away => {
                // The requests on it were told as well: each ends with its answer and its reason.
                sent_away = true;
                connection.as_mut().end();
            }
            () = tokio::time::sleep(GRACE), if sent_away => return,
            () = overdue.as_mut() => return,
            // A body that is asked for ends by its own time; one that is not, is its agent's doing.
            _ = stall_check.tick(), if idle.is_some() => {
                if idle.is_some_and(|(findings, _)| findings.is_stalled(patience * 2)) {
                    return;
                }
            }
            _ = idle_check.tick(), if idle.is_some() && !asked => {
                if let Some((findings, _)) = idle {
                    if findings.served() == served && !findings.busy() {
                        asked = true;
                        connection.as_mut().end();
                    }
                    served = findings.served();
                }
            }
        }
    }
}

/// Ticks after each of these times, first after one of them.
fn every(time: Duration) -> tokio::time::Interval {
    let time = time.max(Duration::from_millis(1));
    tokio::time::interval_at(tokio::time::Instant::now() + time, time)
}
