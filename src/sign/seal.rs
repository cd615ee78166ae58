use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::model::Secret;

/// AES-256-GCM under one key, with associated data: how the vault, and our CA's key, lie on disk.
pub struct Sealer {
    key: LessSafeKey,
    /// Keys that open as well, while one takes the place of another.
    others: Vec<LessSafeKey>,
}

/// What makes a sealed value unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not 32 bytes.
    #[error("the key is not 32 bytes")]
    Key,
    /// Longer than AES-GCM takes under one nonce (64 GiB).
    #[error("it is too long to seal")]
    TooLong,
    /// Another key, other associated data, or changed bytes.
    #[error("it was sealed under another key, or was changed")]
    Open,
}

impl Sealer {
    /// Takes the 32 bytes of a key.
    pub fn new(key: &Secret) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| SealError::Key)?;
        Ok(Self { key: LessSafeKey::new(key), others: Vec::new() })
    }

    /// Opens under the keys of others as well; it seals under its own alone.
    #[must_use]
    pub fn opening_also(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        self.others.extend(others.into_iter().map(|other| other.key));
        self
    }

    /// Seals: `nonce (12 bytes) || ciphertext || tag (16 bytes)`. The caller draws the nonce at
    /// random; two values under one nonce would show their difference (NIST SP 800-38D,
    /// section 8).
    pub fn seal(&self, nonce: [u8; NONCE_LEN], associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + MAX_TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let body = &mut sealed[NONCE_LEN..];
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::from(associated), body).map_err(|_| SealError::TooLong)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what `seal` made.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Secret, SealError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Open)?;
        let mut keys = std::iter::once(&self.key).chain(&self.others);
        keys.find_map(|key| open(key, *nonce, associated, body)).ok_or(SealError::Open)
    }
}

fn open(key: &LessSafeKey, nonce: [u8; NONCE_LEN], associated: &[u8], body: &[u8]) -> Option<Secret> {
    let mut body = Zeroizing::new(body.to_vec());
    let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut body).ok()?;
    Some(Secret::new(&*plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_key_and_data_alone() {
        let sealed = sealer(1).seal([7; 12], b"local/github/1", b"hunter2").unwrap();
        assert_eq!(sealed.len(), 12 + 7 + 16);
        assert_eq!(sealed[..12], [7; 12]);
        assert_eq!(sealer(1).open(b"local/github/1", &sealed).unwrap().expose(), b"hunter2");
        assert_eq!(sealer(2).open(b"local/github/1", &sealed).unwrap_err(), SealError::Open);
        assert_eq!(sealer(1).open(b"local/github/2", &sealed).unwrap_err(), SealError::Open);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer(1).open(b"local/github/1", &changed).unwrap_err(), SealError::Open, "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(sealer(1).open(b"local/github/1", &sealed[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn others_open_and_never_seal() {
        let both = sealer(2).opening_also([sealer(1)]);
        let old = sealer(1).seal([7; 12], b"a", b"hunter2").unwrap();
        assert_eq!(both.open(b"a", &old).unwrap().expose(), b"hunter2");
        assert_eq!(both.open(b"b", &old).unwrap_err(), SealError::Open);
        let new = both.seal([8; 12], b"a", b"hunter2").unwrap();
        assert!(sealer(2).open(b"a", &new).is_ok() && sealer(1).open(b"a", &new).is_err());
    }

    #[test]
    fn an_empty_value_and_empty_data() {
        let sealed = sealer(3).seal([0; 12], b"", b"").unwrap();
        assert!(sealer(3).open(b"", &sealed).unwrap().is_empty());
    }

    /// The GCM specification's test case 14: an all-zero key, nonce and block.
    #[test]
    fn a_published_vector() {
        let sealed = sealer(0).seal([0; 12], b"", &[0; 16]).unwrap();
        assert_eq!(hex::encode(&sealed[12..]), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    }

    #[test]
    fn other_key_lengths_are_refused() {
        for length in [0, 16, 31, 33] {
            assert_eq!(Sealer::new(&Secret::new(vec![0; length])).err(), Some(SealError::Key));
        }
    }
}
