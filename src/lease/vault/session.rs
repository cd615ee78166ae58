//! The token that Vault knows us by: logged in for, renewed ahead of its end, and made anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use super::Failed;
use super::wire::{self, Wire};
use crate::config::{FileSet, VaultAuth, mounted_line, secret_line};
use crate::lease::secret_json::SecretJson;
use crate::model::Secret;
use crate::telemetry::Clock;

/// A renewal that moves the end by less than this is not worth another.
const STEP: Duration = Duration::from_secs(5);

/// One token, from its login to its end.
pub(super) struct Session {
    pub(super) token: Secret,
    life: Mutex<Life>,
}

/// How long a token lives, by the clock since boot.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// `None`: it has no end, or none that is known.
    end: Option<Duration>,
    /// How long it was given at first.
    span: Duration,
    renewable: bool,
}

/// What came of looking at a token that was refused.
pub(super) enum Doubt {
    /// Vault knows it: what was asked for is not allowed to it.
    Known,
    /// It was no longer good. This is another.
    Replaced(Arc<Session>),
}

/// Logs in, one at a time, and keeps the token in memory.
pub(super) struct Sessions {
    auth: VaultAuth,
    wire: Arc<Wire>,
    clock: Arc<dyn Clock>,
    /// Held while somebody logs in, so that nobody else does.
    current: tokio::sync::Mutex<Current>,
}

#[derive(Default)]
struct Current {
    session: Option<Arc<Session>>,
    /// The file of a token as it was when it was read.
    file: Option<FileSet>,
}

impl Session {
    /// When it ends, by the clock since boot.
    pub(super) fn end(&self) -> Option<Duration> {
        self.life().end
    }

    fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, life: Life) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
    }

    fn is_alive(&self, now: Duration) -> bool {
        self.life().end.is_none_or(|end| now < end)
    }

    /// Whether less of it is left than this share of what it was given.
    fn is_below(&self, share: u32, now: Duration) -> bool {
        let life = self.life();
        life.end.is_some_and(|end| end.saturating_sub(now) <= life.span / share)
    }
}

impl Sessions {
    pub(super) fn new(auth: VaultAuth, wire: Arc<Wire>, clock: Arc<dyn Clock>) -> Self {
        Self { auth, wire, clock, current: tokio::sync::Mutex::default() }
    }

    /// The session that is open, or a new one.
    pub(super) async fn current(&self) -> Result<Arc<Session>, Failed> {
        let mut current = self.current.lock().await;
        // Somebody put another token there: it is the one to use.
        let moved = current.file.as_mut().is_some_and(FileSet::moved);
        let now = self.clock.boot();
        if let Some(session) = current.session.as_ref().filter(|session| !moved && session.is_alive(now)) {
            return Ok(Arc::clone(session));
        }
        self.open(&mut current).await
    }

    /// The session that is open, if one is.
    pub(super) async fn open_one(&self) -> Option<Arc<Session>> {
        self.current.lock().await.session.clone()
    }

    /// Ends the session that was logged in for, and so all that was made with it; tells which.
    pub(super) async fn close(&self) -> Option<Arc<Session>> {
        if matches!(self.auth, VaultAuth::Token(_)) {
            return None;
        }
        let mut current = self.current.lock().await;
        let session = current.session.clone().filter(|session| session.is_alive(self.clock.boot()))?;
        let answer = self.wire.write("auth/token/revoke-self", Some(&session.token), &BTreeMap::new()).await;
        answer.ok().filter(|answer| answer.status.is_success())?;
        current.session = None;
        Some(session)
    }

    /// Looks at a session whose token was refused, and opens another where Vault does not know it
    /// any more. A login is not spent on what is merely not allowed.
    pub(super) async fn doubted(&self, session: &Arc<Session>) -> Result<Doubt, Failed> {
        let mut current = self.current.lock().await;
        if let Some(newer) = current.session.as_ref().filter(|newer| !Arc::ptr_eq(newer, session)) {
            return Ok(Doubt::Replaced(Arc::clone(newer)));
        }
        let answer = self.wire.read("auth/token/lookup-self", &session.token).await?;
        if answer.status.is_success() {
            return Ok(Doubt::Known);
        }
        if answer.status != StatusCode::FORBIDDEN {
            return Err(wire::bad(answer.status, "cannot look at our token"));
        }
        if let VaultAuth::Token(file) = &self.auth
            && !current.file.as_mut().is_none_or(FileSet::moved)
        {
            let why = format!("Vault does not know the token in {} any more: put another there", file.display());
            return Err(Failed::Unusable(why));
        }
        // Over, and with it what was made with it.
        session.set(Life { end: Some(Duration::ZERO), ..session.life() });
        current.session = None;
        self.open(&mut current).await.map(Doubt::Replaced)
    }

    /// Renews the token where half of its life is over, and logs in again where that does not help.
    /// A token that somebody else logged in for is looked after from the start: it cannot be
    /// replaced from here.
    pub(super) async fn look_after(&self) -> Result<(), Failed> {
        if matches!(self.auth, VaultAuth::Token(_)) {
            self.current().await?;
        }
        let mut current = self.current.lock().await;
        let Some(session) = current.session.clone() else { return Ok(()) };
        let now = self.clock.boot();
        if !session.is_below(2, now) {
            return Ok(());
        }
        if session.is_alive(now) && session.life().renewable {
            self.renew(&session).await?;
        }
        if session.is_below(4, self.clock.boot()) && !matches!(self.auth, VaultAuth::Token(_)) {
            self.open(&mut current).await?;
        }
        Ok(())
    }

