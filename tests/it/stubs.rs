//! Stubs on the request path: what they hand out is swapped where a rule grants it, refused
//! elsewhere, and nothing of the dance itself leaves.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::signature::{self, verify};
use crate::support::{Answer, Origin, Pki, Sidecar, Speaks, origin};

const METADATA: &str = "http://169.254.169.254";
const SECRET: &str = "canary-5d0e77c1";
const HOSTS: [&str; 5] = [
    "s3.eu-west-1.amazonaws.com",
    "storage.googleapis.com",
    "vault.azure.net",
    "evil.test",
    "login.microsoftonline.com",
];

/// Stubs, an origin behind every name, and a rule that grants AWS, Google and Azure.
struct Dance {
    sidecar: Sidecar,
    origin: Origin,
}

impl Dance {
    async fn start() -> Self {
        let pki = Pki::new();
        let origin = Origin::start(Speaks::Tls(pki.server(&HOSTS, &[b"http/1.1"])), origin::ok).await;
        let port = origin.port();
        let more = format!("port: {port}, networks: [127.0.0.0/8]");
        let policy = format!(
            "rules:
  - {{ name: imds, host: 169.254.169.254, path: /latest/**, action: stub, stub: aws-metadata }}
  - {{ name: azure, host: 169.254.169.254, path: /metadata/**, action: stub, stub: azure-metadata }}
  - {{ name: gcp, host: [metadata.google.internal, 169.254.169.254], action: stub, stub: gcp-metadata }}
  - {{ name: login, host: login.microsoftonline.com, port: {port}, action: stub, stub: azure-login }}
  - {{ name: s3, host: s3.eu-west-1.amazonaws.com, connection: aws, {more} }}
  - {{ name: storage, host: storage.googleapis.com, connection: google, {more} }}
  - {{ name: vault, host: vault.azure.net, connection: azure, {more} }}
  - {{ name: other, host: evil.test, action: forward, {more} }}\n"
        );
        let keys = [("access_key", "AKIDEXAMPLE"), ("secret_key", SECRET)];
        let token = [("access_token", SECRET)];
        let mut builder = Sidecar::builder()
            .policy(policy)
            .connection("aws", json!({"type": "aws_sigv4"}), &["s3.eu-west-1.amazonaws.com"], &keys)
            .connection("google", json!({"type": "oauth2"}), &["storage.googleapis.com"], &token)
            .connection("azure", json!({"type": "oauth2"}), &["vault.azure.net"], &token)
            .trusts(&pki);
        for host in HOSTS {
            builder = builder.host(host, &origin);
        }
        Self { sidecar: builder.start().await, origin }
    }

    async fn ask(&self, method: Method, url: &str, header: (&str, &str), body: &str) -> Answer {
        let agent = &self.sidecar.agent;
        if !url.starts_with("https") {
            return agent.plain(method.as_str(), url, &[header], body.as_bytes()).await;
        }
        let request = Request::builder().method(method).uri(url).header(header.0, header.1);
        agent.https(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, url: &str, header: (&str, &str)) -> Answer {
        self.ask(Method::GET, url, header, "").await
    }

    fn at(&self, host: &str) -> String {
        format!("https://{host}:{}/x", self.origin.port())
    }

    /// Sends a header to a host that is only forwarded to.
    async fn is_refused(&self, value: &str) {
        let answer = self.get(&self.at("evil.test"), ("authorization", value)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "POLICY_DENIED"), "{value}");
        assert!(answer.error()["message"].as_str().unwrap().contains("the placeholder of"));
    }
}

fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn read(answer: &Answer) -> Value {
    serde_json::from_str(&text(answer)).unwrap()
}

#[tokio::test]
async fn keys_of_the_metadata_service_are_swapped_where_granted_and_refused_elsewhere() {
    let dance = Dance::start().await;
    let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let session = text(&dance.ask(Method::PUT, &format!("{METADATA}/latest/api/token"), ttl, "").await);
    let header = ("x-aws-ec2-metadata-token", session.as_str());
    let at = format!("{METADATA}/latest/meta-data/iam/security-credentials/");
    let role = text(&dance.get(&at, header).await);
    let keys = read(&dance.get(&format!("{at}{role}"), header).await);
    let key = keys["AccessKeyId"].as_str().unwrap();
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature={}",
        "0".repeat(64)
    );
    dance.is_refused(&signed).await;
    dance.is_refused(keys["Token"].as_str().unwrap()).await;
    assert!(dance.origin.received().is_empty());
    let answer = dance.get(&dance.at("s3.eu-west-1.amazonaws.com"), ("authorization", &signed)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let received = dance.origin.only();
    verify(&signature::of(&received), SECRET).unwrap();
    assert!(received.header("authorization").contains("/eu-west-1/s3/aws4_request"));
    assert!(!format!("{received:?}").contains("PLACEHOLDER"));
}

#[tokio::test]
async fn tokens_are_swapped_where_granted_and_refused_elsewhere() {
    let dance = Dance::start().await;
    let google = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
    let google = read(&dance.get(google, ("metadata-flavor", "Google")).await);
    let azure = format!("{METADATA}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x");
    let azure = read(&dance.get(&azure, ("metadata", "true")).await);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let login = dance.at("login.microsoftonline.com").replace("/x", "/tenant/oauth2/v2.0/token");
    let body = "grant_type=client_credentials&client_id=a&client_secret=b&scope=https%3A%2F%2Fx%2F.default";
    let login = read(&dance.ask(Method::POST, &login, form, body).await);
    for (answer, host) in [(google, "storage.googleapis.com"), (azure, "vault.azure.net"), (login, "vault.azure.net")] {
        let before = dance.origin.received().len();
        let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
        dance.is_refused(&bearer).await;
        assert_eq!(dance.origin.received().len(), before, "nothing of it left");
        assert_eq!(dance.get(&dance.at(host), ("authorization", &bearer)).await.status, 200);
        assert_eq!(dance.origin.received()[before].header("authorization"), format!("Bearer {SECRET}"));
    }
}

#[tokio::test]
async fn a_stub_is_on_record_by_its_outcome_alone_and_counted_under_its_name() {
    let dance = Dance::start().await;
    let answer = dance.get(&format!("{METADATA}/latest/meta-data/instance-id"), ("accept", "*/*")).await;
    assert_eq!(answer.status, 401, "the stub's own answer");
    let long = "x".repeat(70_000);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let login = dance.at("login.microsoftonline.com");
    assert_eq!(dance.ask(Method::POST, &login, form, &long).await.status, 413);
    let outcomes = dance.sidecar.outcomes(2).await;
    let first = &outcomes[0];
    assert_eq!(
        (&first["rule"], &first["stub"], &first["end"]),
        (&"imds".into(), &"aws-metadata".into(), &"done".into())
    );
    assert_eq!((&first["status"], &first["attempts"]), (&401.into(), &0.into()));
    assert_eq!((&outcomes[1]["code"], &outcomes[1]["stub"]), (&"BODY_TOO_LARGE".into(), &"azure-login".into()));
    assert!(dance.sidecar.audit().iter().all(|line| line["kind"] != "intent"), "nothing left");
    assert!(dance.sidecar.metrics.encode().contains("nexus_sidecar_stubs_total{stub=\"aws-metadata\"} 1"));
    assert!(dance.origin.received().is_empty());
}
