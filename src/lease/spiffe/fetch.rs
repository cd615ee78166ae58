use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Agent, proto};
use crate::config::SpiffeConnection;
use crate::lease::failed::Failed;
use crate::lease::{Ask, Asked, Fetch, Fetched};
use crate::model::{Fields, Secret};
use crate::sign::jwt::claimed_end;

/// The Workload API as what gives credentials: JWT-SVIDs, as the field `access_token`.
pub struct SpiffeFetch(Agent);

impl SpiffeFetch {
    /// The agent at a socket; `wait` bounds each call. Nothing is asked yet.
    pub fn new(socket: &Path, wait: Duration) -> Self {
        Self(Agent::new(socket, wait))
    }

    async fn token(&self, place: &SpiffeConnection) -> Result<Fetched, Failed> {
        let wanted = place.spiffe_id.as_deref();
        let message = self.0.jwt(&proto::jwt_request(&place.audience, wanted)).await?;
        let unreadable = |why: &str| Failed::Unavailable(format!("the answer of the SPIFFE agent {why}"));
        let svids = proto::jwts(message.expose()).map_err(|_| unreadable("cannot be read"))?;
        // Without a wish the first is the one to use (SPIFFE_Workload_API.md, section 6.2.1).
        let svid = svids.iter().find(|svid| wanted.is_none_or(|wanted| wanted == svid.id));
        let svid = svid.ok_or_else(|| unreadable("has no identity that was asked for"))?;
        let end = claimed_end(svid.token.as_bytes()).ok_or_else(|| unreadable("has a token without an end"))?;
        let mut fields = Fields::new();
        fields.insert("access_token", Secret::new(svid.token));
        let expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end));
        Ok(Fetched { fields, expires_at, refreshable: true })
    }
}

impl Fetch for SpiffeFetch {
    type Place = SpiffeConnection;

    fn fetch<'a>(&'a self, place: &'a SpiffeConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async move { self.token(place).await.map_err(|failed| failed.of(&ask.connection)) })
    }
}
