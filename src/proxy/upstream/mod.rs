//! Sends what may leave, over connections of our own pool.
//!
//! hyper-util's client pools by scheme and authority alone and repeats requests by itself; this
//! one does neither. A request that hyper hands back unsent goes out on another connection;
//! whether one that died is sent again is the pipeline's to decide, with a new intent.

mod line;
mod pool;
mod wire;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{TRANSFER_ENCODING, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

pub(super) use pool::PoolLimits;

use self::line::{Line, LineError, Sender};
use self::pool::{Key, Pool};
use self::wire::Wire;
use super::peeked::Peeked;
use super::upload::{Progress, Upload, UploadFailure};
use crate::dial::{Dialer, Word};
use crate::lease::Lent;
use crate::model::{Code, Destination, Refusal, Scheme, Workspace};
use crate::strategy::Outbound;
use crate::telemetry::Metrics;

/// What a destination may send ahead on one stream of an h2 connection, in bytes: 10 MB/s over
/// 100 ms, and the most that an agent that does not read makes us keep.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Where requests leave.
pub(super) struct Upstream {
    dialer: Arc<Dialer>,
    pool: Pool,
    workspace: Workspace,
    waits: Waits,
    metrics: Arc<Metrics>,
}

/// How long a destination may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// From the last piece of a request to the head of its answer.
    pub(super) response: Duration,
    /// To take a piece of a request.
    pub(super) stall: Duration,
}

/// A request that left and was answered.
pub(super) struct Sent {
    pub(super) response: Response<Peeked>,
    pub(super) checkout: Checkout,
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) enum SendError {
    /// It is over.
    Refused(Refusal),
    /// A reused connection died before the first byte of an answer.
    DiedUnanswered(Refusal),
}

impl Upstream {
    pub(super) fn new(dialer: Arc<Dialer>, limits: PoolLimits, waits: Waits, metrics: Arc<Metrics>) -> Self {
        Self { dialer, pool: Pool::new(limits), workspace: Workspace::local(), waits, metrics }
    }

    /// Drops idle connections that died or waited too long.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    /// Who opens its sockets.
    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Sends a request. With `fresh`, no connection is used that has served before. The lease is
    /// looked at once more when the connection is there: reaching a destination takes time.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut outbound: Outbound,
        lent: &Lent,
        upload: Upload,
        progress: &Arc<Progress>,
        fresh: bool,
    ) -> Result<Sent, SendError> {
        let key = Key::of(&outbound, &self.workspace);
        let mut request = build(&mut outbound, upload).map_err(SendError::Refused)?;
        self.note_informational(&mut request, progress);
        let destination = outbound.terms().destination();
        loop {
            let pooled = if fresh { None } else { self.pool.take(&key) };
            let mut line = match pooled {
                Some(line) => line,
                // Boxed: seldom taken, and large, which every request would carry around.
                None => Box::pin(self.connect(&key, destination, Word::Rule(outbound.terms().networks())))
                    .await
                    .map_err(SendError::Refused)?,
            };
            self.metrics.upstream_connection(line.is_reused());
            if !lent.is_live() {
                let message = "the lease ended while the destination was being reached: send the request again";
                return Err(SendError::Refused(Refusal::new(Code::Unavailable, message)));
            }
            match self.wait(line.exchange(request, destination), progress).await {
                Err(refusal) => return Err(SendError::Refused(refusal)),
                Ok(Ok(response)) => return self.sent(key, line, response, progress),
                // A fresh connection that takes nothing is no connection.
                Ok(Err(LineError::Unsent(_))) if !line.is_reused() => {
                    let message = format!("{destination} closed a new connection before the request was sent");
                    return Err(SendError::Refused(Refusal::new(Code::UpstreamFailed, message)));
                }
                Ok(Err(LineError::Unsent(back))) => request = *back,
                Ok(Err(LineError::Died { error, unanswered })) => {
                    let refusal = failed(destination, progress, &error);
                    return Err(match line.is_reused() && unanswered {
                        true => SendError::DiedUnanswered(refusal),
                        false => SendError::Refused(refusal),
                    });
                }
            }
        }
    }

    fn note_informational(&self, request: &mut Request<Upload>, progress: &Arc<Progress>) {
        let (progress, metrics) = (Arc::clone(progress), Arc::clone(&self.metrics));
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                progress.go_on();
            } else {
                metrics.informational_dropped();
            }
        });
    }

    async fn connect(&self, key: &Key, destination: &Destination, word: Word<'_>) -> Result<Line, Refusal> {
        let wire = match destination.scheme() {
            Scheme::Http => Wire::plain(self.dialer.tcp(destination, word).await?, self.waits.stall),
            Scheme::Https => Wire::tls(self.dialer.tls(destination, word, key.offer()).await?, self.waits.stall),
        };
        let received = wire.received();
        if wire.speaks_h2() {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                // Fixed, since an adaptive window sends a PING with nearly every answer.
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(64 * 1024)
                .keep_alive_interval(Some(Duration::from_secs(30)))
                .handshake(TokioIo::new(wire))
                .await
                .map_err(|error| handshake_failed(destination, &error))?;
            tokio::spawn(drive(connection));
            self.pool.share(key.clone(), sender.clone(), Arc::clone(&received));
            return Ok(Line::h2(sender, received, false));
        }
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| handshake_failed(destination, &error))?;
        tokio::spawn(drive(connection));
        Ok(Line::h1(sender, received, false))
    }

    /// Waits for an answer's head: the time counts from the last piece of the body that left.
    async fn wait<T>(&self, exchange: impl Future<Output = T>, progress: &Progress) -> Result<T, Refusal> {
        let mut exchange = std::pin::pin!(exchange);
        loop {
            let steps = progress.steps();
            match tokio::time::timeout(self.waits.response, &mut exchange).await {
                Ok(result) => return Ok(result),
                Err(_) if progress.steps() != steps => {}
                Err(_) => {
                    return Err(Refusal::new(
                        Code::UpstreamTimeout,
                        "the destination did not answer within timeouts.response",
                    ));
                }
            }
        }
    }

    fn sent(
        self: &Arc<Self>,
        key: Key,
        line: Line,
        response: Response<Incoming>,
        progress: &Arc<Progress>,
    ) -> Result<Sent, SendError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let message = "the destination answered 101 to a request that asked for no upgrade";
            return Err(SendError::Refused(Refusal::new(Code::UpstreamFailed, message)));
        }
        let received = Arc::clone(line.received());
        // An early answer to an unread body, and a challenge that authenticates the connection
        // itself, make it one that is never used again.
        let keep = progress.is_done() && !binds_connection(response.headers());
        let sender = match line.sender {
            Sender::H1(sender) if keep => Some(sender),
            Sender::H1(_) | Sender::H2(_) => None,
        };
        let checkout = Checkout { upstream: Arc::clone(self), key: Some(key), sender, received };
        Ok(Sent { response: response.map(Peeked::new), checkout })
    }
}

