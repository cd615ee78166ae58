use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::strategy::sending::{Sending, header_map};

const TOKEN: &str = "ghp_NexusPlaceholder00000000000000000000";

fn found(text: &str) -> bool {
    holds(text.as_bytes()).is_some()
}

fn forward(target: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
    Sending { target, headers, ..Sending::get(Value::Null) }.outbound().map(drop)
}

/// The message of a refusal that names a place.
fn refused(result: Result<(), Refusal>) -> String {
    let refusal = result.expect_err("a placeholder left");
    assert_eq!((refusal.code(), refusal.rule().is_some()), (Code::PolicyDenied, true));
    let message = refusal.message().to_owned();
    assert!(!message.to_ascii_lowercase().contains("nexusplaceholder"), "{message}");
    message
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn every_placeholder_of_the_catalogue_is_known_by_its_marker() {
    for provider in Catalogue::built_in().providers() {
        for placeholder in &provider.placeholders {
            let found = holds(placeholder.value.as_bytes()).map(|owner| owner.to_string());
            assert_eq!(found.as_deref(), Some(provider.connection.as_str()), "{}", placeholder.variable);
        }
    }
}

#[test]
fn what_stubs_hand_out_is_known_in_every_form_and_is_no_credential() {
    for (stub, value) in crate::model::placeholder::ALL {
        let owner =
            if value == crate::model::placeholder::AWS_SECRET { "aws".to_owned() } else { format!("the stub {stub}") };
        let signature = format!("AWS4-HMAC-SHA256 Credential={value}/20260101/eu-west-1/s3/aws4_request, Signature=0");
        let token = format!("Bearer eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.{value}");
        let basic = format!("Basic {}", STANDARD.encode(format!("user:{value}")));
        for text in [value.to_owned(), percent(value), value.to_ascii_lowercase(), signature, token, basic] {
            assert_eq!(holds(text.as_bytes()).map(|found| found.to_string()), Some(owner.clone()), "{text}");
        }
    }
}

#[test]
fn each_form_is_found() {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for text in [
        TOKEN.to_owned(),
        TOKEN.to_ascii_lowercase(),
        TOKEN.to_ascii_uppercase(),
        "ghp_nExUsPlAcEhOlDeR00000000000000000000".to_owned(),
        format!("Bearer {TOKEN}"),
        format!("token {TOKEN}, and more"),
        format!("a=b; session={TOKEN}; c=d"),
        format!("{{\"token\":\"{TOKEN}\"}}"),
        format!("https://x-access-token:{TOKEN}@github.com/a/b"),
        TOKEN.replace('N', "%4e"),
        percent(TOKEN),
        percent(&percent(TOKEN)),
        percent(&TOKEN.replace('_', "%5F")),
        basic(&format!("x-access-token:{TOKEN}")),
        basic(&format!("{TOKEN}:x-oauth-basic")),
        basic(&format!("{TOKEN}:")),
        percent(&basic(&format!("u:{TOKEN}"))),
        hex::encode(TOKEN),
        hex::encode_upper(TOKEN),
        URL_SAFE_NO_PAD.encode(format!("{{\"auth\":\"{TOKEN}\"}}")),
        STANDARD.encode(TOKEN.to_ascii_uppercase()),
        STANDARD.encode(TOKEN.to_ascii_lowercase()),
    ] {
        assert!(found(&text), "{text}");
    }
}

#[test]
fn near_misses_pass() {
    for text in [
        "",
        "NexusPlaceholde",
        "NexusPlaceholder",
        "what is a NexusPlaceholder for?",
        "nexus placeholder",
        "ghp_NexusPlaceholder0000000000000000000",
        "ghp-NexusPlaceholder00000000000000000000",
        "ghp_NexusPlacehold3r00000000000000000000",
        "ghp_NexusPlaceholder 00000000000000000000",
        "placeholder placeholder placeholder",
        "%",
        "%4",
        "%%%%%%%%%%%%%%%%%%%%%%%%",
        "ghp_NexusPlaceholder0000000000000000000%",
    ] {
        assert!(!found(text), "{text}");
        assert!(!found(&STANDARD.encode(text)), "{text}");
    }
    assert!(!found(&percent(&percent(&percent(&percent(TOKEN))))), "four layers are nobody's encoding");
}

#[test]
fn the_place_and_the_reason_are_told() {
    let bearer = format!("Bearer {TOKEN}");
    let basic = format!("Basic {}", STANDARD.encode(format!("u:{TOKEN}")));
    let lower = TOKEN.to_ascii_lowercase();
    for (target, headers, place) in [
        ("/r", &[("Authorization", bearer.as_str())][..], "the header authorization"),
        ("/r", &[("Accept", "*/*"), ("authorization", &basic)], "the header authorization"),
        ("/r", &[("Cookie", &bearer)], "the header cookie"),
        ("/r", &[("X-Two", "1"), ("X-Two", TOKEN)], "the header x-two"),
        ("/r", &[(&lower, "1")], "the name of a header"),
        (&format!("/r?a=1&access_token={TOKEN}"), &[], "the query"),
        (&format!("/r?a={}", percent(TOKEN)), &[], "the query"),
        (&format!("/r/{TOKEN}/s"), &[], "the path"),
        (&format!("/r/{}", percent(&percent(TOKEN))), &[], "the path"),
    ] {
        let message = refused(forward(target, headers));
        assert!(message.starts_with(&format!("{place} holds the placeholder of github,")), "{message}");
        assert!(message.contains("no rule injects github at api.example.test"), "{message}");
    }
    let own = refused(forward("https://api.github.com/user", &[("Authorization", &bearer)]));
    assert!(own.contains("injects nothing at api.github.com: a rule with `connection: github`"), "{own}");
    let host = refused(forward(&format!("https://{lower}.example/r"), &[]));
    assert!(host.starts_with("the host holds the placeholder of github"), "{host}");
    let method = Sending { method: TOKEN, ..Sending::get(Value::Null) }.outbound().map(drop);
    assert!(refused(method).starts_with("the method holds"));
}

#[test]
fn what_belongs_to_one_hop_never_leaves_and_is_not_looked_at() {
    let headers = [("Proxy-Authorization", TOKEN), ("Connection", "x-hop"), ("X-Hop", TOKEN), ("X-Nexus-Agent", TOKEN)];
    forward("/r", &headers).unwrap();
}

#[test]
fn an_injection_replaces_a_placeholder_in_its_own_place_alone() {
    fn send(target: &str, headers: &[(&str, &str)], token: &str) -> Result<crate::strategy::Outbound, Refusal> {
        let credentials = [("access_token", token)];
        Sending { target, headers, credentials: &credentials, ..Sending::get(json!({"type": "oauth2"})) }.outbound()
    }
    let outbound =
        send("/r", &[("Authorization", TOKEN), ("X-Api-Key", TOKEN), ("Cookie", TOKEN)], "the-real").unwrap();
    assert_eq!(outbound.headers()["authorization"], "Bearer the-real");
    assert_eq!(outbound.headers().len(), 1);
    let message = refused(send("/r", &[("X-Other", TOKEN)], "the-real").map(drop));
    assert!(message.contains("the connection the-connection puts no credential there"), "{message}");
    refused(send(&format!("/r?access_token={TOKEN}"), &[], "the-real").map(drop));
    // A connection made inside of `run`, from the environment there.
    let unusable = send("/r", &[], TOKEN).map(drop).unwrap_err();
    assert_eq!(unusable.code(), Code::CredentialUnusable);
}

#[test]
fn a_query_parameter_of_that_name_is_replaced() {
    let strategy = json!({"type": "query_param", "config": {"param_name": "key"}});
    let credentials = [("api_key", "the-real")];
    let target = format!("/r?key={TOKEN}&a=1");
    let outbound = Sending { target: &target, credentials: &credentials, ..Sending::get(strategy) }.outbound().unwrap();
    assert_eq!(outbound.request_target(), "/r?a=1&key=the-real");
}

#[test]
fn trailers_that_hold_one_are_dropped() {
    let mut trailers = header_map(&[("grpc-status", "0"), ("x-sum", TOKEN), ("x-other", "1")]);
    drop_placeholders(&mut trailers);
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["grpc-status", "x-other"]);
}

