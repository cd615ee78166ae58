//! What holds whatever the agent sent.

use http::HeaderName;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Outbound;
use super::sending::Sending;
use crate::model::{Query, is_hop_by_hop, is_key_header};

const CREDENTIALS: [(&str, &str); 8] = [
    ("api_key", "the-injected-key"),
    ("username", "someone"),
    ("password", "the-injected-password"),
    ("api_secret", "the-injected-secret"),
    ("access_token", "the-injected-token"),
    ("access_key", "AKIDEXAMPLE"),
    ("secret_key", "the-injected-secret-key"),
    ("session_token", "the-injected-session-token"),
];

/// Each strategy with the headers that it injects.
fn strategies() -> Vec<(Value, Vec<&'static str>)> {
    let of = |kind: &str, config: Value| json!({ "type": kind, "config": config });
    let aws = vec!["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"];
    vec![
        (of("header", json!({"header_name": "X-Vendor-Key"})), vec!["x-vendor-key"]),
        (of("header", json!({"header_name": "Cookie", "value_prefix": "session="})), vec!["cookie"]),
        (of("header", json!({})), vec!["authorization"]),
        (of("query_param", json!({"param_name": "key"})), vec![]),
        (of("basic_auth", json!({})), vec!["authorization"]),
        (of("hmac_payload", json!({"header_name": "X-Signature"})), vec!["x-signature"]),
        (of("aws_sigv4", json!({"service": "sts"})), aws.clone()),
        (of("aws_sigv4", json!({"service": "s3"})), aws),
        (of("oauth2", json!({})), vec!["authorization"]),
    ]
}

/// Names that matter, in any case, beside some that do not.
fn header_names() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "authorization",
        "cookie",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "host",
        "content-length",
        "expect",
        "x-api-key",
        "x-vendor-key",
        "x-signature",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-forwarded-host",
        "x-http-method-override",
        "x-nexus-agent",
        "accept",
        "x-other",
        "content-type",
    ]);
    (known, any::<u32>()).prop_map(|(name, cases)| {
        let upper = |at: usize| cases >> (at % 32) & 1 == 1;
        name.char_indices().map(|(at, c)| if upper(at) { c.to_ascii_uppercase() } else { c }).collect()
    })
}

fn header_values() -> impl Strategy<Value = String> {
    let nominations = prop::collection::vec(header_names(), 1..4).prop_map(|names| names.join(" ,"));
    prop_oneof!["[ -~]{0,20}", nominations, Just("close".to_owned()), Just("trailers".to_owned()), Just("é".to_owned())]
}

fn queries() -> impl Strategy<Value = Option<String>> {
    let piece = prop_oneof!["[!-%'-~]{0,12}", "(key|k%65y|KEY|a)=[!-%'-~]{0,8}", Just("X-Amz-Signature=00".to_owned())];
    prop::option::of(prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.join("&").replace('#', "")))
}

fn attempt(strategy: Value, headers: &[(String, String)], query: Option<&str>) -> Result<Outbound, TestCaseError> {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let target = query.map_or_else(|| "/r".to_owned(), |query| format!("/r?{query}"));
    let pass = ["cookie", "x-forwarded-host", "authorization", "x-api-key", "connection"].map(HeaderName::from_static);
    let sending = Sending {
        credentials: &CREDENTIALS,
        headers: &headers,
        target: &target,
        method: "POST",
        body: b"{}",
        pass_headers: &pass,
        ..Sending::get(strategy)
    };
    // Only the client's own words about an AWS signature make a request one that is refused.
    sending.outbound().map_err(|refusal| TestCaseError::reject(refusal.message().to_owned()))
}

proptest! {
    #[test]
    fn an_injected_header_stands_once_and_nothing_of_one_hop_leaves(
        headers in prop::collection::vec((header_names(), header_values()), 0..12),
        query in queries(),
    ) {
        for (strategy, injected) in strategies() {
            let Ok(outbound) = attempt(strategy.clone(), &headers, query.as_deref()) else { continue };
            let left = outbound.headers();
            for name in &injected {
                prop_assert_eq!(left.get_all(*name).iter().count(), 1, "{} {:?}", strategy, left);
                let own = headers.iter().any(|(_, value)| left[*name].as_bytes() == value.as_bytes());
                prop_assert!(!own || *name == "x-amz-content-sha256", "{} {:?}", strategy, left);
                prop_assert!(left[*name].is_sensitive());
            }
            for (name, value) in left {
                let trailers = name == "te" && value == "trailers";
                prop_assert!(!is_hop_by_hop(name) || trailers, "{name}");
                prop_assert!(!is_key_header(name) || injected.contains(&name.as_str()), "{name}");
                let ours = matches!(name.as_str(), "host" | "content-length" | "expect" | "x-nexus-agent");
                prop_assert!(!ours, "{name}");
            }
        }
    }

    #[test]
    fn the_agents_query_keeps_its_bytes(query in queries()) {
        let target = query.as_ref().map_or_else(|| "/r".to_owned(), |query| format!("/r?{query}"));
        for (strategy, _) in strategies() {
            let kind = strategy["type"].as_str().unwrap().to_owned();
            let Ok(outbound) = attempt(strategy, &[], query.as_deref()) else { continue };
            let left = outbound.request_target();
            let own = Query::new(query.as_deref().unwrap_or_default());
            match kind.as_str() {
                "query_param" => {
                    let rest = own.without("key");
                    let kept = format!("/r?{}&key=", rest.as_str());
                    prop_assert!(rest.as_str().is_empty() || left.starts_with(&kept));
                    prop_assert!(left.ends_with("key=the-injected-key"));
                    let sent = Query::new(left.split_once('?').unwrap().1);
                    prop_assert_eq!(sent.pairs().filter(|(name, _)| name == "key").count(), 1);
                }
                "aws_sigv4" if target.contains("X-Amz-Signature") => {
                    let rest = own.without("X-Amz-Signature");
                    prop_assert_eq!(left.split_once('?').map_or("", |(_, query)| query), rest.as_str());
                }
                _ => prop_assert_eq!(left, &target),
            }
        }
    }

    #[test]
    fn every_query_that_is_signed_verifies(query in queries(), value in "[ -~]{0,20}", service in "(s3|sts)") {
        let strategy = json!({"type": "aws_sigv4", "config": {"service": service}});
        let target = query.map_or_else(|| "/a/b".to_owned(), |query| format!("/a/b?{query}"));
        let headers = [("X-Other", value.as_str()), ("X-Other", "2")];
        let sending =
            Sending { credentials: &CREDENTIALS, target: &target, headers: &headers, ..Sending::get(strategy) };
        if sending.outbound().is_ok() {
            sending.verified("the-injected-secret-key");
        }
    }
}

#[test]
fn a_permit_adds_nothing_and_takes_only_what_belongs_to_one_hop() {
    let headers = [
        ("Authorization", "Bearer own"),
        ("Cookie", "a=b"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Host", "api.example.test"),
    ];
    let outbound = Sending { headers: &headers, target: "/r?a=1", ..Sending::get(Value::Null) }.outbound().unwrap();
    assert_eq!(outbound.headers().keys().collect::<Vec<_>>(), ["authorization", "cookie", "x-forwarded-for"]);
    assert_eq!((outbound.request_target(), outbound.connection()), ("/r?a=1", None));
    assert!(outbound.watch().is_empty() && outbound.facts().strategy.is_none());
    assert_eq!(format!("{outbound:?}"), "Outbound(GET https://api.example.test)");
}
