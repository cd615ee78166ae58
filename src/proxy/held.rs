//! Reads a body whole, to a stated limit, because its signature covers it, or a stub reads it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::model::{Code, Refusal};

/// Reads the body, or refuses: 413 past `limit` bytes, which `whose` says, 408 where no piece comes
/// in `patience`.
pub(super) async fn read(mut body: Incoming, limit: usize, whose: &str, patience: Duration) -> Result<Bytes, Refusal> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large(limit, whose));
    }
    let mut held = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => {
                return Err(Refusal::new(
                    Code::RequestTimeout,
                    "the body, which has to be held whole, did not arrive in time",
                ));
            }
            Ok(None) => return Ok(held.freeze()),
            Ok(Some(Err(error))) => {
                return Err(Refusal::new(Code::InvalidRequest, "the body, which has to be held whole, broke off")
                    .with_log(error.to_string()));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if held.len() + data.len() > limit {
            return Err(too_large(limit, whose));
        }
        held.extend_from_slice(&data);
    }
}

fn too_large(limit: usize, whose: &str) -> Refusal {
    let message = format!("the body has to be held whole, and is longer than {whose} ({limit} bytes)");
    Refusal::new(Code::BodyTooLarge, message)
}
