//! What a trailer may say, in both directions.

use http::{HeaderMap, HeaderName};

use super::answer::{PROXY_STATUS, X_NEXUS_ERROR, X_SHOULD_RETRY};
use crate::model::{is_cookie_header, is_hop_by_hop, is_key_header, is_override_header};

/// Removes from trailers what frames, routes, authenticates or says how to read the body
/// (RFC 9110, section 6.5.1), and what is ours to say: a receiver may merge trailers into the
/// header fields that were checked before.
pub(super) fn drop_forbidden(trailers: &mut HeaderMap) {
    let doomed: Vec<_> = trailers.keys().filter(|name| is_forbidden(name)).cloned().collect();
    for name in doomed {
        trailers.remove(name);
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    const MORE: [&str; 15] = [
        "alt-svc",
        "authentication-info",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "expect",
        "host",
        "location",
        "range",
        "retry-after",
        "set-cookie",
        "set-cookie2",
        "www-authenticate",
    ];
    let ours =
        [&X_NEXUS_ERROR, &PROXY_STATUS, &X_SHOULD_RETRY].contains(&name) || name.as_str().starts_with("x-nexus-");
    ours || is_hop_by_hop(name)
        || is_key_header(name)
        || is_cookie_header(name)
        || is_override_header(name)
        || MORE.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_statuses_pass_and_nothing_that_frames_or_authenticates() {
        let mut trailers = HeaderMap::new();
        for name in [
            "grpc-status",
            "grpc-message",
            "x-checksum",
            "authorization",
            "connection",
            "content-length",
            "cookie",
            "host",
            "proxy-authorization",
            "te",
            "transfer-encoding",
            "x-api-key",
            "x-forwarded-host",
            "x-http-method-override",
            "x-nexus-error",
            "x-should-retry",
        ] {
            trailers.append(HeaderName::from_static(name), "v".parse().unwrap());
        }
        drop_forbidden(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["grpc-status", "grpc-message", "x-checksum"]);
    }
}