    async fn renew(&self, session: &Session) -> Result<(), Failed> {
        let asked = self.clock.boot();
        let answer = self.wire.write("auth/token/renew-self", Some(&session.token), &BTreeMap::new()).await?;
        match wire::good(&answer, "cannot renew our token") {
            Ok(answer) => {
                let before = session.life();
                let life = life(&answer, &["auth", "lease_duration"], &["auth", "renewable"], asked)?;
                // At the end of what it may be renewed to, it is answered with what is left.
                let further = life.end.is_none_or(|end| before.end.is_some_and(|before| before + STEP < end));
                session.set(Life { span: before.span, renewable: life.renewable && further, ..life });
                Ok(())
            }
            Err(Failed::Unavailable(why)) => Err(Failed::Unavailable(why)),
            // It is at the end of what it may be renewed to, or over.
            Err(_) => {
                session.set(Life { renewable: false, ..session.life() });
                Ok(())
            }
        }
    }

    async fn open(&self, current: &mut Current) -> Result<Arc<Session>, Failed> {
        let session = match &self.auth {
            VaultAuth::AppRole { mount, role_id, secret_id_file } => {
                let secret_id = secret_line(secret_id_file);
                let secret_id = secret_id.map_err(|error| unreadable(secret_id_file, &error))?;
                let secret_id = secret_id.expose_str().ok_or_else(|| not_text(secret_id_file))?;
                self.log_in(mount, &[("role_id", role_id), ("secret_id", secret_id)]).await?
            }
            VaultAuth::Kubernetes { mount, role, token_file } => {
                let token = mounted_line(token_file).map_err(|error| unreadable(token_file, &error))?;
                let token = token.expose_str().ok_or_else(|| not_text(token_file))?;
                self.log_in(mount, &[("role", role), ("jwt", token)]).await?
            }
            VaultAuth::Token(file) => {
                // Looked at before it is read: what moves in between is read once more.
                current.file = Some(FileSet::new([file.clone()]));
                let token = secret_line(file).map_err(|error| unreadable(file, &error))?;
                self.adopt(token).await?
            }
        };
        let session = Arc::new(session);
        current.session = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn log_in(&self, mount: &str, said: &[(&str, &str)]) -> Result<Session, Failed> {
        let asked = self.clock.boot();
        let what = format!("cannot log in at auth/{mount}");
        let said: BTreeMap<&str, &str> = said.iter().copied().collect();
        let answer = self.wire.write(&format!("auth/{mount}/login"), None, &said).await?;
        let answer = match wire::good(&answer, &what) {
            Ok(answer) => answer,
            Err(Failed::Unavailable(why)) => return Err(Failed::Unavailable(why)),
            Err(Failed::Missing) => {
                return Err(Failed::Unusable(format!("{what}: there is no such method; look at `mount`, `namespace`")));
            }
            Err(Failed::Unusable(_)) => {
                let status = answer.status.as_u16();
                return Err(Failed::Unusable(format!("{what}: Vault does not accept who we say we are ({status})")));
            }
        };
        let token = answer.secret(&["auth", "client_token"]).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Failed::Unusable(format!("{what}: the answer has no token")))?.duplicate();
        let life = life(&answer, &["auth", "lease_duration"], &["auth", "renewable"], asked)?;
        Ok(Session { token, life: Mutex::new(life) })
    }

    /// A token that is there already. What it is allowed may be less than to look at itself: then
    /// its end is not known.
    async fn adopt(&self, token: Secret) -> Result<Session, Failed> {
        let asked = self.clock.boot();
        let answer = self.wire.read("auth/token/lookup-self", &token).await?;
        let life = match wire::good(&answer, "cannot look at our token") {
            Ok(answer) => life(&answer, &["data", "ttl"], &["data", "renewable"], asked)?,
            Err(Failed::Unavailable(why)) => return Err(Failed::Unavailable(why)),
            Err(_) => Life { end: None, span: Duration::ZERO, renewable: false },
        };
        Ok(Session { token, life: Mutex::new(life) })
    }
}

/// A life that begins now, with as many seconds as an answer says; 0 is one without an end.
fn life(answer: &SecretJson, seconds: &[&str], renewable: &[&str], asked: Duration) -> Result<Life, Failed> {
    let seconds = answer.count(seconds);
    let seconds =
        seconds.ok_or_else(|| Failed::Unavailable("its answer does not say how long a token lives".into()))?;
    let span = Duration::from_secs(seconds);
    let end = (seconds > 0).then(|| asked.saturating_add(span));
    Ok(Life { end, span, renewable: answer.is_true(renewable) })
}

fn unreadable(file: &std::path::Path, error: &std::io::Error) -> Failed {
    Failed::Unusable(format!("cannot read {}: {error}", file.display()))
}

fn not_text(file: &std::path::Path) -> Failed {
    Failed::Unusable(format!("{} holds something else than text", file.display()))
}
