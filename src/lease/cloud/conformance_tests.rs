//! Each cloud passes what every source does.

use serde_json::json;

use super::for_tests::{CANARY, LookAlike, Says, Seen, calls, private, says};
use super::{AwsFetch, AzureFetch, GithubAppFetch, GoogleFetch};
use crate::config::{
    AssumeRole, AwsBase, AwsConnection, AwsSource, AzureConnection, AzureIdentity, AzureProof, AzureSource,
    GithubAppConnection, GithubAppSource, GoogleConnection, GoogleIdentity, GoogleSource, Installation,
};
use crate::lease::suite::Case;
use crate::lease::{Configured, Fetch};
use crate::model::{Binding, Bindings, ConnectionName, HostPattern, Strategy};
use crate::sign::jwt::for_tests::RsaFile;

async fn passes<F: Fetch>(fetch: F, place: F::Place, strategy: serde_json::Value) {
    let hosts = vec![HostPattern::parse("api.test").unwrap()];
    let strategy = Strategy::from_json(&strategy).unwrap();
    let contract = Bindings::new(vec![Binding { hosts, strategy }], false).unwrap();
    let source = Configured::new("clouds", fetch, [(ConnectionName::parse("cloud").unwrap(), contract, place)]);
    Case { source: &source, connection: "cloud", host: "api.test", canaries: &[CANARY] }.passes().await;
}

fn granted(_: &Seen) -> Says {
    let body = json!({"access_token": CANARY, "expires_in": 3600, "token_type": "Bearer"});
    (200, "metadata-flavor: Google\r\n", body.to_string())
}

#[tokio::test]
async fn github_apps() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = private(folder.path(), "app.pem", RsaFile::new().pkcs8());
    let minted = json!({"token": CANARY, "expires_at": "2026-01-02T04:04:05Z"}).to_string();
    let api = LookAlike::start(move |_| says(201, minted.clone())).await;
    let source = GithubAppSource { app_id: "1".to_owned(), key_file, url: api.url("/"), ca_file: None };
    let (repositories, permissions) = Default::default();
    let place = GithubAppConnection { installation: Installation::Id(1), repositories, permissions };
    let strategy = json!({"type": "header", "config": {"credential_field": "token"}});
    passes(GithubAppFetch::new(&source, calls()), place, strategy).await;
}

#[tokio::test]
async fn aws() {
    let folder = tempfile::tempdir().unwrap();
    let base = AwsBase::Static {
        access_key_file: private(folder.path(), "id", "AKIA1"),
        secret_key_file: private(folder.path(), "key", CANARY),
        session_token_file: None,
    };
    let keys = format!(
        "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>{CANARY}</SecretAccessKey>\
         <SessionToken>{CANARY}</SessionToken><Expiration>2026-01-02T04:04:05Z</Expiration>"
    );
    let xml = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials>{keys}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    let sts = LookAlike::start(move |_| says(200, xml.clone())).await;
    let region = Some("eu-central-1".to_owned());
    let source = AwsSource { base, region, sts_url: Some(sts.url("/")), ca_file: None };
    let kept = AwsConnection { role: None, is_minted: false, duration: None, session_policy: None };
    let role_arn = "arn:aws:iam::1:role/a".to_owned();
    let role = AssumeRole { role_arn, external_id: None, tags: std::collections::BTreeMap::new() };
    let session = AwsConnection { role: Some(role), is_minted: true, ..kept.clone() };
    for place in [kept, session] {
        passes(AwsFetch::new(&source, calls()), place, json!({"type": "aws_sigv4"})).await;
    }
}

#[tokio::test]
async fn google() {
    let server = LookAlike::start(granted).await;
    let identity = GoogleIdentity::Metadata { url: server.url("/"), account: "default".to_owned() };
    let place = GoogleConnection { scopes: ["a".to_owned()].into() };
    let fetch = GoogleFetch::new(&GoogleSource { identity, ca_file: None }, calls());
    passes(fetch, place, json!({"type": "oauth2"})).await;
}

#[tokio::test]
async fn azure() {
    let folder = tempfile::tempdir().unwrap();
    let server = LookAlike::start(granted).await;
    let identity = AzureIdentity::Client {
        url: server.url("/"),
        tenant: "t".to_owned(),
        client_id: "c".to_owned(),
        proof: AzureProof::Secret(private(folder.path(), "secret", CANARY)),
    };
    let place = AzureConnection { scope: "s".to_owned(), scopes: std::collections::BTreeSet::new() };
    let fetch = AzureFetch::new(&AzureSource { identity, ca_file: None }, calls());
    passes(fetch, place, json!({"type": "oauth2"})).await;
}
