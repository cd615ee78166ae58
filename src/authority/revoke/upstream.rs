//! What a provider is told, and what its answers mean.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use crate::authority::rows::ConnectionRow;
use crate::model::{Fields, Secret};

/// Which token is meant (RFC 7009, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Hint {
    /// `refresh_token`.
    Refresh,
    /// `access_token`.
    Access,
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Answer {
    /// The token is good no longer.
    Revoked,
    /// It will not be revoked there, however often one asks: why, as a word of ours.
    Cannot(String),
    /// Nothing is known: to be asked again, not before that.
    Later {
        /// What the provider asked for.
        after: Option<Duration>,
        /// Why, for the log; nothing of it is secret.
        why: String,
    },
}

/// An answer to come.
pub(in crate::authority) type Telling<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// The way to providers.
pub(in crate::authority) trait Upstream: Send + Sync {
    /// Has one token of a connection revoked where the connection's pinned endpoints say.
    fn revoke<'a>(&'a self, row: &'a ConnectionRow, token: &'a Secret, hint: Hint) -> Telling<'a>;
}

/// The tokens of a connection, in the order that they are revoked: a refresh token's end is, at
/// most providers, its access tokens' too.
const TOKENS: [(&str, Hint); 2] = [("refresh_token", Hint::Refresh), ("access_token", Hint::Access)];

/// Which tokens are told. A provider's own call ends what was granted by its access token.
fn tokens(row: &ConnectionRow, fields: &Fields) -> &'static [(&'static str, Hint)] {
    let endpoints = row.endpoints.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let own = endpoints.is_some_and(|endpoints| endpoints.get("revocation").is_some_and(Value::is_object));
    if own && fields.get("access_token").is_some() { &TOKENS[1..] } else { &TOKENS }
}

/// Tells whether a connection's provider declares how to take tokens back, and there is one.
pub(super) fn can_be_told(row: &ConnectionRow) -> bool {
    let endpoints = row.endpoints.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let declared = endpoints.is_some_and(|endpoints| endpoints.get("revocation").is_some_and(|way| !way.is_null()));
    let names: Vec<String> = serde_json::from_str(&row.field_names).unwrap_or_default();
    declared && TOKENS.iter().any(|(token, _)| names.iter().any(|name| name == token))
}

/// What came of telling a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All tokens are revoked.
    Upstream,
    /// Not all of them will be.
    Local {
        /// The refresh token among them.
        renewable: bool,
        why: String,
    },
    /// To be asked again.
    Later { after: Option<Duration>, why: String },
}

/// Has each token revoked. One that is left keeps it from being told as revoked upstream.
pub(super) async fn tell(upstream: &dyn Upstream, row: &ConnectionRow, fields: &Fields) -> Outcome {
    let mut left = None;
    for &(name, hint) in tokens(row, fields) {
        let Some(token) = fields.get(name) else { continue };
        match upstream.revoke(row, token, hint).await {
            Answer::Revoked => {}
            Answer::Later { after, why } => return Outcome::Later { after, why },
            Answer::Cannot(why) => {
                left.get_or_insert(Outcome::Local { renewable: hint == Hint::Refresh, why });
            }
        }
    }
    left.unwrap_or(Outcome::Upstream)
}
