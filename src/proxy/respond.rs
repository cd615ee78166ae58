//! What of a destination's answer reaches the agent.

use http::header::{
    ALT_SVC, CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::answer::{PROXY_STATUS, X_NEXUS_ERROR, X_SHOULD_RETRY};
use crate::strategy::Watch;

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that only this proxy says, and one that would lead the agent around it.
const OURS: [HeaderName; 4] = [X_NEXUS_ERROR, PROXY_STATUS, X_SHOULD_RETRY, ALT_SVC];

/// Removes hop-by-hop and `Connection`-nominated headers, those that are ours to say, cookies of
/// a destination with a connection, and every header that contains what was injected.
pub(super) fn strip(headers: &mut HeaderMap, with_connection: bool, watch: &Watch) {
    // Of an answer with two framings, or with one of them twice, our own writer keeps none.
    if headers.contains_key(TRANSFER_ENCODING) || headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        headers.remove(CONTENT_LENGTH);
    }
    for name in nominated(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP.iter().chain(&OURS) {
        headers.remove(name);
    }
    let forged: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-nexus-")).cloned().collect();
    forged.iter().for_each(|name| drop(headers.remove(name)));
    if with_connection {
        headers.remove(SET_COOKIE);
        headers.remove("set-cookie2");
    }
    drop_watched(headers, watch);
}

/// Removes every header one of whose values contains what was injected.
pub(super) fn drop_watched(headers: &mut HeaderMap, watch: &Watch) {
    if watch.is_empty() {
        return;
    }
    let seen: Vec<HeaderName> =
        headers.iter().filter(|(name, value)| seen_in(name, value, watch)).map(|(name, _)| name.clone()).collect();
    for name in seen {
        // Not its name: that may be the credential.
        tracing::warn!("a header of an answer contained the injected credential and was dropped");
        headers.remove(name);
    }
}

fn seen_in(name: &HeaderName, value: &HeaderValue, watch: &Watch) -> bool {
    watch.sees(value.as_bytes()) || watch.sees(name.as_str().as_bytes())
}

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_end_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("alt-svc", "h3=\":443\""),
            ("proxy-status", "x"),
            ("x-nexus-error", "FORGED"),
            ("x-nexus-trace", "FORGED"),
            ("set-cookie", "a=b"),
            ("content-type", "text/plain"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let mut forwarded = headers.clone();
        strip(&mut headers, true, &Watch::default());
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["content-type"]);
        strip(&mut forwarded, false, &Watch::default());
        assert!(forwarded.contains_key("set-cookie"));
    }
}
