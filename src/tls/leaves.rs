use std::sync::Arc;
use std::time::SystemTime;

use super::{Ca, CaError};
use crate::model::Host;

/// Leaf certificates by host, minted once each, in a bounded cache. All share one P-256 key that
/// is not the CA's.
pub struct Leaves {}

impl Leaves {
    /// An empty cache for at most `limit` hosts.
    pub fn new(_ca: Ca, _limit: usize) -> Result<Self, CaError> {
        todo!()
    }

    /// The server side of an intercepted connection, `h2` and `http/1.1` offered. The flag says
    /// whether the leaf was minted by this call.
    pub fn server_config(&self, _host: &Host, _now: SystemTime) -> Result<(Arc<rustls::ServerConfig>, bool), CaError> {
        todo!()
    }

    /// What clients must trust.
    pub fn trust_pem(&self) -> String {
        todo!()
    }
}
