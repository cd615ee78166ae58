use std::time::SystemTime;

use crate::model::{Fields, Path, Query};

/// What stands for the body in the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadHash {
    /// Lower-case hex of the body's SHA-256, of the caller or of our own.
    Hex(String),
    /// `UNSIGNED-PAYLOAD` (S3 over TLS).
    Unsigned,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER` (S3, what current SDKs send over TLS).
    StreamingUnsignedTrailer,
}

/// Service and region, and the rules that differ by service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4Settings {
    /// Such as `s3`.
    pub service: String,
    /// Such as `us-east-1`.
    pub region: String,
}

/// A request below the proof types, so that published vectors can run through the same function.
#[derive(Debug)]
pub struct SigV4Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The raw path, such as `/a%20b`.
    pub path: &'a str,
    /// The raw query, without `?`.
    pub query: Option<&'a str>,
    /// The headers to sign, `host` among them: names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body's stand-in.
    pub payload: &'a PayloadHash,
}

/// The headers that the signature adds, values marked as sensitive where they are.
pub type SignedHeaders = Vec<(http::HeaderName, http::HeaderValue)>;

/// What makes a request one that cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// A credential field.
    #[error("the credential field {0} is missing, empty or not text")]
    Field(&'static str),
    /// The signer refused the request.
    #[error("the request cannot be signed: {0}")]
    Request(String),
}

/// Signs a request with `access_key`, `secret_key` and, if there, `session_token`.
pub fn sign(
    _request: &SigV4Request<'_>,
    _settings: &SigV4Settings,
    _credentials: &Fields,
    _now: SystemTime,
) -> Result<SignedHeaders, SigV4Error> {
    let _ = (Path::parse("/"), Query::default());
    todo!()
}
