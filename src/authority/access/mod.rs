//! Access: who calls the Authority, and what it may do.
//!
//! A caller shows an API key, a signed token or a client certificate ([`Presented`]); [`Access`]
//! makes a [`Principal`] of it, or says why not. Handlers ask the principal for what they are
//! about to do and get a value that proves it. Nothing here waits on an async worker, and nothing
//! that was shown is ever in a message.

mod api_key;
mod clients;
mod error;
mod grant;
mod issuers;
mod key_set;
mod key_url;
mod pattern;
mod presented;
mod principal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::config::{AccessConfig, KeysFrom};
use crate::dial::Dialer;
use crate::model::Workspace;
use crate::sign::jwt::JwtError;
use crate::telemetry::Clock;
use crate::tls::RootsError;

pub use api_key::ApiKey;
pub use error::AccessError;
pub use principal::Scope;

pub(in crate::authority) use api_key::KeyHash;
pub(in crate::authority) use presented::Presented;
pub(in crate::authority) use principal::{NotAllowed, Principal, Sight, Taker};

use super::StoreError;
use clients::Clients;
use issuers::Issuers;
use key_set::{FetchError, KeySource};
use key_url::KeysUrl;

/// Why a caller is not admitted. None of them quotes what was shown.
#[derive(Debug, thiserror::Error)]
pub(in crate::authority) enum Denied {
    /// Nothing was shown: 401.
    #[error("no API key, token or client certificate was presented")]
    Missing,
    /// More than one thing was shown: 401.
    #[error("several credentials were presented: present one")]
    Several,
    /// Not of a form that is known, or no key of this Authority: 401.
    #[error("the credential is not accepted")]
    Invalid,
    /// A signed token that is not accepted: 401.
    #[error("the token is not accepted: {0}")]
    Token(JwtError),
    /// A signed token whose claims no entry of `authority.issuers` takes: 401.
    #[error("the token is not accepted: nobody with its claims has access")]
    Claims,
    /// A certificate that no entry of `authority.clients` names: 401.
    #[error("the client certificate is not accepted: nobody with its names has access")]
    Certificate,
    /// The key was revoked: 410 `KEY_REVOKED`.
    #[error("the API key was revoked")]
    Revoked,
    /// The key's time is over: 410 `KEY_EXPIRED`.
    #[error("the API key has expired")]
    Expired,
    /// The issuer's keys cannot be had: 503, a little later it may work.
    #[error("the keys of the token's issuer cannot be had at the moment")]
    NoKeys,
    /// The store: 503.
    #[error("the key cannot be looked up")]
    Store(#[source] StoreError),
}

/// A key as the store has it.
#[derive(Clone, Debug)]
pub(in crate::authority) struct KnownKey {
    /// Its id, which is no secret.
    pub(in crate::authority) id: String,
    /// Where it belongs.
    pub(in crate::authority) workspace: Workspace,
    /// What it may do.
    pub(in crate::authority) scope: Scope,
    /// When it ends, in seconds since 1970.
    pub(in crate::authority) expires_at: Option<i64>,
    /// It was revoked.
    pub(in crate::authority) revoked: bool,
}

/// Makes what reaches out: over the certificates of this file, or over the usual ones.
pub type Dialers<'a> = &'a dyn Fn(Option<&Path>) -> Result<Arc<Dialer>, RootsError>;

/// Who is admitted: keys of the store, and the issuers and certificates of the configuration.
pub(in crate::authority) struct Access {
    issuers: Issuers,
    clients: Clients,
}

impl Access {
    /// Takes the configuration over. Keys are fetched when the first token needs them.
    pub(in crate::authority) fn new(config: &AccessConfig, dialers: Dialers<'_>) -> Result<Self, RootsError> {
        let issuers = Issuers::new(&config.issuers, |from| source(from, dialers))?;
        Ok(Self { issuers, clients: Clients::new(&config.clients) })
    }

    /// Admits a caller, or says why not.
    ///
    /// It may block: on `look_up`, and on a fetch of an issuer's keys.
    pub(in crate::authority) fn admit(
        &self,
        presented: &Presented,
        look_up: impl FnOnce(&KeyHash) -> Result<Option<KnownKey>, StoreError>,
        clock: &dyn Clock,
    ) -> Result<Principal, Denied> {
        let wall = clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        match presented {
            Presented::Key(key) => {
                let known = look_up(&key.hash()).map_err(Denied::Store)?.ok_or(Denied::Invalid)?;
                known.admit(wall)
            }
            Presented::Token(token) => self.issuers.admit(token.expose(), wall, clock.boot()),
            Presented::Certificate(leaf) => self.clients.admit(leaf),
        }
    }
}

impl KnownKey {
    fn admit(self, now: i64) -> Result<Principal, Denied> {
        if self.revoked {
            return Err(Denied::Revoked);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Denied::Expired);
        }
        Ok(Principal::new(self.workspace, format!("key:{}", self.id), self.scope))
    }
}

fn source(from: &KeysFrom, dialers: Dialers<'_>) -> Result<Box<dyn KeySource>, RootsError> {
    Ok(match from {
        KeysFrom::File(path) => Box::new(KeysFile(path.clone())),
        KeysFrom::Url { url, ca_file, bearer_file } => {
            Box::new(KeysUrl::new(dialers(ca_file.as_deref())?, url.clone(), bearer_file.clone()))
        }
    })
}

/// A key set in a file, read again as it grows old.
struct KeysFile(PathBuf);

impl KeySource for KeysFile {
    fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        std::fs::read(&self.0).map_err(FetchError::File)
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

#[cfg(test)]
mod tests;
