//! The bytes that the reference Bridge sent, and ours beside them where they differ on purpose.

use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::BodyNeed;
use super::sending::Sending;
use crate::model::{Code, Fields, Secret};
use crate::sign::{PathEncoding, PayloadHash, SigV4Request, SigV4Settings, sign};

/// 25 bytes.
const B: &[u8] = "{\"amount\":1,\"note\":\"hé\"}".as_bytes();
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEYS: [(&str, &str); 2] = [("access_key", "AKIDEXAMPLE"), ("secret_key", SECRET)];
const B_HASH: &str = "dce9116c9c260d51f4c9307be810dbf8acdde37d01a8eb5bbbd376643d9e9fc0";
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Fields of a connection.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn strategy(kind: &str, config: Value) -> Value {
    json!({ "type": kind, "config": config })
}

fn header(config: Value) -> Value {
    strategy("header", config)
}

fn is_sent(strategy: &Value, credentials: Pairs<'_>, name: &str, want: &str) {
    let own = [("Authorization", "Bearer own"), ("authorization", "own"), (name, "own")];
    let outbound = Sending { credentials, headers: &own, ..Sending::get(strategy.clone()) }.outbound().unwrap();
    let values: Vec<_> = outbound.headers().get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{strategy}");
    assert_eq!(values[0].as_bytes(), want.as_bytes(), "{strategy}");
    assert!(values[0].is_sensitive());
    assert_eq!(outbound.headers().len(), 1, "{strategy}: {:?}", outbound.headers());
    assert_eq!(outbound.request_target(), "/r");
    assert_eq!(outbound.connection(), Some(("connection-1".into(), 7)));
}

#[test]
fn headers() {
    let key = || header(json!({"header_name": "X-Key"}));
    let prefixed = header(json!({"header_name": "Authorization", "value_prefix": "Token "}));
    for (strategy, value, name, want) in [
        (header(json!({"header_name": "X-API-Key", "credential_field": "api_key"})), "k-123", "x-api-key", "k-123"),
        (json!({"type": "header"}), "k-123", "authorization", "k-123"),
        (header(Value::Null), "k-123", "authorization", "k-123"),
        (json!({"type": "api_key"}), "k-123", "authorization", "k-123"),
        (prefixed, "k-123", "authorization", "Token k-123"),
        (key(), "k-é€", "x-key", "k-é€"),
        (key(), "  k 1  ", "x-key", "k 1"),
        (key(), "  ", "x-key", ""),
    ] {
        is_sent(&strategy, &[("api_key", value)], name, want);
    }
    let vendor = header(json!({"header_name": "x-vendor-key", "credential_field": "pat"}));
    is_sent(&vendor, &[("pat", "p-456"), ("api_key", "k-123")], "x-vendor-key", "p-456");
}

