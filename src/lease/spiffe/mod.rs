//! Borrows from the SPIFFE Workload API: an agent of this machine, such as SPIRE's, says who this
//! workload is.
//!
//! A JWT-SVID is itself a credential: a token for an audience, with its end (`fetch`). An X.509-SVID
//! is what the workload is known by in TLS, and is kept current for as long as somebody follows it
//! (`x509`). The agent is asked over its Unix socket and believed; what it sends is read as something
//! that nobody has checked (`proto`).

mod fetch;
mod proto;
#[cfg(test)]
mod tests;
mod x509;

use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use self::fetch::SpiffeFetch;
pub use self::x509::{X509Svid, X509Svids};
use super::failed::Failed;
use crate::dial::{GrpcError, GrpcSocket, GrpcStream};
use crate::model::Secret;

/// Every call says it, so that no browser or proxy that was talked into a request can ask
/// (SPIFFE_Workload_Endpoint.md, section 4.1).
const SECURITY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("workload.spiffe.io"), HeaderValue::from_static("true"));

const JWT: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";
const X509: &str = "/SpiffeWorkloadAPI/FetchX509SVID";

/// The agent, as it is called.
struct Agent(GrpcSocket);

impl Agent {
    fn new(socket: &Path, wait: Duration) -> Self {
        Self(GrpcSocket::new(socket, wait))
    }

    async fn jwt(&self, message: &[u8]) -> Result<Secret, Failed> {
        self.0.call(JWT, SECURITY, message).await.map_err(|error| failed(&error))
    }

    async fn x509(&self) -> Result<GrpcStream, Failed> {
        self.0.stream(X509, SECURITY, &[]).await.map_err(|error| failed(&error))
    }
}

/// What a status means (SPIFFE_Workload_API.md, section 6).
fn failed(error: &GrpcError) -> Failed {
    let remedy = match error {
        GrpcError::Status { code: 3, .. } => {
            return Failed::Unusable(format!(
                "{error}: it does not take what was asked for; look at `audience`, `spiffe_id`"
            ));
        }
        // It may be registered later, and is asked again until then.
        GrpcError::Status { code: 7, .. } => ": it knows no identity of this workload; register one",
        GrpcError::Status { code: 12, .. } => ": it does not give this kind of identity",
        GrpcError::Connect { .. } => "; look at the source's `socket`",
        _ => "",
    };
    Failed::Unavailable(format!("{error}{remedy}"))
}
