//! The secrets of one demonstration: made for it, known to the services and to the store, and
//! looked for wherever they must not be.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::DemoError;

/// Fresh credentials of three services.
pub(super) struct Secrets {
    /// An OAuth 2.0 access token.
    pub(super) tickets: String,
    /// The access key: named in every signature, so that it is no secret itself.
    pub(super) access_key: String,
    /// What signatures are made with.
    pub(super) secret_key: String,
    /// A bearer token.
    pub(super) chat: String,
}

impl Secrets {
    /// Draws all of them at random.
    pub(super) fn draw() -> Result<Self, DemoError> {
        Ok(Self {
            tickets: random()?,
            access_key: format!("AKIA{}", random()?[..16].to_uppercase()),
            secret_key: random()?,
            chat: random()?,
        })
    }

    /// The names of the secrets that a text holds: plain, in Base64 (at any offset) or in hex.
    pub(super) fn found_in(&self, text: &[u8]) -> Vec<&'static str> {
        let named = [("access token", &self.tickets), ("secret key", &self.secret_key), ("chat token", &self.chat)];
        let is_in = |secret: &str| spellings(secret).iter().any(|spelling| contains(text, spelling.as_bytes()));
        named.into_iter().filter(|(_, secret)| is_in(secret)).map(|(name, _)| name).collect()
    }
}

fn random() -> Result<String, DemoError> {
    let mut bytes = [0; 20];
    rand::fill(&mut bytes).map_err(|_| DemoError::Random)?;
    Ok(hex::encode(bytes))
}

fn spellings(secret: &str) -> Vec<String> {
    let mut all = vec![secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)];
    for offset in 0..3 {
        let shifted = [" ".repeat(offset).as_bytes(), secret.as_bytes()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // The characters at both ends depend on what stands beside the secret.
            all.push(encoded[4..encoded.len() - 4].to_owned());
        }
    }
    all
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let secrets = Secrets::draw().unwrap();
        for text in [
            format!("x={}&y", secrets.chat),
            STANDARD.encode(format!("user:{}", secrets.chat)),
            STANDARD.encode(format!("me:{}\n", secrets.chat)),
            STANDARD.encode(&secrets.chat),
            hex::encode(format!("..{}", secrets.chat)),
        ] {
            assert_eq!(secrets.found_in(text.as_bytes()), ["chat token"], "{text}");
        }
    }

    #[test]
    fn what_may_be_shown_is_not_found() {
        let secrets = Secrets::draw().unwrap();
        let shown = format!("{} {}…", secrets.access_key, &secrets.tickets[..4]);
        assert!(secrets.found_in(shown.as_bytes()).is_empty());
        assert!(secrets.found_in(b"").is_empty());
        assert_ne!(secrets.chat, Secrets::draw().unwrap().chat);
    }
}
