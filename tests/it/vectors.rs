//! The golden vectors of the Nexus Bridge (its bytes on the wire), each through the whole
//! pipeline: an agent asks in the clear, the rule's connection upgrades to https, an origin
//! records what arrived. Where ours differs on purpose, both are stated.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::signature::{self, verify};
use crate::support::{Origin, Pki, Received, Sidecar, Speaks, origin};

/// 25 bytes.
const B: &[u8] = "{\"amount\":1,\"note\":\"hé\"}".as_bytes();
const B_HASH: &str = "dce9116c9c260d51f4c9307be810dbf8acdde37d01a8eb5bbbd376643d9e9fc0";
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEYS: [(&str, &str); 2] = [("access_key", "AKIDEXAMPLE"), ("secret_key", SECRET)];

/// One row.
struct Vector<'a> {
    strategy: Value,
    credentials: &'a [(&'a str, &'a str)],
    date: &'a str,
    method: &'a str,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

impl Vector<'_> {
    fn get(strategy: Value) -> Self {
        Self {
            strategy,
            credentials: &[],
            date: "20261121T092751Z",
            method: "GET",
            target: "/r",
            headers: &[],
            body: b"",
        }
    }

    /// Sends it; on port 443, which the `Host` of the vectors means, or, where low ports are
    /// root's, on another.
    async fn sent(&self) -> (Received, bool) {
        let pki = Pki::new();
        let speaks = Speaks::Tls(pki.server(&["api.example.test"], &[b"http/1.1"]));
        let (origin, exact) = match Origin::reserved(443).await {
            Some(listener) => (Origin::on(listener, speaks, origin::ok), true),
            None => {
                crate::left_out::say("the Bridge's exact signature (a user here cannot listen on port 443)");
                (Origin::start(speaks, origin::ok).await, false)
            }
        };
        let (at, rule) = if exact {
            ("api.example.test".to_owned(), String::new())
        } else {
            (format!("api.example.test:{}", origin.port()), format!(", port: {}", origin.port()))
        };
        let sidecar = Sidecar::builder()
            .policy(format!(
                "rules:\n  - {{ host: api.example.test, connection: api, networks: [127.0.0.0/8]{rule} }}\n"
            ))
            .connection("api", self.strategy.clone(), &["api.example.test"], self.credentials)
            .trusts(&pki)
            .host("api.example.test", &origin)
            .at(moment(self.date))
            .start()
            .await;
        let url = format!("http://{at}{}", self.target);
        let answer = sidecar.agent.plain(self.method, &url, self.headers, self.body).await;
        assert_eq!(answer.status, 200, "{} {}: {answer:?}", self.strategy, self.target);
        let received = origin.only();
        assert_eq!((received.method.as_str(), &received.body[..]), (self.method, self.body));
        assert_eq!(received.header("host"), at);
        (received, exact)
    }
}

/// `20261121T092751Z`.
fn moment(text: &str) -> SystemTime {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let moment = time::PrimitiveDateTime::parse(text, format).unwrap().assume_utc();
    SystemTime::UNIX_EPOCH + Duration::from_secs(moment.unix_timestamp().try_into().unwrap())
}

fn strategy(kind: &str, config: Value) -> Value {
    json!({ "type": kind, "config": config })
}

