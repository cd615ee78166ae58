use std::borrow::Cow;

use http::HeaderName;
use http::header;

/// Headers that carry keys, sorted. On a destination with a connection the agent's own never
/// pass, whatever a rule says: the connection is the only identity that speaks there. Besides
/// these, `Authorization` and everything below `proxy-` count as credentials.
pub const KEY_HEADERS: &[&str] = &[
    "anthropic-api-key",
    "api-key",
    "api-token",
    "apikey",
    "cf-access-client-secret",
    "cf-access-token",
    "circle-token",
    "dd-api-key",
    "dd-application-key",
    "fastly-key",
    "job-token",
    "ocp-apim-subscription-key",
    "private-token",
    "x-access-key",
    "x-access-token",
    "x-aiven-token",
    "x-algolia-api-key",
    "x-amz-security-token",
    "x-amzn-authorization",
    "x-api-key",
    "x-api-secret",
    "x-api-token",
    "x-apikey",
    "x-app-key",
    "x-appwrite-key",
    "x-auth-key",
    "x-auth-secret",
    "x-auth-token",
    "x-authorization",
    "x-circle-token",
    "x-client-secret",
    "x-cmc-pro-api-key",
    "x-cmc_pro_api_key",
    "x-consul-token",
    "x-ebay-api-iaf-token",
    "x-figma-token",
    "x-functions-key",
    "x-github-token",
    "x-gitlab-token",
    "x-goog-api-key",
    "x-goog-iam-authorization-token",
    "x-honeycomb-team",
    "x-insert-key",
    "x-jfrog-art-api",
    "x-license-key",
    "x-meili-api-key",
    "x-ms-authorization-auxiliary",
    "x-n8n-api-key",
    "x-nomad-token",
    "x-octopus-apikey",
    "x-postmark-account-token",
    "x-postmark-server-token",
    "x-query-key",
    "x-rapidapi-key",
    "x-secret-key",
    "x-sentry-auth",
    "x-shopify-access-token",
    "x-shopify-storefront-access-token",
    "x-subject-token",
    "x-subscription-token",
    "x-trackertoken",
    "x-typesense-api-key",
    "x-user-token",
    "x-vault-token",
    "x-vercel-token",
    "xi-api-key",
];

/// Headers by which an origin may see another method, path or host than policy saw, sorted.
/// Everything that starts with `x-forwarded` is one too.
pub const OVERRIDE_HEADERS: &[&str] = &[
    "client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-method-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-proxy-url",
    "x-real-ip",
    "x-rewrite-uri",
    "x-rewrite-url",
];

/// Tells whether a header carries a key of the agent's own; see [`KEY_HEADERS`].
pub fn is_key_header(name: &HeaderName) -> bool {
    let listed = |name: &str| KEY_HEADERS.binary_search(&name).is_ok();
    name == header::AUTHORIZATION || listed(name.as_str()) || listed(&dashed(name))
}

/// Tells whether a header may show an origin another request; see [`OVERRIDE_HEADERS`].
pub fn is_override_header(name: &HeaderName) -> bool {
    let name = dashed(name);
    name.starts_with("x-forwarded") || OVERRIDE_HEADERS.binary_search(&&*name).is_ok()
}

/// Tells whether a header carries cookies towards an origin.
pub fn is_cookie_header(name: &HeaderName) -> bool {
    name == header::COOKIE || name.as_str() == "cookie2"
}

/// Tells whether a header belongs to one hop (RFC 9110, section 7.6.1), in both directions.
/// What `Connection` nominates is for the caller to find.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = dashed(name);
    matches!(
        &*name,
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings"
    ) || name.starts_with("proxy-")
}

/// Tells whether some origin takes two names for one. Where headers become variables (RFC 3875,
/// section 4.1.18) `X_A` is `X-A`: the attack is a header that only such an origin reads.
pub fn is_same_header(a: &HeaderName, b: &HeaderName) -> bool {
    a == b || (a.as_str().len() == b.as_str().len() && dashed(a) == dashed(b))
}

/// A name as an origin reads it that makes variables of headers.
fn dashed(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_lower_case() {
        for list in [KEY_HEADERS, OVERRIDE_HEADERS] {
            assert!(list.is_sorted(), "{list:?}");
            assert!(list.iter().all(|name| HeaderName::from_lowercase(name.as_bytes()).is_ok()));
        }
    }

    #[test]
    fn each_kind_and_its_near_misses() {
        let name = |text: &str| text.parse::<HeaderName>().unwrap();
        for key in
            ["Authorization", "X-API-Key", "PRIVATE-TOKEN", "X_Api_Key", "X-CMC_PRO_API_KEY", "x_cmc-pro-api-key"]
        {
            assert!(is_key_header(&name(key)), "{key}");
        }
        for other in [
            "x-forwarded-for",
            "X-Forwarded-Host",
            "X-HTTP-Method-Override",
            "Forwarded",
            "X_Forwarded_Host",
            "X-HTTP_Method-Override",
        ] {
            assert!(is_override_header(&name(other)), "{other}");
        }
        for hop in ["Proxy-Authorization", "TE", "Transfer-Encoding", "Transfer_Encoding", "proxy_authorization"] {
            assert!(is_hop_by_hop(&name(hop)), "{hop}");
        }
        for plain in ["accept", "x-api-keys", "x_api_keys", "x-forward", "te-x", "via", "content-type"] {
            let plain = name(plain);
            assert!(!is_key_header(&plain) && !is_override_header(&plain) && !is_hop_by_hop(&plain), "{plain}");
        }
    }
}
