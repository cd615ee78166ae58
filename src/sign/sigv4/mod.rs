//! AWS Signature Version 4 in headers, by the `aws-sigv4` crate.
//!
//! This function stands below `Path` and `Outbound`, so that published vectors can run through
//! it. It never sees the body, only what stands for it. What the crate would do to a path and a
//! query depends on settings that do not cover every case, and its URI type refuses or panics on
//! some inputs; so [`canonical`] writes both in their signed form and the crate takes them as
//! they are.
//!
//! The crate prints a body to the log where `LOG_SIGNABLE_BODY` is set in the environment. It is
//! given none here, and the sidecar refuses to start with that variable all the same.

mod canonical;
#[cfg(test)]
mod suite;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::digest;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue};

use crate::model::Fields;

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

impl PayloadHash {
    /// The hash of a whole body.
    pub fn of(body: &[u8]) -> Self {
        Self::Hex(hex::encode(digest::digest(&digest::SHA256, body)))
    }
}

/// How often the path is percent-encoded in the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEncoding {
    /// Once, whatever of it the client had encoded: S3.
    Once,
    /// The client's encoding is encoded again: every other service.
    Twice,
}

/// Service and region, and the rules that differ by service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4Settings {
    /// Such as `s3`.
    pub service: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// How the path is signed.
    pub path: PathEncoding,
    /// Signs the path without dot segments and repeated slashes (RFC 3986, section 5.2.4).
    pub normalise_path: bool,
    /// Adds and signs `X-Amz-Content-Sha256`.
    pub content_header: bool,
    /// Signs `X-Amz-Security-Token`, instead of adding it to what was signed.
    pub sign_session_token: bool,
}

impl SigV4Settings {
    /// The rules of a service. S3 keys are bytes: their path is encoded once and never
    /// normalised. `X-Amz-Content-Sha256` goes to every service, as the Bridge does it.
    pub fn new(service: impl Into<String>, region: impl Into<String>) -> Self {
        let service = service.into();
        let s3 = is_s3(&service);
        Self {
            path: if s3 { PathEncoding::Once } else { PathEncoding::Twice },
            normalise_path: !s3,
            content_header: true,
            sign_session_token: true,
            service,
            region: region.into(),
        }
    }
}

/// Tells whether a service's name is one of S3's, whose rules for path and payload differ.
pub fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3express" | "s3-object-lambda" | "s3-outposts")
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

/// The headers that the signature adds, values marked as sensitive.
pub type SignedHeaders = Vec<(HeaderName, HeaderValue)>;

/// What makes a request one that cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// A credential field.
    #[error("the credential field {0} is missing, empty, or not visible ASCII")]
    Field(&'static str),
    /// The signer refused the request.
    #[error("the request cannot be signed: {0}")]
    Request(String),
}

/// Signs a request with `access_key`, `secret_key` and, if there, `session_token`.
pub fn sign(
    request: &SigV4Request<'_>,
    settings: &SigV4Settings,
    credentials: &Fields,
    now: SystemTime,
) -> Result<SignedHeaders, SigV4Error> {
    let identity = read_credentials(credentials)?.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&settings.region)
        .name(&settings.service)
        .time(now)
        .settings(settings.of_the_crate())
        .build()
        .map_err(|error| SigV4Error::Request(error.to_string()))?
        .into();
    let uri = canonical::uri(request.path, request.query, settings.path)?;
    let headers = canonical::headers(request.headers)?;
    let signable = SignableRequest::new(request.method, uri, headers.into_iter(), request.payload.as_body())
        .map_err(|error| refused(&error))?;
    let output = aws_sigv4::http_request::sign(signable, &params).map_err(|error| refused(&error))?;
    let (added, _) = output.into_parts().0.into_parts();
    added
        .iter()
        .map(|header| {
            let mut value =
                HeaderValue::from_str(header.value()).map_err(|error| SigV4Error::Request(error.to_string()))?;
            value.set_sensitive(true);
            Ok((HeaderName::from_static(header.name()), value))
        })
        .collect()
}

