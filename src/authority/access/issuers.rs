use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::grant::Grant;
use super::key_set::{KeySet, KeySource};
use super::pattern::Pattern;
use super::{Denied, Principal};
use crate::config::{IssuerConfig, KeysFrom};
use crate::model::Workspace;
use crate::sign::jwt::{Claims, Expected, JwtError, Unverified};

/// The longest subject that is taken over into the audit.
const LONGEST_SUBJECT: usize = 255;

/// Whose tokens are accepted, for whom.
pub(super) struct Issuers(Vec<Issuer>);

struct Issuer {
    issuer: String,
    audience: String,
    keys: Arc<KeySet>,
    claims: Vec<(String, Pattern)>,
    grant: Grant,
}

impl Issuers {
    /// Takes the configuration over. Entries that name the same keys share them.
    pub(super) fn new<E>(
        configs: &[IssuerConfig],
        mut open: impl FnMut(&KeysFrom) -> Result<Box<dyn KeySource>, E>,
    ) -> Result<Self, E> {
        let mut sets: Vec<(&KeysFrom, Arc<KeySet>)> = Vec::new();
        let mut issuers = Vec::with_capacity(configs.len());
        for config in configs {
            let keys = match sets.iter().find(|(from, _)| **from == config.keys) {
                Some((_, keys)) => Arc::clone(keys),
                None => {
                    let keys = Arc::new(KeySet::new(open(&config.keys)?));
                    sets.push((&config.keys, Arc::clone(&keys)));
                    keys
                }
            };
            issuers.push(Issuer {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                keys,
                claims: config.claims.iter().map(|(path, text)| (path.clone(), Pattern::new(text))).collect(),
                grant: Grant::new(&config.scope),
            });
        }
        Ok(Self(issuers))
    }

    /// Admits a token by the first entry that accepts it. `wall` is in seconds since 1970, `boot`
    /// the time since boot.
    pub(super) fn admit(&self, token: &[u8], wall: i64, boot: Duration) -> Result<Principal, Denied> {
        let token = Unverified::parse(token).map_err(Denied::Token)?;
        let claimed = token.claimed_issuer().ok_or(Denied::Token(JwtError::Issuer))?;
        let mut denied = Denied::Token(JwtError::Issuer);
        for issuer in self.0.iter().filter(|issuer| issuer.issuer == claimed) {
            match issuer.admit(&token, wall, boot) {
                Ok(principal) => return Ok(principal),
                Err(error) => denied = error,
            }
        }
        Err(denied)
    }
}

impl Issuer {
    fn admit(&self, token: &Unverified<'_>, wall: i64, boot: Duration) -> Result<Principal, Denied> {
        let expected = Expected { issuer: &self.issuer, audience: &self.audience, now: wall };
        let keys = self.keys.current(boot).ok_or(Denied::NoKeys)?;
        let verified = match token.verify(&keys, &expected) {
            Err(JwtError::UnknownKey) => {
                let keys = self.keys.newer(&keys, boot).ok_or(Denied::Token(JwtError::UnknownKey))?;
                token.verify(&keys, &expected)
            }
            other => other,
        };
        let claims = verified.map_err(Denied::Token)?;
        if !self.claims.iter().all(|(path, pattern)| claims.at(path).is_some_and(|value| fits(value, pattern))) {
            return Err(Denied::Claims);
        }
        let subject = claims.subject().filter(|subject| is_plain(subject)).ok_or(Denied::Claims)?;
        let scope = self.grant.scope(|path| text_at(&claims, path)).ok_or(Denied::Claims)?;
        Ok(Principal::new(Workspace::local(), format!("jwt:{subject}@{}", self.issuer), scope))
    }
}

/// A claim fits as text, as `true` or `false`, or as a list of which one item fits.
fn fits(value: &Value, pattern: &Pattern) -> bool {
    match value {
        Value::String(text) => pattern.matches(text),
        Value::Bool(flag) => pattern.matches(if *flag { "true" } else { "false" }),
        Value::Array(items) => items.iter().any(|item| item.as_str().is_some_and(|text| pattern.matches(text))),
        _ => false,
    }
}

fn text_at(claims: &Claims, path: &str) -> Option<String> {
    claims.at(path)?.as_str().map(str::to_owned)
}

fn is_plain(subject: &str) -> bool {
    !subject.is_empty() && subject.len() <= LONGEST_SUBJECT && !subject.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
