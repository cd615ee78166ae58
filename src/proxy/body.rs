//! A request's body, prepared as its strategy needs it: streamed, or held whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{Method, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::held;
use super::registry::Stay;
use super::upload::{Copy, Progress, Upload};
use crate::config::{Limits, Timeouts};
use crate::model::{Code, Refusal};
use crate::strategy::{BodyNeed, Signable};

/// What is left of a body before and between attempts.
pub(super) struct Body {
    state: State,
    progress: Arc<Progress>,
    /// As much of it is kept as it leaves, in bytes: what is longer is sent once.
    keep: usize,
}

enum State {
    Empty,
    Whole(Bytes),
    Streamed {
        body: Incoming,
        patience: Duration,
        expects_continue: bool,
    },
    /// It left as it came, and was kept if it was short.
    Kept(Arc<Copy>),
    Gone,
}

/// Reads a body that has to be signed; leaves any other where it is.
pub(super) async fn prepare(
    incoming: Option<Incoming>,
    parts: &Parts,
    need: BodyNeed,
    limits: &Limits,
    timeouts: &Timeouts,
    keep: bool,
) -> Result<Body, Refusal> {
    let keep = if keep { limits.replay } else { 0 };
    let Some(incoming) = incoming.filter(|incoming| !incoming.is_end_stream()) else {
        return Ok(Body { state: State::Empty, progress: Arc::new(Progress::finished(0)), keep });
    };
    match need {
        BodyNeed::Buffered => {
            let bytes = held::read(incoming, limits.buffer, "limits.buffer, to be signed", timeouts.body).await?;
            let length = u64::try_from(bytes.len()).unwrap_or_default();
            Ok(Body { state: State::Whole(bytes), progress: Arc::new(Progress::finished(length)), keep })
        }
        BodyNeed::Streamed => {
            let expects_continue = parts.version == Version::HTTP_11
                && parts
                    .headers
                    .get(EXPECT)
                    .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
            let state = State::Streamed { body: incoming, patience: timeouts.body, expects_continue };
            Ok(Body { state, progress: Arc::default(), keep })
        }
    }
}

impl Body {
    /// How far its upload has come.
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What can be signed of it.
    pub(super) fn signable(&self) -> Signable<'_> {
        match &self.state {
            State::Empty => Signable::Bytes(b""),
            State::Whole(bytes) => Signable::Bytes(bytes),
            State::Streamed { .. } | State::Kept(_) | State::Gone => Signable::Nothing,
        }
    }

    /// Its length, where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.state {
            State::Empty => Some(0),
            State::Whole(bytes) => u64::try_from(bytes.len()).ok(),
            State::Streamed { body, .. } => body.size_hint().exact(),
            State::Kept(copy) => copy.whole().and_then(|bytes| u64::try_from(bytes.len()).ok()),
            State::Gone => None,
        }
    }

    /// A GET or HEAD without a body may be sent once more; nothing else is repeated.
    pub(super) fn is_repeatable(&self, method: &Method) -> bool {
        matches!(self.state, State::Empty) && matches!(*method, Method::GET | Method::HEAD)
    }

    /// Whether there is the same body once more: it is empty, or was kept whole.
    pub(super) fn can_be_sent_again(&self) -> bool {
        match &self.state {
            State::Empty | State::Whole(_) => true,
            State::Kept(copy) => copy.whole().is_some(),
            State::Streamed { .. } | State::Gone => false,
        }
    }

    /// The body to send; a second one only where there is nothing to send, or it was kept.
    pub(super) fn take(&mut self, stay: &Arc<Stay>) -> Result<Upload, Refusal> {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Empty => {
                self.state = State::Empty;
                Ok(Upload::Empty)
            }
            State::Whole(bytes) => {
                if bytes.len() <= self.keep {
                    self.state = State::Whole(bytes.clone());
                }
                Ok(Upload::Whole(bytes))
            }
            State::Kept(copy) => {
                let bytes = copy.whole().ok_or_else(sent_already)?;
                self.state = State::Kept(copy);
                Ok(Upload::Whole(bytes))
            }
            State::Streamed { body, patience, expects_continue } => {
                let progress = Arc::clone(&self.progress);
                let copy = (self.keep > 0).then(|| Arc::new(Copy::up_to(self.keep)));
                if let Some(copy) = &copy {
                    self.state = State::Kept(Arc::clone(copy));
                }
                Ok(Upload::stream(body, progress, copy, patience, expects_continue, Arc::clone(stay)))
            }
            State::Gone => Err(sent_already()),
        }
    }
}

fn sent_already() -> Refusal {
    Refusal::new(Code::Internal, "the body was sent already")
}