#[test]
fn basic_and_bearer() {
    let fields = strategy("basic_auth", json!({"username_field": "sid", "password_field": "tok"}));
    let token = "at-0f885f3f72de62b238ed6baa";
    let rows: [(Value, Pairs<'_>, &str); 3] = [
        (
            json!({"type": "basic_auth"}),
            &[("username", "usér"), ("password", "p:ss wörd")],
            "Basic dXPDqXI6cDpzcyB3w7ZyZA==",
        ),
        (fields, &[("sid", "AC1"), ("tok", "t-1")], "Basic QUMxOnQtMQ=="),
        (
            json!({"type": "oauth2"}),
            &[("access_token", token), ("token_type", "mac")],
            "Bearer at-0f885f3f72de62b238ed6baa",
        ),
    ];
    for (strategy, credentials, want) in rows {
        is_sent(&strategy, credentials, "authorization", want);
    }
}

#[test]
fn a_literal_user_name() {
    let strategy = strategy("basic_auth", json!({"username": "x-access-token"}));
    let credentials = [("password", "ghs_16C7e42F292c6912E7710c838347Ae178B4a")];
    let outbound = Sending { credentials: &credentials, ..Sending::get(strategy) }.outbound().unwrap();
    let want = "Basic eC1hY2Nlc3MtdG9rZW46Z2hzXzE2QzdlNDJGMjkyYzY5MTJFNzcxMGM4MzgzNDdBZTE3OEI0YQ==";
    assert_eq!(outbound.headers()[AUTHORIZATION], want);
    let watch = outbound.watch();
    assert!(watch.sees(want.as_bytes()) && watch.sees(credentials[0].1.as_bytes()));
    assert!(!watch.sees(b"x-access-token"));
}

/// The Bridge writes the third row's query anew: `/r?a=~&b=x+y&flag=&key=old&key=k-123&z=1`.
#[test]
fn query_parameters() {
    for (param, value, target, want) in [
        ("key", "k-123", "/r", "/r?key=k-123"),
        ("api key", "a b&c=d+e/f?é~*'()", "/r", "/r?api+key=a+b%26c%3Dd%2Be%2Ff%3F%C3%A9~%2A%27%28%29"),
        ("key", "k-123", "/r?z=1&a=%7e&key=old&b=x%20y&flag&a=2;3", "/r?z=1&a=%7e&b=x%20y&flag&a=2;3&key=k-123"),
        ("key", "k-123", "/r?", "/r?key=k-123"),
        ("key", "k-123", "/r?k%65y=a&key&KEY=b", "/r?KEY=b&key=k-123"),
    ] {
        let strategy = strategy("query_param", json!({"param_name": param}));
        let credentials = [("api_key", value)];
        let own = [("Authorization", "Bearer own"), ("Accept", "*/*")];
        let sending = Sending { credentials: &credentials, target, headers: &own, ..Sending::get(strategy) };
        let outbound = sending.outbound().unwrap();
        assert_eq!(outbound.request_target(), want);
        assert_eq!(outbound.headers().keys().collect::<Vec<_>>(), ["accept"]);
        let query = outbound.facts().query.unwrap();
        assert!(query.ends_with("=*") && !query.contains("k-123"), "{query}");
    }
}

#[test]
fn hmacs_of_the_body() {
    let hmac = |config| strategy("hmac_payload", config);
    for (strategy, field, secret, body, name, want) in [
        (
            hmac(json!({"header_name": "X-Signature"})),
            "api_secret",
            "s3cret",
            B,
            "x-signature",
            "dcfed34cbab391e54ad7e3736b77e27f873c5d1997ec40de24ef9b1e8f065fd1",
        ),
        (
            hmac(json!({"header_name": "X-Signature"})),
            "api_secret",
            "s3cret",
            b"".as_slice(),
            "x-signature",
            "91dfac70c5348b04e1babb8b421ac92cec08b565b49ca16130dccb72503647b7",
        ),
        (
            hmac(json!({"header_name": "X-Sig", "algo": "sha1", "encoding": "base64", "secret_field": "sk"})),
            "sk",
            "s3cret",
            B,
            "x-sig",
            "dBl4hzC75UFXAMqJHFuYrn3kBz8=",
        ),
        (
            hmac(json!({"header_name": "X-Sig", "encoding": "base64"})),
            "api_secret",
            "c2VjcmV0",
            B,
            "x-sig",
            "vxHqkG/4dWbXSLMSvMWfg4quZIVpoEu55HPClh0l1+4=",
        ),
    ] {
        let credentials = [(field, secret)];
        let own = [(name, "own")];
        let method = if body.is_empty() { "GET" } else { "POST" };
        let sending =
            Sending { credentials: &credentials, body, method, headers: &own, ..Sending::get(strategy.clone()) };
        assert_eq!(sending.need(), Ok(BodyNeed::Buffered));
        let outbound = sending.outbound().unwrap();
        assert_eq!(outbound.headers()[name], want, "{strategy}");
        assert_eq!(outbound.headers().len(), 1);
        assert_eq!(outbound.content_length(), Some(body.len() as u64));
        assert!(outbound.watch().sees(want.as_bytes()));
    }
}

/// The Bridge sorts and encodes the query that it sends; ours keeps the client's bytes, and the
/// signature is the same.
#[test]
fn sigv4_as_the_bridge_signs() {
    let execute = || strategy("aws_sigv4", json!({"service": "execute-api"}));
    let plain = "host;x-amz-content-sha256;x-amz-date";
    for (target, date, signature) in [
        (
            "/r?b=2&a=1%20x&a=0&flag",
            "20261121T092751Z",
            "07092868d9618cf4d3fd9c57e3b5b1083b7cbb4abfd4691ed304ac7e3ee1eefa",
        ),
        (
            "/r?a=0&a=1%20x&b=2&flag=",
            "20261121T092751Z",
            "07092868d9618cf4d3fd9c57e3b5b1083b7cbb4abfd4691ed304ac7e3ee1eefa",
        ),
        (
            "/a%20b/%2F/c;d=e/f*'()/%C3%A9",
            "20261121T093401Z",
            "e8a8afd3ebbcd75ff3305a3f470b9197e7024092bc05a93f5366d1c7347d5068",
        ),
        (
            "/?q=a+b%20c&Z=1&a=%2a",
            "20261121T093401Z",
            "d2ffe49bad57ab952f84cc6675db1cdede12e739d1bff84a7d101fab4b5d17e0",
        ),
    ] {
        let own = [("User-Agent", "x"), ("X-Amzn-Trace-Id", "Root=1"), ("Connection", "x-hop"), ("X-Hop", "1")];
        let sending = Sending { credentials: &KEYS, target, date, headers: &own, ..Sending::get(execute()) };
        let (outbound, signed) = sending.verified(SECRET);
        assert_eq!((outbound.request_target(), signed.as_str()), (target, plain));
        let want = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/execute-api/aws4_request, \
             SignedHeaders={plain}, Signature={signature}"
        );
        assert_eq!(outbound.headers()[AUTHORIZATION], want);
        assert_eq!(outbound.headers()["x-amz-content-sha256"], EMPTY_HASH);
        assert_eq!(outbound.headers()["x-amz-date"], date);
    }
}

