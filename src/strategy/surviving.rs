//! Which of the agent's headers survive.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::{is_cookie_header, is_hop_by_hop, is_key_header, is_override_header, is_same_header};

/// What is done with credentials and override headers of the agent's own.
#[derive(Clone, Copy)]
pub(super) enum Stance<'a> {
    /// Nothing is injected: they pass.
    Forward,
    /// A connection speaks here: keys never pass, cookies and override headers only where the
    /// rule names them.
    Inject {
        /// Those that the rule names.
        pass: &'a [HeaderName],
        /// Those that carry keys at this destination, beside [`is_key_header`].
        keys: &'a [HeaderName],
    },
}

/// The headers that may leave. Those of one hop never do (RFC 9110, section 7.6.1), nor those
/// that the sender writes itself (`Host`, framing, `Expect`), nor ours (`X-Nexus-*`).
pub(super) fn headers(agent: &HeaderMap, stance: Stance<'_>) -> HeaderMap {
    let nominated = nominated(agent);
    // Room for what a strategy adds.
    let mut kept = HeaderMap::with_capacity(agent.len() + 4);
    for (name, value) in agent {
        if !nominated.contains(name) && survives(name, stance) {
            kept.append(name, value.clone());
        }
    }
    // gRPC servers refuse a request without it; of `te`, no other value means anything past
    // this hop (RFC 9113, section 8.2.2).
    if wants_trailers(agent) {
        kept.insert(TE, HeaderValue::from_static("trailers"));
    }
    kept
}

fn survives(name: &HeaderName, stance: Stance<'_>) -> bool {
    let written_by_us =
        name == HOST || name == CONTENT_LENGTH || name == EXPECT || name.as_str().starts_with("x-nexus-");
    if written_by_us || is_hop_by_hop(name) {
        return false;
    }
    match stance {
        Stance::Forward => true,
        Stance::Inject { keys, .. } if is_key_header(name) || keys.iter().any(|key| is_same_header(key, name)) => false,
        Stance::Inject { pass, .. } if is_cookie_header(name) || is_override_header(name) => pass.contains(name),
        Stance::Inject { .. } => true,
    }
}

fn wants_trailers(agent: &HeaderMap) -> bool {
    let codings = agent.get_all(TE).into_iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// The headers that `Connection` names. `te` stays with the rule above: naming it is how
/// HTTP/1.1 sends it at all.
fn nominated(agent: &HeaderMap) -> Vec<HeaderName> {
    let options = agent.get_all(CONNECTION).into_iter().map(HeaderValue::as_bytes);
    let names = options.flat_map(|value| value.split(|&byte| byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut map = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        map.keys().map(HeaderName::as_str).collect()
    }

    const NONE: Stance<'_> = Stance::Inject { pass: &[], keys: &[] };

    #[test]
    fn headers_of_one_hop_never_survive() {
        let agent = map(&[
            ("Connection", "close, X-Mine ,te"),
            ("Connection", "content-language"),
            ("X-Mine", "1"),
            ("Content-Language", "en"),
            ("Keep-Alive", "5"),
            ("Proxy-Authorization", "Basic eDp5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "gzip;q=0.5, Trailers"),
            ("Trailer", "X-Sum"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABk"),
            ("Host", "a.example"),
            ("Content-Length", "5"),
            ("Expect", "100-continue"),
            ("X-Nexus-Agent", "root"),
            ("Via", "1.1 mine"),
            ("Accept", "*/*"),
        ]);
        for stance in [NONE, Stance::Forward] {
            let kept = headers(&agent, stance);
            assert_eq!(names(&kept), ["via", "accept", "te"]);
            assert_eq!(kept[TE], "trailers");
        }
    }

    #[test]
    fn where_a_connection_speaks_the_agents_own_credentials_do_not_pass() {
        let agent = map(&[
            ("Authorization", "Bearer mine"),
            ("X-API-Key", "mine"),
            ("PRIVATE-TOKEN", "mine"),
            ("Cookie", "a=b"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Forwarded-Host", "evil.example"),
            ("Forwarded", "host=evil.example"),
            ("X-Original-URL", "/admin"),
            ("User-Agent", "x"),
        ]);
        assert_eq!(names(&headers(&agent, NONE)), ["user-agent"]);
        let pass = ["cookie", "x-forwarded-host", "authorization", "x-api-key", "host"].map(HeaderName::from_static);
        let kept = headers(&agent, Stance::Inject { pass: &pass, keys: &[] });
        assert_eq!(names(&kept), ["cookie", "x-forwarded-host", "user-agent"]);
        assert_eq!(headers(&agent, Stance::Forward).len(), agent.len());
    }

    #[test]
    fn repeated_headers_keep_their_values_and_order() {
        let agent = map(&[("Accept", "a"), ("X-Other", "é"), ("Accept", "b")]);
        let kept = headers(&agent, NONE);
        assert_eq!(kept.get_all("accept").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(kept["x-other"].as_bytes(), "é".as_bytes());
    }
}
