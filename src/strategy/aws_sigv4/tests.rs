use http::header::{AUTHORIZATION, COOKIE};
use serde_json::{Value, json};

use crate::model::Code;
use crate::strategy::BodyNeed;
use crate::strategy::sending::Sending;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEYS: [(&str, &str); 2] = [("access_key", "AKIDEXAMPLE"), ("secret_key", SECRET)];

fn aws(config: Value) -> Value {
    json!({ "type": "aws_sigv4", "config": config })
}

fn placeholder(region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=PLACEHOLDER/20261121/{region}/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=00"
    )
}

/// The scope that was signed for, or the code of the refusal.
fn scope(config: Value, url: &str, own: Option<&str>) -> Result<String, Code> {
    let own: Vec<(&str, &str)> = own.into_iter().map(|own| ("Authorization", own)).collect();
    let sending = Sending { credentials: &KEYS, target: url, headers: &own, ..Sending::get(aws(config)) };
    assert_eq!(sending.need().is_err(), sending.outbound().is_err());
    if let Err(refusal) = sending.outbound() {
        assert_eq!(refusal.rule().is_some(), refusal.code() == Code::PolicyDenied);
        return Err(refusal.code());
    }
    let (outbound, _) = sending.verified(SECRET);
    let authorization = outbound.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
    let scope = authorization.split_once("/20261121/").unwrap().1.split_once("/aws4").unwrap().0;
    Ok(scope.to_owned())
}

#[test]
fn one_connection_serves_all_of_aws() {
    for (region, service, url) in [
        ("eu-west-1", "s3", "https://bucket.s3.eu-west-1.amazonaws.com/key"),
        ("us-east-1", "sts", "https://sts.amazonaws.com/"),
        ("eu-central-1", "dynamodb", "https://dynamodb.eu-central-1.amazonaws.com/"),
        ("garage", "s3", "https://s3.example.test:8443/b/k"),
    ] {
        let own = placeholder(region, service);
        assert_eq!(scope(json!({}), url, Some(&own)), Ok(format!("{region}/{service}")), "{url}");
    }
}

#[test]
fn the_connections_setting_wins_and_the_defaults_hold() {
    let url = "https://api.example.test/r";
    let own = placeholder("eu-west-1", "sts");
    for (config, own, want) in [
        (json!({"service": "iam", "region": "eu-north-1"}), Some(&own), Ok("eu-north-1/iam")),
        (json!({"service": "iam"}), Some(&own), Ok("eu-west-1/iam")),
        (json!({"region": "eu-north-1"}), Some(&own), Ok("eu-north-1/sts")),
        (json!({"service": "iam"}), None, Ok("us-east-1/iam")),
        (json!({}), None, Err(Code::CredentialUnusable)),
        (json!({"region": "eu-north-1"}), None, Err(Code::CredentialUnusable)),
        (json!({}), Some(&"Bearer own".to_owned()), Err(Code::CredentialUnusable)),
    ] {
        let want = want.map(str::to_owned);
        assert_eq!(scope(config.clone(), url, own.map(String::as_str)), want, "{config} {own:?}");
    }
}

#[test]
fn a_clients_choice_must_agree_and_be_allowed() {
    let s3 = "https://s3.eu-west-1.amazonaws.com/b/k";
    let lists = || json!({"allowed_services": ["s3", "sts"], "allowed_regions": ["eu-west-1"]});
    for (config, own, url, allowed) in [
        (json!({}), placeholder("eu-west-1", "s3"), s3, true),
        (json!({}), placeholder("eu-west-2", "s3"), s3, false),
        (json!({}), placeholder("eu-west-1", "sts"), s3, false),
        (lists(), placeholder("eu-west-1", "s3"), s3, true),
        (lists(), placeholder("eu-west-1", "iam"), "https://iam.amazonaws.com/", false),
        (lists(), placeholder("us-east-1", "sts"), "https://sts.amazonaws.com/", false),
        (lists(), placeholder("eu-west-1", "sts"), "https://sts.eu-west-1.amazonaws.com/", true),
        // What the connection fixes is not compared: the client need not know it.
        (json!({"region": "eu-west-1"}), placeholder("us-east-1", "s3"), s3, true),
    ] {
        let answer = scope(config.clone(), url, Some(&own));
        let code = answer.as_ref().err().copied();
        assert_eq!(code, (!allowed).then_some(Code::PolicyDenied), "{config} {own} {url}");
    }
}