#[test]
fn sigv4_of_a_body() {
    let own = [
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Target", "T.Op"),
        ("X-Other", "a   b"),
        ("Authorization", "Bearer own"),
        ("X-Amz-Date", "19700101T000000Z"),
        ("X-Amz-Security-Token", "own"),
        ("X-Amz-Content-Sha256", "own"),
    ];
    let strategy = strategy("aws_sigv4", json!({"service": "dynamodb", "region": "eu-west-1"}));
    let sending =
        Sending { credentials: &KEYS, method: "POST", target: "/", body: B, headers: &own, ..Sending::get(strategy) };
    assert_eq!(sending.need(), Ok(BodyNeed::Buffered));
    let (outbound, signed) = sending.verified(SECRET);
    let want = "content-length;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target;x-other";
    assert_eq!(signed, want);
    let authorization = outbound.headers()[AUTHORIZATION].to_str().unwrap();
    assert!(
        authorization.ends_with("Signature=19bdcfb8da0aff2c863aaf897826afefcbba27f05e73639c390a099f216cb6c3"),
        "{authorization}"
    );
    assert_eq!(outbound.headers()["x-amz-content-sha256"], B_HASH);
    assert_eq!(outbound.headers()["x-other"], "a   b");
    assert_eq!(outbound.headers().get("x-amz-security-token"), None);
    let signature = authorization.rsplit('=').next().unwrap();
    assert!(outbound.watch().sees(signature.as_bytes()) && outbound.watch().sees(SECRET.as_bytes()));
    assert!(!outbound.watch().sees(b"the key AKIDEXAMPLE is no secret, and stands in many an error message of AWS"));
}