/// Names arrive in lower case where the Bridge writes `X-Api-Key`: they mean the same (RFC 9110,
/// section 5.1), and HTTP/2 knows no other.
#[tokio::test]
async fn headers_basic_and_bearer() {
    let header = |config| strategy("header", config);
    let own = [("Authorization", "Bearer own")];
    let key = || header(json!({"header_name": "X-Key"}));
    let basic = strategy("basic_auth", json!({"username_field": "sid", "password_field": "tok"}));
    let vendor = header(json!({"header_name": "x-vendor-key", "credential_field": "pat"}));
    let token = header(json!({"header_name": "Authorization", "value_prefix": "Token "}));
    let api_key = header(json!({"header_name": "X-API-Key", "credential_field": "api_key"}));
    type Row<'a> = (Value, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], &'a str, &'a str);
    let rows: [Row<'_>; 10] = [
        (api_key, &[("api_key", "k-123")], &[], "x-api-key", "k-123"),
        (json!({"type": "header"}), &[("api_key", "k-123")], &[], "authorization", "k-123"),
        (header(Value::Null), &[("api_key", "k-123")], &[], "authorization", "k-123"),
        (token, &[("api_key", "k-123")], &own, "authorization", "Token k-123"),
        (vendor, &[("pat", "p-456")], &[], "x-vendor-key", "p-456"),
        (key(), &[("api_key", "k-é€")], &[], "x-key", "k-é€"),
        (key(), &[("api_key", "  k 1  ")], &[], "x-key", "k 1"),
        (
            json!({"type": "basic_auth"}),
            &[("username", "usér"), ("password", "p:ss wörd")],
            &[],
            "authorization",
            "Basic dXPDqXI6cDpzcyB3w7ZyZA==",
        ),
        (basic, &[("sid", "AC1"), ("tok", "t-1")], &[], "authorization", "Basic QUMxOnQtMQ=="),
        (
            json!({"type": "oauth2"}),
            &[("access_token", "at-0f885f3f72de62b238ed6baa"), ("token_type", "mac")],
            &own,
            "authorization",
            "Bearer at-0f885f3f72de62b238ed6baa",
        ),
    ];
    for (strategy, credentials, headers, name, want) in rows {
        let (received, _) = Vector { credentials, headers, ..Vector::get(strategy) }.sent().await;
        let values: Vec<_> = received.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        assert_eq!(values, [want.as_bytes()], "{name}");
        assert_eq!(received.target, "/r");
        assert_eq!(received.headers.len(), 2, "the header and Host alone: {:?}", received.headers);
    }
}

/// Of the third row the Bridge makes `/r?a=~&b=x+y&flag=&key=old&key=k-123&z=1`. Ours removes the
/// parameter that the agent sent, and leaves every other byte.
#[tokio::test]
async fn query_parameters() {
    for (param, value, target, want) in [
        ("key", "k-123", "/r", "/r?key=k-123"),
        ("api key", "a b&c=d+e/f?é~*'()", "/r", "/r?api+key=a+b%26c%3Dd%2Be%2Ff%3F%C3%A9~%2A%27%28%29"),
        ("key", "k-123", "/r?z=1&a=%7e&key=old&b=x%20y&flag&a=2;3", "/r?z=1&a=%7e&b=x%20y&flag&a=2;3&key=k-123"),
    ] {
        let credentials = [("api_key", value)];
        let strategy = strategy("query_param", json!({"param_name": param}));
        let (received, _) = Vector { credentials: &credentials, target, ..Vector::get(strategy) }.sent().await;
        assert_eq!(received.target, want);
    }
}

#[tokio::test]
async fn hmacs_of_the_body() {
    let hmac = |config| strategy("hmac_payload", config);
    let plain = || hmac(json!({"header_name": "X-Signature"}));
    let sha1 = hmac(json!({"header_name": "X-Sig", "algo": "sha1", "encoding": "base64", "secret_field": "sk"}));
    let base64 = hmac(json!({"header_name": "X-Sig", "encoding": "base64"}));
    for (strategy, field, secret, body, name, want) in [
        (
            plain(),
            "api_secret",
            "s3cret",
            B,
            "x-signature",
            "dcfed34cbab391e54ad7e3736b77e27f873c5d1997ec40de24ef9b1e8f065fd1",
        ),
        (
            plain(),
            "api_secret",
            "s3cret",
            b"".as_slice(),
            "x-signature",
            "91dfac70c5348b04e1babb8b421ac92cec08b565b49ca16130dccb72503647b7",
        ),
        (sha1, "sk", "s3cret", B, "x-sig", "dBl4hzC75UFXAMqJHFuYrn3kBz8="),
        (base64, "api_secret", "c2VjcmV0", B, "x-sig", "vxHqkG/4dWbXSLMSvMWfg4quZIVpoEu55HPClh0l1+4="),
    ] {
        let credentials = [(field, secret)];
        let method = if body.is_empty() { "GET" } else { "POST" };
        let (received, _) = Vector { credentials: &credentials, method, body, ..Vector::get(strategy) }.sent().await;
        assert_eq!(received.header(name), want);
    }
}

