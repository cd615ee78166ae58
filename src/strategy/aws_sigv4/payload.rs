//! What stands for the body in a signature.

use http::HeaderMap;

use crate::model::{Code, Refusal, Scheme};
use crate::sign::{PayloadHash, is_s3};

/// Where the body's stand-in comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// It is known before the body is.
    Known(PayloadHash),
    /// The hash of the whole body.
    Body,
}

/// Decides by what the client sent. S3 takes a body that is not signed, over TLS; a hash that
/// the client computed stays true, since the body is not touched. Other services want the hash.
/// A body that is signed chunk by chunk carries signatures of the client's placeholder keys and
/// would have to be signed again.
pub(super) fn of(headers: &HeaderMap, service: &str, scheme: Scheme) -> Result<Payload, Refusal> {
    let sent = headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if sent.starts_with("STREAMING-") && sent != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
        let message = format!("a body that is signed chunk by chunk ({sent}) cannot be signed again yet");
        return Err(Refusal::new(Code::NotSupported, message));
    }
    if !is_s3(service) {
        return Ok(Payload::Body);
    }
    Ok(match sent {
        "UNSIGNED-PAYLOAD" => Payload::Known(PayloadHash::Unsigned),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Known(PayloadHash::StreamingUnsignedTrailer),
        hash if is_hash(hash) => Payload::Known(PayloadHash::Hex(hash.to_owned())),
        _ if scheme == Scheme::Https => Payload::Known(PayloadHash::Unsigned),
        _ => Payload::Body,
    })
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn decide(sent: Option<&str>, service: &str, scheme: Scheme) -> Result<Payload, Code> {
        let mut headers = HeaderMap::new();
        sent.into_iter().for_each(|sent| {
            headers.insert("x-amz-content-sha256", HeaderValue::from_str(sent).unwrap());
        });
        of(&headers, service, scheme).map_err(|refusal| refusal.code())
    }

    #[test]
    fn the_clients_word_is_kept_for_s3_alone() {
        let hash = "ab".repeat(32);
        let known = |hash| Ok(Payload::Known(hash));
        for (sent, want) in [
            (Some("UNSIGNED-PAYLOAD"), known(PayloadHash::Unsigned)),
            (Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), known(PayloadHash::StreamingUnsignedTrailer)),
            (Some(hash.as_str()), known(PayloadHash::Hex(hash.clone()))),
            (None, known(PayloadHash::Unsigned)),
            (Some("AB"), known(PayloadHash::Unsigned)),
        ] {
            assert_eq!(decide(sent, "s3", Scheme::Https), want, "{sent:?}");
            assert_eq!(decide(sent, "sts", Scheme::Https), Ok(Payload::Body), "{sent:?}");
        }
        assert_eq!(decide(None, "s3", Scheme::Http), Ok(Payload::Body));
        assert_eq!(decide(Some("UNSIGNED-PAYLOAD"), "s3", Scheme::Http), known(PayloadHash::Unsigned));
    }

    #[test]
    fn chunk_signed_bodies_are_refused_with_a_reason() {
        for sent in [
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        ] {
            for service in ["s3", "transcribe"] {
                assert_eq!(decide(Some(sent), service, Scheme::Https), Err(Code::NotSupported));
            }
        }
    }
}
