//! A destination's body, some of which was read ahead and put back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use memchr::memmem;

/// So much of an answer is read ahead at most, in bytes.
const MOST: usize = 64 << 10;

/// A body that reads what was put back first.
pub(super) struct Peeked {
    ahead: VecDeque<Frame<Bytes>>,
    rest: Incoming,
    broken: Option<hyper::Error>,
}

impl Peeked {
    pub(super) fn new(rest: Incoming) -> Self {
        Self { ahead: VecDeque::new(), rest, broken: None }
    }

    /// Reads ahead, to its end or 64 KiB, and tells whether one of these words stands there. What was
    /// read is put back. What does not come in `patience` is not waited for.
    pub(super) async fn holds(&mut self, words: &[&str], patience: Duration) -> bool {
        self.read_ahead(patience).await;
        let text: Vec<u8> = self.ahead.iter().filter_map(Frame::data_ref).flatten().copied().collect();
        words.iter().any(|word| memmem::find(&text, word.as_bytes()).is_some())
    }

    /// Reads what is left of an answer that nobody wants; tells whether that was all of it, so that its
    /// connection can serve again.
    pub(super) async fn pass_over(mut self, patience: Duration) -> bool {
        self.read_ahead(patience).await;
        self.rest.is_end_stream() && self.broken.is_none()
    }

    /// What was read when the time is over is kept: nothing of it is lost.
    async fn read_ahead(&mut self, patience: Duration) {
        let reading = async {
            let mut length = 0;
            while length < MOST && !self.rest.is_end_stream() {
                match self.rest.frame().await {
                    None => return,
                    Some(Err(error)) => {
                        self.broken = Some(error);
                        return;
                    }
                    Some(Ok(frame)) => {
                        // An empty piece takes room, too.
                        length += frame.data_ref().map_or(1, |data| data.len().max(1));
                        self.ahead.push_back(frame);
                    }
                }
            }
        };
        let _ = tokio::time::timeout(patience, reading).await;
    }
}

impl Body for Peeked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(frame) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.broken.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: usize = self.ahead.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let (ahead, rest) = (u64::try_from(ahead).unwrap_or_default(), self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}