/// The Bridge sends the query sorted and encoded anew (the second target of a row); ours keeps
/// the client's bytes. The signature is the same.
#[tokio::test]
async fn sigv4_of_paths_and_queries() {
    let signed = "host;x-amz-content-sha256;x-amz-date";
    for (asked, bridge, date, signature) in [
        (
            "/r?b=2&a=1%20x&a=0&flag",
            "/r?a=0&a=1%20x&b=2&flag=",
            "20261121T092751Z",
            "07092868d9618cf4d3fd9c57e3b5b1083b7cbb4abfd4691ed304ac7e3ee1eefa",
        ),
        (
            "/a%20b/%2F/c;d=e/f*'()/%C3%A9",
            "/a%20b/%2F/c;d=e/f*'()/%C3%A9",
            "20261121T093401Z",
            "e8a8afd3ebbcd75ff3305a3f470b9197e7024092bc05a93f5366d1c7347d5068",
        ),
        (
            "/?q=a+b%20c&Z=1&a=%2a",
            "/?Z=1&a=%2A&q=a%20b%20c",
            "20261121T093401Z",
            "d2ffe49bad57ab952f84cc6675db1cdede12e739d1bff84a7d101fab4b5d17e0",
        ),
    ] {
        for target in [asked, bridge] {
            let strategy = strategy("aws_sigv4", json!({"service": "execute-api"}));
            let (received, exact) = Vector { credentials: &KEYS, target, date, ..Vector::get(strategy) }.sent().await;
            assert_eq!(received.target, target);
            assert_eq!(received.header("x-amz-date"), date);
            assert_eq!(received.header("x-amz-content-sha256"), EMPTY_HASH);
            is_signed(&received, "us-east-1/execute-api", signed, exact.then_some(signature));
        }
    }
}

#[tokio::test]
async fn sigv4_of_a_body() {
    let strategy = strategy("aws_sigv4", json!({"service": "dynamodb", "region": "eu-west-1"}));
    let headers = [
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Target", "T.Op"),
        ("X-Other", "a   b"),
        ("Authorization", "Bearer own"),
        ("X-Amz-Date", "19700101T000000Z"),
        ("X-Amz-Security-Token", "own"),
    ];
    let vector =
        Vector { credentials: &KEYS, method: "POST", target: "/", headers: &headers, body: B, ..Vector::get(strategy) };
    let (received, exact) = vector.sent().await;
    let signed = "content-length;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target;x-other";
    let signature = "19bdcfb8da0aff2c863aaf897826afefcbba27f05e73639c390a099f216cb6c3";
    is_signed(&received, "eu-west-1/dynamodb", signed, exact.then_some(signature));
    assert_eq!(received.header("x-amz-content-sha256"), B_HASH);
    assert_eq!(received.header("x-amz-date"), "20261121T092751Z");
    assert_eq!(received.header("x-other"), "a   b");
    assert!(!received.headers.contains_key("x-amz-security-token"));
}

/// The Bridge hashes the body and escapes the path twice, which gives
/// `91fe3408d6d0fc94c2080583757d266667b5c2eaace11fb37395be1db064eeeb` and which S3 refuses. Ours
/// escapes the path once and leaves the body unsigned over TLS, or keeps the client's own hash.
#[tokio::test]
async fn sigv4_for_s3() {
    const BRIDGE: &str = "91fe3408d6d0fc94c2080583757d266667b5c2eaace11fb37395be1db064eeeb";
    let hash = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    let credentials = [KEYS[0], KEYS[1], ("session_token", "SESSION/token+1==")];
    let own_hash = [("X-Amz-Content-Sha256", hash)];
    for (headers, payload) in [(&[][..], "UNSIGNED-PAYLOAD"), (&own_hash[..], hash)] {
        let vector = Vector {
            credentials: &credentials,
            date: "20261121T092752Z",
            method: "PUT",
            target: "/b/k%20ey/%C3%A9~.txt",
            headers,
            body: b"hi",
            ..Vector::get(strategy("aws_sigv4", json!({"service": "s3", "region": "eu-central-1"})))
        };
        let (received, _) = vector.sent().await;
        assert_eq!(received.target, "/b/k%20ey/%C3%A9~.txt");
        assert_eq!(received.header("x-amz-security-token"), "SESSION/token+1==");
        assert_eq!(received.header("x-amz-content-sha256"), payload);
        assert!(!received.header("authorization").ends_with(BRIDGE));
        let signed = "content-length;host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
        is_signed(&received, "eu-central-1/s3", signed, None);
    }
}

/// The `Authorization` in every part, and, whatever the port, by the independent verifier.
fn is_signed(received: &Received, scope: &str, signed: &str, signature: Option<&str>) {
    let authorization = received.header("authorization");
    let want = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/{scope}/aws4_request, SignedHeaders={signed}, Signature="
    );
    let found = authorization.strip_prefix(&want).unwrap_or_else(|| panic!("{authorization}\n{want}"));
    if let Some(signature) = signature {
        assert_eq!(found, signature);
    }
    let names = verify(&signature::of(received), SECRET).unwrap();
    assert_eq!(names.join(";"), signed);
}
