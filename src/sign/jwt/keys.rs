use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json;

/// The longest key set that is read, and the most keys of it.
const LONGEST: usize = 256 << 10;
const MOST: usize = 100;

/// How a token may be signed. There is no `none`, and nothing that is keyed with a shared secret:
/// a public key that is taken for one would let anyone sign (RFC 8725, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JwsAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

use JwsAlgorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};

impl JwsAlgorithm {
    /// The name in a header and in a key. Names are compared as they are, case included.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Rs256,
            "RS384" => Rs384,
            "RS512" => Rs512,
            "PS256" => Ps256,
            "PS384" => Ps384,
            "PS512" => Ps512,
            "ES256" => Es256,
            "ES384" => Es384,
            // RFC 9864 names it `Ed25519`; both mean the same curve here.
            "EdDSA" | "Ed25519" => EdDsa,
            _ => return None,
        })
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Es256 | Es384 | EdDsa => return None,
        })
    }
}

/// The public keys of an issuer (a JWK Set, RFC 7517).
///
/// What a key may verify comes from the key, never from the token: its type and curve, narrowed
/// by its `alg`.
#[derive(Debug)]
pub struct Jwks(Vec<Key>);

/// What makes a text no key set that could verify anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// More than is read.
    #[error("it is longer than 256 KiB, or holds more than 100 keys")]
    TooLong,
    /// Not a JWK Set.
    #[error("it is no JSON object with a list `keys`")]
    Malformed,
    /// Nothing of use in it.
    #[error("it holds no public key to verify with (RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519)")]
    NoKey,
}

impl Jwks {
    /// Reads a key set. Keys of other kinds, for other uses, and broken ones are left out (RFC
    /// 7517, section 5).
    pub fn parse(bytes: &[u8]) -> Result<Self, JwksError> {
        if bytes.len() > LONGEST {
            return Err(JwksError::TooLong);
        }
        let set = json::object(bytes).ok_or(JwksError::Malformed)?;
        let Some(Value::Array(keys)) = set.get("keys") else { return Err(JwksError::Malformed) };
        if keys.len() > MOST {
            return Err(JwksError::TooLong);
        }
        let keys: Vec<Key> = keys.iter().filter_map(|key| Key::read(key.as_object()?)).collect();
        if keys.is_empty() { Err(JwksError::NoKey) } else { Ok(Self(keys)) }
    }

    /// The keys that may have signed: those with the id that the token names, or, for a token
    /// that names none, the only one that its algorithm fits.
    pub(super) fn fitting(&self, id: Option<&str>, algorithm: JwsAlgorithm) -> Vec<&Key> {
        let fitting = self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
        match id {
            Some(id) => fitting.filter(|key| key.id.as_deref() == Some(id)).collect(),
            None => {
                let keys: Vec<&Key> = fitting.collect();
                if keys.len() == 1 { keys } else { Vec::new() }
            }
        }
    }

    /// Tells whether a key has this id, whatever it may verify.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }
}

/// One public key.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<JwsAlgorithm>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    Parsed(Box<ParsedPublicKey>),
}

impl Key {
    fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let for_signatures = match (key.get("use"), key.get("key_ops")) {
            (Some(usage), _) if usage.as_str() != Some("sig") => false,
            (_, Some(operations)) => operations.as_array()?.iter().any(|one| one.as_str() == Some("verify")),
            _ => true,
        };
        if !for_signatures {
            return None;
        }
        let (public, mut algorithms) = match (text("kty")?, text("crv")) {
            ("RSA", None) => (rsa(text("n")?, text("e")?)?, vec![Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]),
            ("EC", Some("P-256")) => (point(key, 32, &signature::ECDSA_P256_SHA256_FIXED)?, vec![Es256]),
            ("EC", Some("P-384")) => (point(key, 48, &signature::ECDSA_P384_SHA384_FIXED)?, vec![Es384]),
            ("OKP", Some("Ed25519")) => (parsed(&signature::ED25519, &number(text("x")?, 32)?)?, vec![EdDsa]),
            _ => return None,
        };
        if let Some(named) = key.get("alg") {
            let named = JwsAlgorithm::parse(named.as_str()?)?;
            algorithms.retain(|algorithm| *algorithm == named);
        }
        let id = match key.get("kid") {
            Some(id) => Some(id.as_str()?.to_owned()),
            None => None,
        };
        (!algorithms.is_empty()).then_some(Self { id, algorithms, public })
    }

    /// Tells whether the key made this signature.
    pub(super) fn signed(&self, algorithm: JwsAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.algorithms.contains(&algorithm) {
            return false;
        }
        match (&self.public, algorithm.rsa()) {
            (Public::Rsa(key), Some(parameters)) => key.verify(parameters, message, signature).is_ok(),
            (Public::Parsed(key), None) => key.verify_sig(message, signature).is_ok(),
            _ => false,
        }
    }
}

fn rsa(n: &str, e: &str) -> Option<Public> {
    // Some issuers write the sign byte of DER along.
    let bytes = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let start = bytes.iter().position(|byte| *byte != 0)?;
        Some(bytes[start..].to_vec())
    };
    let (n, e) = (bytes(n)?, bytes(e)?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let exponent = e.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))?;
    // An exponent of 1 verifies everything; a huge one costs as much as signing.
    let sound = (2048..=8192).contains(&bits)
        && n.last()? & 1 == 1
        && exponent >= 3
        && exponent & 1 == 1
        && exponent <= u64::from(u32::MAX);
    sound.then_some(Public::Rsa(RsaPublicKeyComponents { n, e }))
}

/// A point in the form of SEC 1, section 2.3.3; one that is not on the curve is refused.
fn point(key: &Map<String, Value>, size: usize, curve: &'static dyn VerificationAlgorithm) -> Option<Public> {
    let coordinate = |name: &str| number(key.get(name)?.as_str()?, size);
    parsed(curve, &[&[4], &*coordinate("x")?, &*coordinate("y")?].concat())
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Option<Public> {
    Some(Public::Parsed(Box::new(ParsedPublicKey::new(algorithm, bytes).ok()?)))
}

/// A number of so many bytes, leading zeros included (RFC 7518, section 6.2.1.2).
fn number(text: &str, size: usize) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == size)
}

#[cfg(test)]
mod tests;
