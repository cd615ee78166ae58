//! The request's body on its way out: empty, held whole, or streamed with backpressure.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::registry::Stay;
use super::timer::Timer;
use super::trailers::drop_forbidden;
use crate::strategy::drop_placeholders;

/// The body that hyper's client sends.
pub(super) enum Upload {
    /// Nothing.
    Empty,
    /// Held whole: it was signed.
    Whole(Bytes),
    /// As it comes from the agent.
    Stream(Box<Stream>),
}

impl Upload {
    /// Tells whether the body waits for `100 Continue`.
    pub(super) fn expects_continue(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.grace.is_some())
    }

    /// Lets the body go at once, where nobody will say `100 Continue`.
    pub(super) fn go_on(&self) {
        if let Self::Stream(stream) = self {
            stream.progress.go_on();
        }
    }
}

/// What is known of an upload while hyper owns its body.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    steps: AtomicU64,
    done: AtomicBool,
    failed: OnceLock<UploadFailure>,
    gate: Gate,
}

/// How the agent's side of an upload failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadFailure {
    /// No piece came in time.
    Slow,
    /// It ended early, or its framing is malformed.
    Broken,
}

/// Holds a body back until the destination says `100 Continue`.
#[derive(Debug, Default)]
struct Gate {
    open: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

pub(super) struct Stream {
    body: Incoming,
    progress: Arc<Progress>,
    copy: Option<Arc<Copy>>,
    patience: Duration,
    timer: Timer,
    /// How long to wait for `100 Continue` before the body goes anyway (RFC 9110, section 10.1.1).
    grace: Option<Duration>,
    /// A body that outlives its answer can still be told to end.
    _stay: Arc<Stay>,
}

/// What is kept of a body as it leaves, to be sent once more: the whole of it or nothing.
pub(super) struct Copy {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    pieces: Vec<Bytes>,
    length: usize,
    ended: bool,
    /// It is longer than what is kept, or has trailers.
    given_up: bool,
}

impl Copy {
    /// Keeps a body of at most so many bytes.
    pub(super) fn up_to(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// The body, once its end has left.
    pub(super) fn whole(&self) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.ended && !kept.given_up).then(|| kept.pieces.concat().into())
    }

    fn take(&self, frame: &Frame<Bytes>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(data) = frame.data_ref().filter(|data| kept.length + data.len() <= self.most) else {
            (kept.pieces, kept.given_up) = (Vec::new(), true);
            return;
        };
        if !kept.given_up && !data.is_empty() {
            kept.length += data.len();
            kept.pieces.push(data.clone());
        }
    }

    fn end(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }
}

/// Why an upload broke off, on the agent's side.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the agent sent no part of the body in time")]
    Slow,
    #[error("the agent's body broke off")]
    Broken(#[source] hyper::Error),
}

impl Upload {
    /// Streams an agent's body. With `expects_continue` it waits for the destination's word.
    pub(super) fn stream(
        body: Incoming,
        progress: Arc<Progress>,
        copy: Option<Arc<Copy>>,
        patience: Duration,
        expects_continue: bool,
        stay: Arc<Stay>,
    ) -> Self {
        progress.gate.open.store(!expects_continue, Ordering::Release);
        let grace = expects_continue.then_some(Duration::from_secs(1));
        Self::Stream(Box::new(Stream { body, progress, copy, patience, timer: Timer::default(), grace, _stay: stay }))
    }
}

impl Progress {
    /// Nothing is left to send: the state of a body that is empty or held whole.
    pub(super) fn finished(bytes: u64) -> Self {
        Self { bytes: bytes.into(), done: true.into(), ..Self::default() }
    }

    /// Bytes handed to the connection.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The last byte was handed to the connection.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// How the agent's side failed, if it did.
    pub(super) fn failure(&self) -> Option<UploadFailure> {
        self.failed.get().copied()
    }

    fn fail(&self, how: UploadFailure) {
        // The first failure is the reason; nothing is read after it.
        let _ = self.failed.set(how);
    }

    /// Moves with every piece: unchanged means stalled.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The destination said `100 Continue`.
    pub(super) fn go_on(&self) {
        self.gate.open.store(true, Ordering::Release);
        if let Some(waker) = self.gate.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn poll_gate(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.gate.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.gate.open.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Stream {
    fn poll_go(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(grace) = self.grace else { return Poll::Ready(()) };
        if self.progress.poll_gate(cx).is_pending() {
            ready!(self.timer.poll(cx, grace));
            self.progress.go_on();
        }
        self.timer.stop();
        self.grace = None;
        Poll::Ready(())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        ready!(self.poll_go(cx));
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                ready!(self.timer.poll(cx, self.patience));
                self.progress.fail(UploadFailure::Slow);
                Poll::Ready(Some(Err(UploadError::Slow)))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.progress.fail(UploadFailure::Broken);
                Poll::Ready(Some(Err(UploadError::Broken(error))))
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.pass(frame)))),
        }
    }

    fn end(&self) {
        if let Some(copy) = &self.copy {
            copy.end();
        }
        self.progress.done.store(true, Ordering::Release);
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.timer.stop();
        self.progress.steps.fetch_add(1, Ordering::Relaxed);
        if let Some(data) = frame.data_ref() {
            self.progress.bytes.fetch_add(u64::try_from(data.len()).unwrap_or_default(), Ordering::Relaxed);
        }
        if let Some(copy) = &self.copy {
            copy.take(&frame);
        }
        if self.body.is_end_stream() {
            self.end();
        }
        match frame.into_trailers() {
            Ok(mut trailers) => {
                drop_forbidden(&mut trailers);
                drop_placeholders(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or_default()),
            Self::Stream(stream) => stream.body.size_hint(),
        }
    }
}
