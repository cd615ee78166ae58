use crate::model::Secret;

/// AES-256-GCM under one key, with associated data: how the vault, and our CA's key, lie on disk.
pub struct Sealer {}

/// What makes a sealed value unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not 32 bytes.
    #[error("the key is not 32 bytes")]
    Key,
    /// Another key, other associated data, or changed bytes.
    #[error("it was sealed under another key, or was changed")]
    Open,
}

impl Sealer {
    /// Takes the 32 bytes of a key.
    pub fn new(_key: &Secret) -> Result<Self, SealError> {
        todo!()
    }

    /// Seals: `nonce (12 bytes) || ciphertext || tag`. The caller draws the nonce at random.
    pub fn seal(&self, _nonce: [u8; 12], _associated: &[u8], _plain: &[u8]) -> Result<Vec<u8>, SealError> {
        todo!()
    }

    /// Opens what `seal` made.
    pub fn open(&self, _associated: &[u8], _sealed: &[u8]) -> Result<Secret, SealError> {
        todo!()
    }
}