impl SigV4Settings {
    /// Path and query are written by `canonical`, so the crate is told to take them as they are;
    /// which headers are signed is the caller's choice.
    fn of_the_crate(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::from(self.normalise_path);
        settings.excluded_headers = None;
        settings.payload_checksum_kind =
            if self.content_header { PayloadChecksumKind::XAmzSha256 } else { PayloadChecksumKind::NoHeader };
        settings.session_token_mode =
            if self.sign_session_token { SessionTokenMode::Include } else { SessionTokenMode::Exclude };
        settings
    }
}

impl PayloadHash {
    fn as_body(&self) -> SignableBody<'_> {
        match self {
            Self::Hex(hash) => SignableBody::Precomputed(hash.clone()),
            Self::Unsigned => SignableBody::UnsignedPayload,
            Self::StreamingUnsignedTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
        }
    }
}

/// An empty session token counts as none: sources write one where a form field was left blank.
fn read_credentials(fields: &Fields) -> Result<Credentials, SigV4Error> {
    let read = |name: &'static str| {
        let text = fields.get(name).and_then(|field| field.expose_str()).filter(|text| !text.is_empty());
        text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic())).ok_or(SigV4Error::Field(name))
    };
    let token = match fields.get("session_token") {
        Some(token) if !token.is_empty() => Some(read("session_token")?.to_owned()),
        _ => None,
    };
    Ok(Credentials::new(read("access_key")?, read("secret_key")?, token, None, "nexus"))
}

/// The crate's outer message says only that it failed; its source says why.
fn refused(error: &dyn std::error::Error) -> SigV4Error {
    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    SigV4Error::Request(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn credentials(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        pairs.iter().for_each(|(name, value)| fields.insert(*name, Secret::new(*value)));
        fields
    }

    fn attempt(path: &str, query: Option<&str>, fields: &Fields) -> Result<SignedHeaders, SigV4Error> {
        let payload = PayloadHash::of(b"");
        let headers: [(&str, &[u8]); 1] = [("host", b"a.example")];
        let request = SigV4Request { method: "GET", path, query, headers: &headers, payload: &payload };
        sign(&request, &SigV4Settings::new("sts", "us-east-1"), fields, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn unusable_credentials_are_named_and_never_quoted() {
        for (pairs, field) in [
            (vec![("secret_key", "s")], "access_key"),
            (vec![("access_key", "a")], "secret_key"),
            (vec![("access_key", "a"), ("secret_key", "")], "secret_key"),
            (vec![("access_key", "a b"), ("secret_key", "s")], "access_key"),
            (vec![("access_key", "a"), ("secret_key", "hunter2\n")], "secret_key"),
            (vec![("access_key", "a"), ("secret_key", "s"), ("session_token", "é")], "session_token"),
        ] {
            let error = attempt("/", None, &credentials(&pairs)).unwrap_err();
            assert_eq!(error, SigV4Error::Field(field));
            assert!(!error.to_string().contains("hunter2"));
        }
        let blank = credentials(&[("access_key", "a"), ("secret_key", "s"), ("session_token", "")]);
        assert_eq!(attempt("/", None, &blank).unwrap().len(), 3);
    }

    #[test]
    fn what_cannot_be_signed_is_an_error_and_no_panic() {
        let fields = credentials(&[("access_key", "a"), ("secret_key", "s")]);
        let long = "/".repeat(30_000);
        let error = attempt("/", Some(&long), &fields).unwrap_err().to_string();
        assert!(error.contains("longer than 65000 bytes"), "{error}");
        assert!(matches!(attempt("/", Some("a=%FF"), &fields), Err(SigV4Error::Request(_))));
        assert!(matches!(attempt("relative", None, &fields), Err(SigV4Error::Request(_))));
        for query in ["", "&&", "=", "a=<>\"{}|^`#[]\\", "%", "%zz=%", "a=1+x", "?"] {
            assert!(attempt("/", Some(query), &fields).is_ok(), "{query}");
        }
    }
}
