use crate::model::{Algorithm, Secret};

/// HMAC (RFC 2104) of a message under a key's bytes.
pub fn hmac(_algorithm: Algorithm, _key: &Secret, _message: &[u8]) -> Vec<u8> {
    todo!()
}
