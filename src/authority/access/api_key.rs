use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::Secret;

/// What every key starts with, so that scanners of repositories and logs find one.
const PREFIX: &str = "nx_live_";
/// 32 bytes in base64url, without padding.
const LETTERS: usize = 43;

/// A key that admits whoever holds it: `nx_live_` and 32 random bytes in base64url.
///
/// The store holds its hash alone; the text is shown once, to whoever made it.
pub struct ApiKey(Secret);

/// The SHA-256 of a key's text: how the store knows it.
///
/// 256 random bits need no salt and no slow hash, and a look-up by hash tells nothing by its
/// time: who cannot make a key cannot make a hash that is near to one.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::authority) struct KeyHash([u8; 32]);

impl ApiKey {
    /// Makes a key of 32 random bytes.
    pub(in crate::authority) fn new(random: &[u8; 32]) -> Self {
        let mut text = Vec::with_capacity(PREFIX.len() + LETTERS);
        text.extend_from_slice(PREFIX.as_bytes());
        let mut letters = [0; LETTERS];
        // It fits: 32 bytes are 43 letters.
        let written = URL_SAFE_NO_PAD.encode_slice(random, &mut letters).unwrap_or_default();
        text.extend_from_slice(&letters[..written]);
        zeroize::Zeroize::zeroize(&mut letters);
        Self(Secret::new(text))
    }

    /// Reads a key; `None` for what cannot be one.
    pub(in crate::authority) fn parse(text: &[u8]) -> Option<Self> {
        let letters = text.strip_prefix(PREFIX.as_bytes()).filter(|letters| letters.len() == LETTERS)?;
        let bytes = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(letters).ok()?);
        (bytes.len() == 32).then(|| Self(Secret::new(text)))
    }

    /// Tells whether a text means to be a key, right or wrong.
    pub(super) fn is_meant(text: &[u8]) -> bool {
        text.starts_with(PREFIX.as_bytes())
    }

    /// What the store knows it by.
    pub(in crate::authority) fn hash(&self) -> KeyHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.expose()).as_ref());
        KeyHash(hash)
    }

    /// The text, for a file that is to have it.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// The text, for whoever made the key and is to have it on standard output.
    pub fn text(&self) -> Option<&str> {
        self.0.expose_str()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[API key]")
    }
}

impl KeyHash {
    /// The bytes, as they are stored.
    pub(in crate::authority) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash of an API key]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_one_spelling_and_its_hash_is_of_its_text() {
        let key = ApiKey::new(&[0xff; 32]);
        let text = key.secret().expose_str().unwrap();
        assert_eq!(text, "nx_live___________________________________________8");
        // printf %s TEXT | sha256sum
        let want = digest(&SHA256, text.as_bytes());
        assert_eq!(key.hash().as_bytes(), want.as_ref());
        assert_eq!(ApiKey::parse(text.as_bytes()).unwrap().hash(), key.hash());
        for bad in [
            "",
            "nx_live_",
            "nx_live___________________________________________9",
            "nx_live____________________________________________8",
            "nx_live_________________________________________8",
            "nx_live__________________________________________8=",
            "nx_test___________________________________________8",
            "NX_LIVE___________________________________________8",
            " nx_live__________________________________________8",
        ] {
            assert!(ApiKey::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let key = ApiKey::new(&[7; 32]);
        assert_eq!(format!("{key:?} {:?}", key.hash()), "[API key] [hash of an API key]");
    }

    proptest! {
        #[test]
        fn what_was_made_is_read_and_nothing_makes_a_panic(random: [u8; 32], any in ".{0,60}") {
            let key = ApiKey::new(&random);
            prop_assert_eq!(ApiKey::parse(key.secret().expose()).unwrap().hash(), key.hash());
            prop_assert!(ApiKey::parse(any.as_bytes()).is_none());
        }
    }
}