/// A connection that is given back once the answer's last byte was read, and not before.
pub(super) struct Checkout {
    upstream: Arc<Upstream>,
    key: Option<Key>,
    sender: Option<http1::SendRequest<Upload>>,
    received: Arc<AtomicU64>,
}

impl Checkout {
    /// The answer was read to its end.
    pub(super) fn give_back(&mut self) {
        if let (Some(key), Some(sender)) = (self.key.take(), self.sender.take()) {
            self.upstream.pool.give_back(key, sender, Arc::clone(&self.received));
        }
    }
}

fn build(outbound: &mut Outbound, upload: Upload) -> Result<Request<Upload>, Refusal> {
    let uri = Uri::try_from(outbound.request_target())
        .map_err(|_| Refusal::new(Code::InvalidRequest, "the request's path and query are no valid target"))?;
    let mut request = Request::new(upload);
    *request.method_mut() = outbound.method().clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = outbound.take_headers();
    request.headers_mut().remove(TRANSFER_ENCODING);
    Ok(request)
}

/// `Negotiate` and `NTLM` authenticate the connection, not the request. They may stand anywhere
/// in a list of challenges (RFC 9110, section 11.6.1).
fn binds_connection(headers: &HeaderMap) -> bool {
    let is_binding = |word: &[u8]| word.eq_ignore_ascii_case(b"negotiate") || word.eq_ignore_ascii_case(b"ntlm");
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .any(|value| value.as_bytes().split(|b| matches!(b, b' ' | b'\t' | b',')).any(is_binding))
}

fn handshake_failed(destination: &Destination, error: &hyper::Error) -> Refusal {
    Refusal::new(Code::UpstreamFailed, format!("{destination} does not speak HTTP")).with_log(error.to_string())
}

fn failed(destination: &Destination, progress: &Progress, error: &hyper::Error) -> Refusal {
    match progress.failure() {
        Some(UploadFailure::Slow) => {
            return Refusal::new(Code::RequestTimeout, "no part of the body came within timeouts.body");
        }
        Some(UploadFailure::Broken) => {
            return Refusal::new(Code::InvalidRequest, "the body broke off, or its framing is malformed")
                .with_log(chain(error));
        }
        None => {}
    }
    if timed_out(error) {
        let message = format!("{destination} took no part of the request within timeouts.body");
        return Refusal::new(Code::UpstreamTimeout, message).with_log(chain(error));
    }
    let what = if error.is_parse() {
        "sent an answer that is no valid HTTP"
    } else {
        "closed the connection before it answered"
    };
    Refusal::new(Code::UpstreamFailed, format!("{destination} {what}")).with_log(chain(error))
}

fn timed_out(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.downcast_ref().is_some_and(|io: &std::io::Error| io.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        source = inner.source();
    }
    false
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

async fn drive<E: std::fmt::Display>(connection: impl Future<Output = Result<(), E>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an upstream connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_that_binds_the_connection_is_found_in_every_place() {
        for (value, want) in [
            ("Negotiate", true),
            ("NTLM TlRMTVNTUAAC", true),
            ("Basic realm=\"x\", negotiate", true),
            ("Basic realm=\"x\",NTLM", true),
            ("Basic realm=\"negotiated\"", false),
            ("Bearer", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, "Basic".parse().unwrap());
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
            assert_eq!(binds_connection(&headers), want, "{value}");
        }
    }
}
