//! Keys of AWS: kept ones, those of the machine, and sessions of a role over any of them.

mod base;
mod profile;
mod session;
mod sts;
mod xml;

use std::time::SystemTime;

use tokio::sync::watch;

use super::calls::{Calls, Trouble, scope};
use crate::config::{AwsBase, AwsConnection, AwsSource};
use crate::lease::watched::Watched;
use crate::lease::{Ask, Asked, Fetch, Fetched, Followed};
use crate::model::{Fields, Secret};

/// Gives keys of AWS.
pub struct AwsFetch {
    source: AwsSource,
    calls: Calls,
    /// The files of keys that last: nothing else tells that they were exchanged.
    kept: Watched,
}

/// A key, and its end.
struct Keys {
    fields: Fields,
    expires_at: Option<SystemTime>,
    refreshable: bool,
}

impl Keys {
    fn new(access_key: Secret, secret_key: Secret, session_token: Option<Secret>) -> Self {
        let mut fields = Fields::new();
        fields.insert("access_key", access_key);
        fields.insert("secret_key", secret_key);
        if let Some(token) = session_token {
            fields.insert("session_token", token);
        }
        Self { fields, expires_at: None, refreshable: false }
    }

    /// One that was minted, and ends.
    fn until(self, end: SystemTime) -> Self {
        Self { expires_at: Some(end), refreshable: true, ..self }
    }
}

impl AwsFetch {
    /// Starts from the keys of this source.
    pub fn new(source: &AwsSource, calls: Calls) -> Self {
        let files = match &source.base {
            AwsBase::Static { access_key_file, secret_key_file, session_token_file } => {
                let both = [access_key_file, secret_key_file].into_iter();
                both.chain(session_token_file).cloned().collect()
            }
            AwsBase::Profile { file, .. } => vec![file.clone()],
            _ => Vec::new(),
        };
        Self { source: source.clone(), kept: Watched::new(files, calls.clock()), calls }
    }

    async fn keys(&self, place: &AwsConnection, ask: &Ask) -> Result<Keys, Trouble> {
        let narrowed = match &ask.scope {
            Some(_) => place.narrowed(&scope(ask)).map_err(Trouble::Unusable)?,
            None => place.clone(),
        };
        let session = session::Session::of(ask, &narrowed);
        let base = match &self.source.base {
            AwsBase::WebIdentity { token_file, role_arn } => {
                // What narrows is for the last session that is made.
                let session = if narrowed.role.is_some() { session.plain() } else { session.clone() };
                self.with_token(token_file, role_arn, &session).await?
            }
            other => self.first(other).await?,
        };
        match &narrowed.role {
            Some(role) => self.assume(role, &session, &base.fields).await,
            None => Ok(base),
        }
    }
}

impl Fetch for AwsFetch {
    type Place = AwsConnection;

    fn fetch<'a>(&'a self, place: &'a AwsConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async {
            let keys = self.keys(place, ask).await.map_err(|trouble| trouble.of(&ask.connection))?;
            let Keys { fields, expires_at, refreshable } = keys;
            Ok(Fetched { fields, expires_at, refreshable })
        })
    }

    fn narrows(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.kept.changes())
    }

    fn follow(&self) -> Followed<'_> {
        Box::pin(self.kept.look())
    }
}

#[cfg(test)]
mod tests;
