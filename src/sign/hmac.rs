use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, Key, sign};

use crate::model::{Algorithm, Secret};

/// HMAC (RFC 2104) of a message under a key's bytes, undecoded. SHA-1 is here for services that
/// know nothing else; as an HMAC it is not broken.
pub fn hmac(algorithm: Algorithm, key: &Secret, message: &[u8]) -> Vec<u8> {
    let hash = match algorithm {
        Algorithm::Sha256 => HMAC_SHA256,
        Algorithm::Sha1 => HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    };
    sign(&Key::new(hash, key.expose()), message).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, and RFC 2202, section 3, test case 2; then a key longer than a
    /// block (RFC 4231, test case 6, and RFC 2202, test case 6).
    #[test]
    fn published_vectors() {
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let what = b"what do ya want for nothing?";
        for (algorithm, key, message, want) in [
            (
                Algorithm::Sha256,
                b"Jefe".to_vec(),
                what.as_slice(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (Algorithm::Sha1, b"Jefe".to_vec(), what, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Algorithm::Sha256,
                vec![0xaa; 131],
                long,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (Algorithm::Sha1, vec![0xaa; 80], long, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
        ] {
            assert_eq!(hex::encode(hmac(algorithm, &Secret::new(key), message)), want);
        }
    }
}