/// One way to write a text inside a longer one.
fn encoded(kind: u8, before: &str, value: &str, after: &str) -> String {
    let whole = format!("{before}{value}{after}");
    match kind {
        0 => whole,
        1 => STANDARD.encode(whole),
        2 => URL_SAFE_NO_PAD.encode(whole),
        3 => hex::encode(whole),
        4 => percent(&whole),
        5 => percent(&STANDARD.encode(whole)),
        _ => percent(&percent(&whole)),
    }
}

proptest! {
    #[test]
    fn whatever_stands_around_it_no_header_hides_it(
        kind in 0..7u8, pick in any::<prop::sample::Index>(), cases in 0..3u8,
        before in "[ !-$&-~]{0,30}", after in "[ !-$&-~]{0,30}", lead in "[ !-$&-~]{0,12}", tail in "[ !-$&-~]{0,12}",
    ) {
        let all: Vec<_> = Catalogue::built_in().providers().iter().flat_map(|p| &p.placeholders).collect();
        let value = &pick.get(&all).value;
        let value = match cases { 0 => value.clone(), 1 => value.to_ascii_lowercase(), _ => value.to_ascii_uppercase() };
        let text = format!("{lead}{}{tail}", encoded(kind, &before, &value, &after));
        prop_assert!(found(&text), "{text}");
        prop_assert!(forward("/r", &[("X-Any", &text)]).is_err());
    }

    #[test]
    fn other_text_passes(text in "[ -~]{0,200}") {
        prop_assert!(!found(&text));
        prop_assert!(!found(&STANDARD.encode(&text)));
    }
}
