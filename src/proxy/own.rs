//! A request of our own, for whoever operates the sidecar: without a socket and without a body,
//! and through every stage that an agent's goes through.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::arrival::Arrival;
use super::pipeline::{Pipeline, draw_trace};
use crate::identity::Agent;
use crate::model::{Code, Destination, Refusal};

/// What a destination answered.
pub(crate) struct OwnAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Pipeline {
    /// Sends a request, whose target is in origin form, and reads its answer, of `most` bytes.
    pub(crate) async fn own(
        &self,
        agent: Agent,
        destination: Destination,
        request: Request<()>,
        most: usize,
    ) -> Result<OwnAnswer, Refusal> {
        let tunnel = Some(Arc::new(destination));
        let arrival = Arrival { agent: Ok(agent), peer: None, tunnel, via: "command", line: Arc::default() };
        let (head, body) = self.serve(&arrival, request.map(|()| None), None, draw_trace()).await?.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|error| {
            Refusal::new(Code::UpstreamFailed, format!("the answer broke off, or is larger than {most} bytes"))
                .with_log(error.to_string())
        })?;
        Ok(OwnAnswer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}
