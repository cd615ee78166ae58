//! SigV4 over the wire: where service and region come from, and what stands for the body.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::signature::{self, verify};
use crate::support::{Answer, Origin, Pki, Sidecar, origin};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const HOSTS: [&str; 4] =
    ["s3.eu-west-1.amazonaws.com", "dynamodb.eu-west-1.amazonaws.com", "sts.amazonaws.com", "minio.test"];

/// One connection for all of AWS, and an origin behind every name.
struct Aws {
    sidecar: Sidecar,
    origin: Origin,
}

impl Aws {
    async fn start(config: Value) -> Self {
        let pki = Pki::new();
        let server = pki.server(&HOSTS, &[b"http/1.1"]);
        let origin = Origin::start(crate::support::Speaks::Tls(server), origin::ok).await;
        let mut builder = Sidecar::builder()
            .policy(format!(
                "rules:\n  - {{ name: aws, host: [\"*.amazonaws.com\", minio.test], port: {}, connection: aws, \
                 mints: true, networks: [127.0.0.0/8] }}\n",
                origin.port()
            ))
            .connection(
                "aws",
                json!({"type": "aws_sigv4", "config": config}),
                &["*.amazonaws.com", "minio.test"],
                &[("access_key", "AKIDEXAMPLE"), ("secret_key", SECRET)],
            )
            .trusts(&pki)
            .configure(|config| config.limits.buffer = 1000);
        for host in HOSTS {
            builder = builder.host(host, &origin);
        }
        Self { sidecar: builder.start().await, origin }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.origin.port())
    }

    /// A request with an SDK's placeholder signature for this scope.
    async fn put(&self, host: &str, scope: &str, payload: Option<&str>, body: &[u8]) -> Answer {
        let mut request =
            Request::put(self.url(host, "/bucket/key%20a?x=1")).header("authorization", placeholder(scope));
        if let Some(payload) = payload {
            request = request.header("x-amz-content-sha256", payload);
        }
        let request = request.header("x-amz-date", "20260101T000000Z").body(Full::new(Bytes::copy_from_slice(body)));
        self.sidecar.agent.https(request.unwrap()).await
    }

    /// The only request that arrived, its signature verified; its scope.
    fn scope(&self) -> String {
        let received = self.origin.only();
        verify(&signature::of(&received), SECRET).unwrap();
        let authorization = received.header("authorization");
        assert!(!authorization.contains("PLACEHOLDER"), "{authorization}");
        let credential = authorization.split(['=', ',']).nth(1).unwrap();
        credential.splitn(3, '/').nth(2).unwrap().trim_end_matches("/aws4_request").to_owned()
    }
}

fn placeholder(scope: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=PLACEHOLDER/20260101/{scope}/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature={}",
        "0".repeat(64)
    )
}

#[tokio::test]
async fn service_and_region_come_from_the_clients_own_signature() {
    for (host, scope) in [
        ("s3.eu-west-1.amazonaws.com", "eu-west-1/s3"),
        ("dynamodb.eu-west-1.amazonaws.com", "eu-west-1/dynamodb"),
        ("sts.amazonaws.com", "us-east-1/sts"),
        ("minio.test", "anywhere/s3"),
    ] {
        let aws = Aws::start(json!({})).await;
        let answer = aws.put(host, scope, None, b"hi").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(aws.scope(), scope);
        assert_eq!(aws.origin.only().target, "/bucket/key%20a?x=1");
    }
}

#[tokio::test]
async fn a_presigned_url_is_signed_anew_in_headers() {
    let aws = Aws::start(json!({})).await;
    let query = "a=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=PLACEHOLDER%2F20260101%2Feu-west-1%2Fs3%2F\
                 aws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00&b=2";
    let answer = aws.sidecar.agent.get(&aws.url("s3.eu-west-1.amazonaws.com", &format!("/b/k?{query}"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((aws.scope().as_str(), aws.origin.only().target.as_str()), ("eu-west-1/s3", "/b/k?a=1&b=2"));
}

#[tokio::test]
async fn a_scope_that_the_host_contradicts_is_refused() {
    let aws = Aws::start(json!({})).await;
    for (host, scope) in [
        ("s3.eu-west-1.amazonaws.com", "us-east-1/s3"),
        ("s3.eu-west-1.amazonaws.com", "eu-west-1/dynamodb"),
        ("sts.amazonaws.com", "us-east-1/iam"),
    ] {
        let answer = aws.put(host, scope, None, b"hi").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "POLICY_DENIED"), "{host} {scope}");
        let message = answer.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(host) && message.contains("AWS"), "{message}");
    }
    assert!(aws.origin.received().is_empty());
}

