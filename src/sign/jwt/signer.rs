use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
// What is random comes as an argument, as time does.
use aws_lc_rs::{digest, rand as source_of_random};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Draws what a signature may need.
pub use source_of_random::SecureRandom;

/// Signs tokens in our own name with an RSA key: assertions for token endpoints (RFC 7523), and the
/// like.
pub struct RsaSigner(RsaKeyPair);

/// How (RFC 7518, sections 3.3 and 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaAlgorithm {
    /// PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// PSS with SHA-256.
    Ps256,
}

/// What makes a text no key to sign with. None of them quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block of a private key, several, or one that is cut.
    #[error("it holds no private key in PEM form (BEGIN PRIVATE KEY, or BEGIN RSA PRIVATE KEY)")]
    NotPem,
    /// A passphrase would be needed.
    #[error("the key is encrypted: write it without a passphrase (openssl pkey -in KEY -out PLAIN)")]
    Encrypted,
    /// Another kind of key, or a weak one.
    #[error("it is no RSA key of 2048 to 8192 bits")]
    NotRsa,
    /// The library signs nothing with it.
    #[error("nothing can be signed with it")]
    Unfit,
}

impl RsaSigner {
    /// Reads a key in PEM form: PKCS#8 (RFC 5958) or PKCS#1 (RFC 8017).
    pub fn from_pem(pem: &Secret) -> Result<Self, KeyError> {
        let text = pem.expose_str().ok_or(KeyError::NotPem)?;
        if text.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let pair = match (block(text, "PRIVATE KEY"), block(text, "RSA PRIVATE KEY")) {
            (Some(pkcs8), None) => RsaKeyPair::from_pkcs8(&pkcs8),
            (None, Some(pkcs1)) => RsaKeyPair::from_der(&pkcs1),
            _ => return Err(KeyError::NotPem),
        };
        pair.map(Self).map_err(|_| KeyError::NotRsa)
    }

    /// A token in the compact form (RFC 7515, section 7.1). `header` has what stands beside `alg` and
    /// `typ`.
    pub fn sign(
        &self,
        algorithm: RsaAlgorithm,
        header: &Map<String, Value>,
        claims: &Map<String, Value>,
        random: &dyn SecureRandom,
    ) -> Result<Secret, KeyError> {
        let (name, encoding): (&str, &dyn RsaEncoding) = match algorithm {
            RsaAlgorithm::Rs256 => ("RS256", &RSA_PKCS1_SHA256),
            RsaAlgorithm::Ps256 => ("PS256", &RSA_PSS_SHA256),
        };
        let mut whole = header.clone();
        whole.insert("alg".to_owned(), name.into());
        whole.insert("typ".to_owned(), "JWT".into());
        let encode = |object: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(object.clone()).to_string());
        let signed = format!("{}.{}", encode(&whole), encode(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(encoding, random, signed.as_bytes(), &mut signature).map_err(|_| KeyError::Unfit)?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature))))
    }
}

/// `x5t#S256` (RFC 7515, section 4.1.8) of the first certificate of a PEM text.
pub fn thumbprint(pem: &str) -> Option<String> {
    let der = block(pem, "CERTIFICATE")?;
    Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der)))
}

/// What the first block of this label holds (RFC 7468). A second private key beside it is none of
/// ours to choose from.
fn block(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (_, rest) = text.split_once(&begin)?;
    let (body, rest) = rest.split_once(&end)?;
    if label != "CERTIFICATE" && rest.contains(&begin) {
        return None;
    }
    let packed: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    STANDARD.decode(&*packed).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::jwt::for_tests::RsaFile;
    use crate::sign::jwt::{Expected, Jwks, Unverified};

    #[test]
    fn both_forms_of_a_key_sign_what_its_public_half_verifies() {
        let file = RsaFile::new();
        let keys = Jwks::parse(&file.jwks("k1")).unwrap();
        let claims = serde_json::json!({"iss": "me", "aud": "them", "exp": 2_000, "iat": 1_000});
        let header = serde_json::json!({"kid": "k1"});
        for pem in [file.pkcs8(), file.pkcs1()] {
            let signer = RsaSigner::from_pem(&Secret::new(pem)).unwrap();
            for algorithm in [RsaAlgorithm::Rs256, RsaAlgorithm::Ps256] {
                let random = aws_lc_rs::rand::SystemRandom::new();
                let token = signer.sign(algorithm, header.as_object().unwrap(), claims.as_object().unwrap(), &random);
                let token = token.unwrap();
                let read = Unverified::parse(token.expose()).unwrap();
                read.verify(&keys, &Expected { issuer: "me", audience: "them", now: 1_500 }).unwrap();
            }
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_quoting_it() {
        let good = RsaFile::new().pkcs8();
        let cut = good.replace("-----END PRIVATE KEY-----", "");
        let body = good.lines().nth(1).unwrap().to_owned();
        for (pem, want) in [
            (String::new(), KeyError::NotPem),
            ("canary".to_owned(), KeyError::NotPem),
            (cut, KeyError::NotPem),
            (format!("{good}{good}"), KeyError::NotPem),
            (good.replace(&body, "!!"), KeyError::NotPem),
            (good.replace(&body, ""), KeyError::NotRsa),
            (good.replace("PRIVATE", "ENCRYPTED PRIVATE"), KeyError::Encrypted),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(), KeyError::NotRsa),
        ] {
            let error = RsaSigner::from_pem(&Secret::new(pem.clone())).err();
            assert_eq!(error, Some(want), "{pem}");
        }
    }

    #[test]
    fn a_certificate_has_the_thumbprint_of_its_bytes() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
        assert_eq!(thumbprint(pem).as_deref(), Some("rksygOVuL6-D9BSm49q-nV--GJdlRMBf7RIazLhbU_w"));
        assert_eq!(thumbprint("nothing"), None);
    }
}
