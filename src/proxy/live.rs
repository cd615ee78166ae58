//! What is kept until the last byte: the entry, the place in the registry, the connection, and
//! the lease, settled all at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::peeked::Peeked;
use super::registry::Stay;
use super::timer::Timer;
use super::trailers::drop_forbidden;
use super::upload::Progress;
use super::upstream::Checkout;
use crate::audit::Entry;
use crate::lease::Lent;
use crate::model::{Code, Credential, OutcomeFacts, Refusal, Stages};
use crate::strategy::Watch;
use crate::telemetry::Metrics;

/// Everything that ends with a request. Dropped early, it says that the agent went away.
pub(super) struct Live {
    entry: Option<Entry>,
    stay: Arc<Stay>,
    /// Keeps the credentials' owner alive as long as the answer may refer to them.
    _lent: Lent,
    checkout: Checkout,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    status: u16,
    credential: Option<Credential>,
    down: u64,
    stages: Stages,
    started: Instant,
}

/// What [`Live`] is made of.
pub(super) struct LiveParts {
    pub(super) entry: Entry,
    pub(super) stay: Arc<Stay>,
    pub(super) lent: Lent,
    pub(super) checkout: Checkout,
    pub(super) progress: Arc<Progress>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) status: u16,
    pub(super) credential: Option<Credential>,
    pub(super) stages: Stages,
    pub(super) started: Instant,
}

impl Live {
    pub(super) fn new(parts: LiveParts) -> Self {
        Self {
            entry: Some(parts.entry),
            stay: parts.stay,
            _lent: parts.lent,
            checkout: parts.checkout,
            progress: parts.progress,
            metrics: parts.metrics,
            status: parts.status,
            credential: parts.credential,
            down: 0,
            stages: parts.stages,
            started: parts.started,
        }
    }

    fn done(&mut self) {
        if self.entry.is_some() {
            self.checkout.give_back();
            self.metrics.answered(self.status, self.started.elapsed().as_secs_f64());
            self.settle(None);
        }
    }

    fn failed(&mut self, why: &Refusal) {
        if self.entry.is_some() {
            self.metrics.refused(why.code());
            self.settle(Some(why));
        }
    }

    fn settle(&mut self, why: Option<&Refusal>) {
        let Some(entry) = self.entry.take() else { return };
        self.stages.total = self.started.elapsed();
        entry.outcome(OutcomeFacts {
            status: Some(self.status),
            code: why.map(Refusal::code),
            cause: why.and_then(Refusal::cause),
            reason: why.map(|why| why.log().to_owned()),
            credential: self.credential,
            bytes_up: self.progress.bytes(),
            bytes_down: self.down,
            stages: self.stages,
        });
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The connection was cut since its agent did not read on.
        if let Some(why) = self.stay.closer().why().cloned() {
            self.failed(&why);
        }
        if let Some(entry) = self.entry.take() {
            self.metrics.aborted();
            self.stages.total = self.started.elapsed();
            entry.aborted(OutcomeFacts {
                status: Some(self.status),
                code: None,
                cause: None,
                reason: Some("the agent went away before the last byte".to_owned()),
                credential: self.credential,
                bytes_up: self.progress.bytes(),
                bytes_down: self.down,
                stages: self.stages,
            });
        }
    }
}

/// An answer's body on its way to the agent.
pub(super) struct Download {
    body: Peeked,
    live: Live,
    watch: Watch,
    patience: Duration,
    timer: Timer,
}

/// Why an answer breaks off: the agent sees a cut connection or a reset stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error("the destination sent no part of its answer in time")]
    Slow,
    #[error("the destination's answer broke off")]
    Broken(#[source] hyper::Error),
    #[error("closed: {0}")]
    Closed(&'static str),
}

impl Download {
    pub(super) fn new(body: Peeked, mut live: Live, watch: Watch, patience: Duration) -> Self {
        if body.is_end_stream() {
            live.done();
        }
        Self { body, live, watch, patience, timer: Timer::default() }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let frame = match frame.into_data() {
            Ok(data) => {
                self.live.down += u64::try_from(data.len()).unwrap_or_default();
                Frame::data(data)
            }
            Err(frame) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    drop_forbidden(&mut trailers);
                    super::respond::drop_watched(&mut trailers, &self.watch);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            },
        };
        if self.body.is_end_stream() {
            self.live.done();
        }
        frame
    }

    fn fail(&mut self, why: &Refusal, error: DownloadError) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        self.live.failed(why);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let this = &mut *self;
        if let Poll::Ready(why) = this.live.stay.closer().poll(cx) {
            let why = why.clone();
            return this.fail(&why, DownloadError::Closed(why.code().as_str()));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer.stop();
                Poll::Ready(Some(Ok(this.pass(frame))))
            }
            Poll::Ready(None) => {
                this.live.done();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let why = Refusal::new(Code::UpstreamFailed, "the destination's answer broke off")
                    .with_log(error.to_string());
                this.fail(&why, DownloadError::Broken(error))
            }
            Poll::Pending => {
                ready!(this.timer.poll(cx, this.patience));
                let why = Refusal::new(
                    Code::UpstreamTimeout,
                    "the destination sent no part of its answer within timeouts.body",
                );
                this.fail(&why, DownloadError::Slow)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
