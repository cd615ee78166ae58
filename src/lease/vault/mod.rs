//! Borrows from HashiCorp Vault or OpenBao.
//!
//! What a connection is there is a path that is read: a secret that is kept (KV, versioned or not),
//! or one that is made by the reading. The sidecar logs in by itself and looks after its token
//! (`session`), and after the leases of what was made for it (`leased`). Nothing that Vault says is quoted in an error: its answers hold what must not be
//! shown. Next: `answer` for what a secret looks like, `wire` for calls and statuses.

mod answer;
#[cfg(test)]
mod for_tests;
mod leased;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use self::leased::{Leased, Made};
use self::session::{Doubt, Session, Sessions};
use self::wire::Wire;
use super::configured::{Fetch, Fetched};
use super::failed::Failed;
use super::source::Followed;
use super::{Ask, Asked};
use crate::config::{VaultConnection, VaultSource};
use crate::dial::{Answer, Dialer};
use crate::telemetry::Clock;

/// Between two looks at what has to be renewed.
const LOOK: Duration = Duration::from_secs(5);

/// Vault as what gives credentials.
pub struct VaultFetch {
    name: String,
    wire: Arc<Wire>,
    sessions: Sessions,
    leased: Leased,
    clock: Arc<dyn Clock>,
}

/// What a read gave.
enum Now {
    /// What is kept there.
    Kept(Fetched),
    /// What was made for us.
    Made(Made),
}

impl VaultFetch {
    /// Vault under the name of its source; `wait` bounds each call. Nothing is asked yet.
    pub fn new(name: &str, config: &VaultSource, dialer: Arc<Dialer>, wait: Duration, clock: Arc<dyn Clock>) -> Self {
        let wire = Arc::new(Wire::new(config, dialer, wait));
        let sessions = Sessions::new(config.auth.clone(), Arc::clone(&wire), Arc::clone(&clock));
        Self { name: name.to_owned(), wire, sessions, leased: Leased::default(), clock }
    }

    async fn credentials(&self, place: &VaultConnection, ask: &Ask) -> Result<Fetched, Failed> {
        let slot = self.leased.slot(ask);
        let mut slot = slot.lock().await;
        let refused = ask.held.as_ref().is_some_and(|held| held.refused);
        if let Some(made) = slot.as_mut().filter(|_| !refused)
            && self.goes_on(made).await
        {
            return Ok(made.give(&*self.clock));
        }
        match (self.made_now(place).await, slot.as_mut()) {
            (Ok(Now::Kept(fetched)), _) => Ok(fetched),
            (Ok(Now::Made(made)), _) => {
                if let Some(before) = slot.replace(made) {
                    self.leased.replace(before, refused);
                }
                slot.as_mut().map(|made| made.give(&*self.clock)).ok_or(Failed::Missing)
            }
            (Err(Failed::Unavailable(_)), Some(made)) if !refused && self.serves(made) => Ok(made.give(&*self.clock)),
            (Err(failed), _) => Err(failed),
        }
    }

    async fn made_now(&self, place: &VaultConnection) -> Result<Now, Failed> {
        let asked = self.clock.boot();
        let (answer, session) = self.read(place).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(answer::missing(answer.body.expose(), place));
        }
        let secret = wire::good(&answer, &format!("cannot read {}", place.path))?;
        match Made::of(&secret, place, &session, asked) {
            Some(made) => Ok(Now::Made(made)),
            None => answer::kept(&secret, place, self.clock.wall()).map(Now::Kept),
        }
    }

    /// Reads a path, with another token where Vault no longer knows ours; once.
    async fn read(&self, place: &VaultConnection) -> Result<(Answer, Arc<Session>), Failed> {
        let path = match place.version {
            Some(version) => format!("{}?version={version}", place.path),
            None => place.path.clone(),
        };
        let session = self.sessions.current().await?;
        let answer = self.wire.read(&path, &session.token).await?;
        if answer.status != StatusCode::FORBIDDEN {
            return Ok((answer, session));
        }
        match self.sessions.doubted(&session).await? {
            Doubt::Known => Ok((answer, session)),
            Doubt::Replaced(session) => Ok((self.wire.read(&path, &session.token).await?, session)),
        }
    }

    async fn look_after(&self) {
        loop {
            if let Err(Failed::Unavailable(why) | Failed::Unusable(why)) = self.sessions.look_after().await {
                tracing::warn!(source = self.name, why, "the token of Vault could not be looked after");
            }
            self.give_back().await;
            self.clock.sleep(LOOK).await;
        }
    }
}

impl Fetch for VaultFetch {
    type Place = VaultConnection;

    fn fetch<'a>(&'a self, place: &'a VaultConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async move { self.credentials(place, ask).await.map_err(|failed| failed.of(&ask.connection)) })
    }

    fn follow(&self) -> Followed<'_> {
        Box::pin(self.look_after())
    }

    fn close(&self) -> Followed<'_> {
        Box::pin(self.give_everything_back())
    }
}
