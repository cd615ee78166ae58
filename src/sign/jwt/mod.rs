//! Verifies JSON Web Tokens (RFC 7519, with the advice of RFC 8725) by an issuer's key set (RFC
//! 7517), and signs our own ([`RsaSigner`]).
//!
//! Pure: keys and time are arguments. What a token says of itself decides nothing but which key
//! is tried; the headers that bring keys along (`jwk`, `jku`, `x5c`, `x5u`) are never read. It is
//! written over aws-lc-rs, which is here anyway, so that the order of the checks is ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

mod json;
mod keys;
mod signer;

#[cfg(test)]
pub(crate) mod for_tests;
#[cfg(test)]
mod tests;

pub use keys::{Jwks, JwksError};
pub use signer::{KeyError, RsaAlgorithm, RsaSigner, SecureRandom, thumbprint};

use keys::JwsAlgorithm;

/// The longest token that is read. Those of clusters and of most issuers have one or two KiB.
const LONGEST: usize = 16 << 10;
/// How far an issuer's clock may be ahead of ours, in seconds.
const LEEWAY: f64 = 60.0;
/// The year 10000: a time past it is a mistake, or milliseconds.
const LAST: f64 = 253_402_300_800.0;

/// What a token must be for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// One of `aud`, exactly.
    pub audience: &'a str,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// Why a token is not accepted. None of them quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not a signed token in the compact form, or one with something that is not understood.
    #[error("it is no signed token (RFC 7519) that is understood here")]
    Malformed,
    /// `none`, a shared secret's, or an unknown algorithm.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// The key set has no key with its `kid`; a newer set may have one.
    #[error("the issuer's key set has no key of that id")]
    UnknownKey,
    /// There is a key of that id, and it may not sign so; or the token names no key and several fit.
    #[error("no key of the issuer's fits it")]
    NoFittingKey,
    /// The signature is another key's, or the token was changed.
    #[error("its signature does not fit")]
    Signature,
    /// Another `iss`.
    #[error("it is another issuer's")]
    Issuer,
    /// Another `aud`.
    #[error("it is for another audience")]
    Audience,
    /// Past `exp`.
    #[error("it has expired")]
    Expired,
    /// Before `nbf` or `iat`.
    #[error("it is not valid yet")]
    NotYet,
}

/// A token as it was presented: read, and not yet believed.
pub struct Unverified<'a> {
    signed: &'a [u8],
    signature: Vec<u8>,
    algorithm: JwsAlgorithm,
    key: Option<String>,
    claims: Map<String, Value>,
}

/// The claims of a token that was verified.
#[derive(Debug)]
pub struct Claims(Map<String, Value>);

impl<'a> Unverified<'a> {
    /// Reads a token in the compact form.
    pub fn parse(token: &'a [u8]) -> Result<Self, JwtError> {
        if token.len() > LONGEST {
            return Err(JwtError::Malformed);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Malformed);
        };
        let signed = &token[..header.len() + 1 + claims.len()];
        // Strict: no padding, no blanks, no bits left over. One token has one spelling.
        let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed);
        let header = json::object(&decode(header)?).ok_or(JwtError::Malformed)?;
        let (algorithm, key) = read_header(&header)?;
        let claims = json::object(&decode(claims)?).ok_or(JwtError::Malformed)?;
        Ok(Self { signed, signature: decode(signature)?, algorithm, key, claims })
    }

    /// Who it says has issued it: good for choosing whose keys to try, and for nothing else.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Verifies the signature, then issuer, audience and times; gives the claims.
    pub fn verify(&self, keys: &Jwks, expected: &Expected<'_>) -> Result<Claims, JwtError> {
        let fitting = keys.fitting(self.key.as_deref(), self.algorithm);
        if fitting.is_empty() {
            let known = self.key.as_ref().is_none_or(|id| keys.knows(id));
            return Err(if known { JwtError::NoFittingKey } else { JwtError::UnknownKey });
        }
        if !fitting.iter().any(|key| key.signed(self.algorithm, self.signed, &self.signature)) {
            return Err(JwtError::Signature);
        }
        if self.claimed_issuer() != Some(expected.issuer) {
            return Err(JwtError::Issuer);
        }
        check_audience(&self.claims, expected.audience)?;
        check_times(&self.claims, expected.now)?;
        Ok(Claims(self.claims.clone()))
    }
}

impl Claims {
    /// The claim of a name, or the value that a JSON pointer (RFC 6901, it starts with `/`) finds.
    pub fn at(&self, path: &str) -> Option<&Value> {
        let Some(steps) = path.strip_prefix('/') else { return self.0.get(path) };
        let mut steps = steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        let first = self.0.get(&steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_object()?.get(&step))
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.0.get("sub").and_then(Value::as_str)
    }
}

/// When a token says that it ends (`exp`), in seconds since 1970, rounded down; `None` where it is no
/// token, or has no end. Nothing of it is verified: it is for whoever holds a token of its own, and
/// has to ask for another in time.
pub fn claimed_end(token: &[u8]) -> Option<u64> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let claims = json::object(&URL_SAFE_NO_PAD.decode(claims).ok()?)?;
    let end = claims.get("exp")?.as_f64().filter(|end| (0.0..LAST).contains(end))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to the year 10000")]
    Some(end as u64)
}

fn read_header(header: &Map<String, Value>) -> Result<(JwsAlgorithm, Option<String>), JwtError> {
    // `crit` names what must be understood, and nothing of it is; `b64` changes what is signed
    // (RFC 7797); `enc` and `zip` are of encrypted tokens.
    if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
        return Err(JwtError::Malformed);
    }
    if let Some(kind) = header.get("typ") {
        // A token made for something else, such as a logout, is none for us (RFC 8725, 3.11).
        let kind = kind.as_str().ok_or(JwtError::Malformed)?.to_ascii_lowercase();
        if !matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt") {
            return Err(JwtError::Malformed);
        }
    }
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(JwtError::Malformed)?;
    let algorithm = JwsAlgorithm::parse(algorithm).ok_or(JwtError::Algorithm)?;
    match header.get("kid") {
        Some(Value::String(id)) => Ok((algorithm, Some(id.clone()))),
        Some(_) => Err(JwtError::Malformed),
        None => Ok((algorithm, None)),
    }
}

fn check_audience(claims: &Map<String, Value>, audience: &str) -> Result<(), JwtError> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    };
    if named { Ok(()) } else { Err(JwtError::Audience) }
}

/// `exp` must be there and ahead: tokens that never end are not accepted. `nbf` and `iat` may be
/// ahead of our clock by a minute.
fn check_times(claims: &Map<String, Value>, now: i64) -> Result<(), JwtError> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|time| (0.0..LAST).contains(time)) {
            Some(time) => Ok(Some(time)),
            None => Err(JwtError::Malformed),
        },
    };
    // Exact below 2^53 seconds.
    let now = now as f64;
    let (end, start, issued) = (time("exp")?, time("nbf")?, time("iat")?);
    if end.ok_or(JwtError::Malformed)? <= now {
        return Err(JwtError::Expired);
    }
    if [start, issued].into_iter().flatten().any(|time| time > now + LEEWAY) {
        return Err(JwtError::NotYet);
    }
    Ok(())
}