#[tokio::test]
async fn what_the_connection_does_not_allow_is_refused() {
    let aws = Aws::start(json!({"allowed_services": ["s3"], "allowed_regions": ["eu-west-1"]})).await;
    for (host, scope) in [("dynamodb.eu-west-1.amazonaws.com", "eu-west-1/dynamodb"), ("minio.test", "us-east-1/s3")] {
        let answer = aws.put(host, scope, None, b"hi").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "POLICY_DENIED"), "{scope}");
    }
    assert!(aws.origin.received().is_empty());
    assert_eq!(aws.put("s3.eu-west-1.amazonaws.com", "eu-west-1/s3", None, b"hi").await.status, 200);
}

#[tokio::test]
async fn without_a_signature_the_region_has_a_default_and_the_service_has_none() {
    let aws = Aws::start(json!({"service": "sts"})).await;
    assert_eq!(aws.sidecar.agent.get(&aws.url("sts.amazonaws.com", "/")).await.status, 200);
    assert_eq!(aws.scope(), "us-east-1/sts");
    let aws = Aws::start(json!({"region": "eu-west-1"})).await;
    let answer = aws.sidecar.agent.get(&aws.url("sts.amazonaws.com", "/")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "CREDENTIAL_UNUSABLE"));
    assert!(aws.origin.received().is_empty());
}

#[tokio::test]
async fn what_s3_clients_say_of_the_body_is_kept() {
    let hash = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    // What boto3 sends over https: aws-chunked, with a checksum behind.
    let chunked = b"2\r\nhi\r\n0\r\nx-amz-checksum-crc32:2Yb6Ow==\r\n\r\n";
    for (payload, body, want) in [
        (Some("UNSIGNED-PAYLOAD"), &b"hi"[..], "UNSIGNED-PAYLOAD"),
        (Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), &chunked[..], "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        (Some(hash), &b"hi"[..], hash),
        (None, &b"hi"[..], "UNSIGNED-PAYLOAD"),
    ] {
        let aws = Aws::start(json!({})).await;
        let answer = aws.put("s3.eu-west-1.amazonaws.com", "eu-west-1/s3", payload, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        aws.scope();
        let received = aws.origin.only();
        assert_eq!((received.header("x-amz-content-sha256"), &received.body[..]), (want, body));
    }
}

/// Streamed, since nothing of it is signed: more than the buffer holds.
#[tokio::test]
async fn an_object_may_be_larger_than_the_buffer() {
    let aws = Aws::start(json!({})).await;
    let body = vec![b'x'; 100_000];
    let answer = aws.put("s3.eu-west-1.amazonaws.com", "eu-west-1/s3", None, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(aws.origin.only().body, body);
}

#[tokio::test]
async fn a_body_signed_chunk_by_chunk_is_refused_with_a_reason() {
    let aws = Aws::start(json!({})).await;
    for payload in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"] {
        let answer = aws.put("s3.eu-west-1.amazonaws.com", "eu-west-1/s3", Some(payload), b"x").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (501, "NOT_SUPPORTED"));
        let message = answer.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("chunk by chunk") && message.contains(payload), "{message}");
        assert_eq!(answer.headers["x-should-retry"], "false");
    }
    assert!(aws.origin.received().is_empty());
}

#[tokio::test]
async fn other_services_have_their_bodies_hashed_up_to_the_limit() {
    let aws = Aws::start(json!({})).await;
    let (host, scope) = ("dynamodb.eu-west-1.amazonaws.com", "eu-west-1/dynamodb");
    let answer = aws.put(host, scope, Some("UNSIGNED-PAYLOAD"), &[b'x'; 1001]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "BODY_TOO_LARGE"));
    assert!(aws.origin.received().is_empty());
    let answer = aws.put(host, scope, Some("UNSIGNED-PAYLOAD"), &[b'x'; 1000]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(aws.scope(), scope);
    assert_eq!(aws.origin.only().header("x-amz-content-sha256").len(), 64);
}
