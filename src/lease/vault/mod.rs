//! Borrows from HashiCorp Vault or OpenBao.
//!
//! What a connection is there is a path that is read: a secret that is kept (KV, versioned or not),
//! or one that is made by the reading. The sidecar logs in by itself and looks after its token
//! (`session`). Nothing that Vault says is quoted in an error: its answers hold what must not be
//! shown. Next: `answer` for what a secret looks like, `wire` for calls and statuses.

mod answer;
#[cfg(test)]
mod for_tests;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use self::session::{Doubt, Sessions};
use self::wire::Wire;
use super::configured::{Fetch, Fetched};
use super::source::Followed;
use super::{Ask, Asked, LendError};
use crate::config::{VaultConnection, VaultSource};
use crate::dial::{Answer, Dialer};
use crate::model::ConnectionName;
use crate::telemetry::Clock;

/// Between two looks at what has to be renewed.
const LOOK: Duration = Duration::from_secs(5);

/// Vault as what gives credentials.
pub struct VaultFetch {
    name: String,
    wire: Arc<Wire>,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

/// Why nothing came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failed {
    /// Nothing is there.
    Missing,
    /// Worth another try.
    Unavailable(String),
    /// Somebody has to do something.
    Unusable(String),
}

impl Failed {
    fn of(self, name: &ConnectionName) -> LendError {
        let name = name.clone();
        match self {
            Self::Missing => LendError::NotFound(name),
            Self::Unavailable(why) => LendError::Unavailable { name, why },
            Self::Unusable(why) => LendError::Unusable { name, why },
        }
    }
}

impl VaultFetch {
    /// Vault under the name of its source; `wait` bounds each call. Nothing is asked yet.
    pub fn new(name: &str, config: &VaultSource, dialer: Arc<Dialer>, wait: Duration, clock: Arc<dyn Clock>) -> Self {
        let wire = Arc::new(Wire::new(config, dialer, wait));
        let sessions = Sessions::new(config.auth.clone(), Arc::clone(&wire), Arc::clone(&clock));
        Self { name: name.to_owned(), wire, sessions, clock }
    }

    async fn credentials(&self, place: &VaultConnection) -> Result<Fetched, Failed> {
        let answer = self.read(place).await?;
        let what = format!("cannot read {}", place.path);
        if answer.status == StatusCode::NOT_FOUND {
            return Err(answer::missing(answer.body.expose(), place));
        }
        let secret = wire::good(&answer, &what)?;
        answer::kept(&secret, place, self.clock.wall())
    }

    /// Reads a path, with another token where Vault no longer knows ours; once.
    async fn read(&self, place: &VaultConnection) -> Result<Answer, Failed> {
        let path = match place.version {
            Some(version) => format!("{}?version={version}", place.path),
            None => place.path.clone(),
        };
        let session = self.sessions.current().await?;
        let answer = self.wire.read(&path, &session.token).await?;
        if answer.status != StatusCode::FORBIDDEN {
            return Ok(answer);
        }
        match self.sessions.doubted(&session).await? {
            Doubt::Known => Ok(answer),
            Doubt::Replaced(session) => self.wire.read(&path, &session.token).await,
        }
    }

    async fn look_after(&self) {
        loop {
            if let Err(Failed::Unavailable(why) | Failed::Unusable(why)) = self.sessions.look_after().await {
                tracing::warn!(source = self.name, why, "the token of Vault could not be looked after");
            }
            self.clock.sleep(LOOK).await;
        }
    }
}

impl Fetch for VaultFetch {
    type Place = VaultConnection;

    fn fetch<'a>(&'a self, place: &'a VaultConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async move { self.credentials(place).await.map_err(|failed| failed.of(&ask.connection)) })
    }

    fn follow(&self) -> Followed<'_> {
        Box::pin(self.look_after())
    }
}