/// For S3 the Bridge hashes the body and escapes the path twice. Ours escapes it once and leaves
/// the body unsigned, or keeps the hash that the client sent.
#[test]
fn sigv4_for_s3() {
    const TOKEN: &str = "SESSION/token+1==";
    let credentials = [KEYS[0], KEYS[1], ("session_token", TOKEN)];
    let (path, date) = ("/b/k%20ey/%C3%A9~.txt", "20261121T092752Z");
    let want = "content-length;host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
    let PayloadHash::Hex(hash) = PayloadHash::of(b"hi") else { panic!() };
    for (own, payload) in [
        (vec![], "UNSIGNED-PAYLOAD"),
        (vec![("x-amz-content-sha256", hash.as_str())], hash.as_str()),
        (vec![("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")], "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    ] {
        let strategy = strategy("aws_sigv4", json!({"service": "s3", "region": "eu-central-1"}));
        let sending = Sending {
            credentials: &credentials,
            method: "PUT",
            target: path,
            body: b"hi",
            headers: &own,
            date,
            ..Sending::get(strategy)
        };
        assert_eq!(sending.need(), Ok(BodyNeed::Streamed));
        let (outbound, signed) = sending.verified(SECRET);
        assert_eq!(signed, want);
        assert_eq!(outbound.request_target(), path);
        assert_eq!(outbound.headers()["x-amz-content-sha256"], payload);
        assert_eq!(outbound.headers()["x-amz-security-token"], TOKEN);
        assert!(outbound.watch().sees(TOKEN.as_bytes()));
    }

    let mut settings = SigV4Settings::new("s3", "eu-central-1");
    settings.path = PathEncoding::Twice;
    let mut fields = Fields::new();
    credentials.iter().for_each(|(name, value)| fields.insert(*name, Secret::new(*value)));
    let headers: [(&str, &[u8]); 2] = [("host", b"api.example.test"), ("content-length", b"2")];
    let payload = PayloadHash::Hex(hash);
    let request = SigV4Request { method: "PUT", path, query: None, headers: &headers, payload: &payload };
    let bridge = sign(&request, &settings, &fields, super::sending::moment(date)).unwrap();
    let authorization = bridge.iter().find(|(name, _)| name == AUTHORIZATION).unwrap().1.to_str().unwrap();
    let signature = "91fe3408d6d0fc94c2080583757d266667b5c2eaace11fb37395be1db064eeeb";
    assert!(authorization.ends_with(&format!("SignedHeaders={want}, Signature={signature}")), "{authorization}");
}

#[test]
fn a_credential_that_cannot_be_used_is_named_and_never_quoted() {
    let header = || header(json!({"header_name": "X-Key"}));
    let query = || strategy("query_param", json!({"param_name": "key"}));
    let hmac = || strategy("hmac_payload", json!({"header_name": "X-Sig"}));
    let aws = || strategy("aws_sigv4", json!({"service": "sts"}));
    let rows: [(Value, Pairs<'_>, &str); 13] = [
        (header(), &[], "api_key"),
        (header(), &[("api_key", "")], "api_key"),
        (header(), &[("api_key", "hunter2\r\nX-Evil: 1")], "api_key"),
        (header(), &[("api_key", "hunter2\0")], "api_key"),
        (query(), &[("api_key", "hunter2\n")], "api_key"),
        (query(), &[("token", "hunter2")], "api_key"),
        (json!({"type": "basic_auth"}), &[("username", "hunter2:x"), ("password", "hunter2")], "username"),
        (json!({"type": "basic_auth"}), &[("username", "u"), ("password", "hunter2\n")], "password"),
        (json!({"type": "basic_auth"}), &[("username", "u"), ("password", "")], "password"),
        (json!({"type": "oauth2"}), &[("access_token", "")], "access_token"),
        (hmac(), &[("api_secret", "")], "api_secret"),
        (aws(), &[("access_key", "AKID")], "secret_key"),
        (aws(), &[("access_key", "AKID"), ("secret_key", "hunter2 ")], "secret_key"),
    ];
    for (strategy, credentials, field) in rows {
        let refusal = Sending { credentials, ..Sending::get(strategy.clone()) }.outbound().unwrap_err();
        assert_eq!(refusal.code(), Code::CredentialUnusable, "{strategy}");
        let message = refusal.message();
        assert!(message.contains("the-connection") && message.contains(&format!("field {field} ")), "{message}");
        assert!(!message.contains("hunter2") && !refusal.log().contains("hunter2"), "{message}");
    }
    let credentials = [("api_key", "a\tb")];
    assert!(Sending { credentials: &credentials, ..Sending::get(header()) }.outbound().is_ok());
    let credentials = [("api_secret", "line 1\nline 2\n")];
    assert!(Sending { credentials: &credentials, ..Sending::get(hmac()) }.outbound().is_ok());
}