#[test]
fn a_presigned_placeholder_becomes_a_signed_request() {
    let target = "https://b.s3.eu-west-1.amazonaws.com/k?response-content-type=text%2Fplain\
                  &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                  &X-Amz-Credential=PLACEHOLDER%2F20261121%2Feu-west-1%2Fs3%2Faws4_request\
                  &X-Amz-Date=20261121T090000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=00\
                  &X-Amz-Security-Token=own&x-id=GetObject";
    let sending = Sending { credentials: &KEYS, target, ..Sending::get(aws(json!({}))) };
    assert_eq!(sending.need(), Ok(BodyNeed::Streamed));
    let (outbound, signed) = sending.verified(SECRET);
    assert_eq!(outbound.request_target(), "/k?response-content-type=text%2Fplain&x-id=GetObject");
    assert_eq!(signed, "host;x-amz-content-sha256;x-amz-date");
    assert!(outbound.headers()[AUTHORIZATION].to_str().unwrap().contains("AKIDEXAMPLE/20261121/eu-west-1/s3/"));

    let alone = target.replace("response-content-type=text%2Fplain&", "").replace("&x-id=GetObject", "");
    let sending = Sending { credentials: &KEYS, target: &alone, ..Sending::get(aws(json!({}))) };
    assert_eq!(sending.verified(SECRET).0.request_target(), "/k");
}

#[test]
fn s3_over_plaintext_holds_the_body() {
    let config = || aws(json!({"service": "s3"}));
    let sending = Sending {
        credentials: &KEYS,
        method: "PUT",
        target: "http://minio.example.test:9000/b/a(1)+b%20c",
        body: b"hi",
        ..Sending::get(config())
    };
    assert_eq!(sending.need(), Ok(BodyNeed::Buffered));
    let (outbound, _) = sending.verified(SECRET);
    let hash = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    assert_eq!(outbound.headers()["x-amz-content-sha256"], hash);
    assert_eq!(outbound.request_target(), "/b/a(1)+b%20c");
}

#[test]
fn repeated_slashes_are_part_of_an_s3_key_and_of_nothing_else() {
    for (service, target) in [("s3", "//b//k//"), ("s3", "/b/%2F/k"), ("sts", "//b//k//"), ("sts", "//")] {
        let sending = Sending { credentials: &KEYS, target, ..Sending::get(aws(json!({"service": service}))) };
        assert_eq!(sending.verified(SECRET).0.request_target(), target);
    }
}

#[test]
fn what_an_s3_client_says_about_its_body_passes_and_is_signed() {
    let own = [
        ("Content-Encoding", "aws-chunked"),
        ("X-Amz-Decoded-Content-Length", "2"),
        ("X-Amz-Trailer", "x-amz-checksum-crc32"),
        ("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("Cookie", "a=b"),
        ("TE", "trailers"),
        ("Via", "1.1 x"),
    ];
    let sending = Sending {
        credentials: &KEYS,
        method: "PUT",
        headers: &own,
        pass_headers: &[COOKIE],
        body: b"2",
        ..Sending::get(aws(json!({"service": "s3"})))
    };
    let (outbound, signed) = sending.verified(SECRET);
    let want = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
                x-amz-trailer";
    assert_eq!(signed, want);
    assert_eq!(outbound.headers()["te"], "trailers");
    assert_eq!(outbound.headers()[COOKIE], "a=b");
}

#[test]
fn what_cannot_be_signed_is_refused_before_anything_is_sent() {
    let sign = |own: &[(&str, &str)], target: &str| {
        let sending =
            Sending { credentials: &KEYS, headers: own, target, ..Sending::get(aws(json!({"service": "s3"}))) };
        sending.outbound().map_err(|refusal| (refusal.code(), refusal.message().to_owned()))
    };
    let chunked = [("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")];
    let (code, message) = sign(&chunked, "/r").unwrap_err();
    assert_eq!(code, Code::NotSupported);
    assert!(message.contains("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), "{message}");
    assert_eq!(sign(&[], "/r?a=%FF").unwrap_err().0, Code::InvalidRequest);
    assert!(sign(&[("X-Other", "é")], "/r").is_ok());
}
