//! Applies: one file per way to authenticate; the algorithms are in `sign`.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method};

use crate::lease::Lent;
use crate::model::{IntentFacts, Query, Refusal};
use crate::policy::Terms;

/// What of a request may survive: its headers and its query. Method, path and destination come
/// from the grant.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// As the agent sent them.
    pub headers: &'a HeaderMap,
    /// As the agent sent it.
    pub query: Option<&'a Query>,
    /// The length of the body that will be sent, where it is known; `Some(0)` for none.
    pub content_length: Option<u64>,
}

/// What a signature needs of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyNeed {
    /// Nothing: it streams.
    Streamed,
    /// The whole of it.
    Buffered,
}

/// What of the body can be signed.
#[derive(Clone, Copy, Debug)]
pub enum Signable<'a> {
    /// It streams.
    Nothing,
    /// The whole body.
    Bytes(&'a [u8]),
}

/// Time, read by the caller: this room has no clock.
#[derive(Clone, Copy, Debug)]
pub struct Ambient {
    /// The wall clock.
    pub now: SystemTime,
}

/// A request that may leave the process: consumed by the upstream pool. No `Debug` of content.
pub struct Outbound {}

/// Answers "does this contain what was injected?" and shows nothing.
#[derive(Clone, Default)]
pub struct Watch {}

/// Says what a strategy needs of the body, or why the request cannot be signed at all.
pub fn body_need(_lent: &Lent, _head: &Head<'_>) -> Result<BodyNeed, Refusal> {
    todo!()
}

/// Makes the request that leaves: surviving headers first, the strategy last.
pub fn apply(_head: &Head<'_>, _signable: Signable<'_>, _lent: &Lent, _ambient: Ambient) -> Result<Outbound, Refusal> {
    todo!()
}

impl Outbound {
    /// What policy allowed.
    pub fn terms(&self) -> &Terms {
        todo!()
    }

    /// The connection's id and version, if one is used: part of the pool's key.
    pub fn connection(&self) -> Option<(Arc<str>, u64)> {
        todo!()
    }

    /// The method.
    pub fn method(&self) -> &Method {
        todo!()
    }

    /// Path and query, as they go into the request line.
    pub fn request_target(&self) -> &str {
        todo!()
    }

    /// The headers: no `Host`, no framing; those are written by the sender.
    pub fn headers(&self) -> &HeaderMap {
        todo!()
    }

    /// Gives the headers away.
    pub fn take_headers(&mut self) -> HeaderMap {
        todo!()
    }

    /// What was injected, for the answer's checks.
    pub fn watch(&self) -> Watch {
        todo!()
    }

    /// What the audit records before it leaves.
    pub fn facts(&self) -> IntentFacts {
        todo!()
    }
}

impl Watch {
    /// Tells whether bytes contain what was injected, plain or in a common encoding.
    pub fn sees(&self, _bytes: &[u8]) -> bool {
        todo!()
    }

    /// Tells whether nothing was injected.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
