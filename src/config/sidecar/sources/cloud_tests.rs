//! The sources that are clouds, as written.

use std::path::Path;

use super::{AwsBase, AzureIdentity, AzureProof, ConnectionAt, GoogleIdentity, Installation, SourceKind};
use crate::config::{Config, Environment};
use crate::model::ConnectionName;

const WHOLE: &str = "
version: 1
sources:
  app: { github_app: { app_id: 12345, key_file: app.pem } }
  aws:
    aws:
      region: eu-central-1
      pod_identity: {}
  aws-keys: { aws: { static: { access_key_file: /k/id, secret_key_file: /k/key } } }
  aws-profile: { aws: { profile: { file: ~/.aws/credentials } } }
  aws-machine: { aws: { imds: { url: 'http://[fd00:ec2::254]' } } }
  irsa: { aws: { region: us-east-1, web_identity: { token_file: /t, role_arn: 'arn:aws:iam::1:role/web' } } }
  google: { google: { service_account_file: key.json } }
  google-machine: { google: { metadata: {} } }
  google-pool: { google: { workload_identity: { audience: //iam.googleapis.com/x, subject: { file: /t } } } }
  azure: { azure: { tenant: contoso.test, client_id: c-1, certificate: { cert_file: c.pem, key_file: k.pem } } }
  azure-machine: { azure: { managed_identity: {} } }
connections:
  github:
    source: app
    provider: github
    owner: acme
    repositories: [site, docs]
    permissions: { contents: read }
  s3:
    source: aws
    provider: aws
    assume_role:
      role_arn: arn:aws:iam::123456789012:role/reader
      duration: 15m
      tags: { team: data }
      session_policy: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: s3:GetObject, Resource: \"*\" }] }
  keys: { source: aws-keys, provider: aws }
  web: { source: irsa, provider: aws, duration: 1h }
  gcs: { source: google, hosts: storage.googleapis.com, strategy: oauth2, scopes: https://www.googleapis.com/auth/devstorage.read_only }
  vault: { source: azure, hosts: team.vault.azure.net, strategy: oauth2, scope: https://vault.azure.net/.default, scopes: https://a.test/.default }
";

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file, &Environment::of([("HOME", "/home/u")])).map_err(|problems| problems.to_string())
}

#[test]
fn each_cloud_is_read_as_it_is_written() {
    let config = load(WHOLE).unwrap_or_else(|problems| panic!("{problems}"));
    let source = |name: &str| &config.sources.iter().find(|source| source.name == name).unwrap().kind;
    let at = |name: &str| &config.connections[&ConnectionName::parse(name).unwrap()].at;
    let SourceKind::GithubApp(app) = source("app") else { panic!() };
    assert_eq!((app.app_id.as_str(), app.url.destination().to_string().as_str()), ("12345", "https://api.github.com"));
    let ConnectionAt::GithubApp(_, there) = at("github") else { panic!() };
    assert_eq!((&there.installation, there.repositories.len()), (&Installation::Owner("acme".to_owned()), 2));
    let base = |name: &str| match source(name) {
        SourceKind::Aws(aws) => aws.base.clone(),
        other => panic!("{other:?}"),
    };
    let AwsBase::PodIdentity { url, token_file } = base("aws") else { panic!() };
    assert_eq!(url.destination().to_string(), "http://169.254.170.23");
    assert!(token_file.unwrap().ends_with("eks-pod-identity-token"));
    assert!(
        matches!(base("aws-profile"), AwsBase::Profile { file, name } if file == Path::new("/home/u/.aws/credentials") && name == "default")
    );
    assert!(matches!(base("aws-machine"), AwsBase::Imds { .. }));
    let ConnectionAt::Aws(_, s3) = at("s3") else { panic!() };
    let policy = r#"{"Statement":[{"Action":"s3:GetObject","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;
    assert_eq!((s3.is_minted, s3.duration.unwrap().as_secs(), s3.session_policy.as_deref()), (true, 900, Some(policy)));
    let ConnectionAt::Aws(_, keys) = at("keys") else { panic!() };
    let ConnectionAt::Aws(_, web) = at("web") else { panic!() };
    assert_eq!((keys.is_minted, web.is_minted, web.duration.unwrap().as_secs()), (false, true, 3600));
    let SourceKind::Google(google) = source("google-machine") else { panic!() };
    let GoogleIdentity::Metadata { url, account } = &google.identity else { panic!() };
    assert_eq!((url.destination().to_string().as_str(), account.as_str()), ("http://169.254.169.254", "default"));
    let SourceKind::Google(google) = source("google-pool") else { panic!() };
    let GoogleIdentity::WorkloadIdentity(pool) = &google.identity else { panic!() };
    assert_eq!(pool.token_url.destination().to_string(), "https://sts.googleapis.com");
    let SourceKind::Azure(azure) = source("azure") else { panic!() };
    let AzureIdentity::Client { url, proof, .. } = &azure.identity else { panic!() };
    assert_eq!(url.destination().to_string(), "https://login.microsoftonline.com");
    assert!(matches!(proof, AzureProof::Certificate { .. }));
    let ConnectionAt::Azure(_, vault) = at("vault") else { panic!() };
    assert_eq!((vault.scope.as_str(), vault.scopes.len()), ("https://vault.azure.net/.default", 1));
}

#[test]
fn what_is_wrong_with_a_cloud_is_said() {
    for (what, instead, want) in [
        ("app_id: 12345, ", "", "`app_id` is missing"),
        ("app_id: 12345", "app_id: 'a b'", "the number of the app"),
        ("key_file: app.pem", "key_file: app.pem, url: 'http://ghe.test'", "over http"),
        ("owner: acme", "owner: a/b", "no name of a user"),
        ("owner: acme", "owner: acme\n    installation: 7", "not both"),
        ("    owner: acme\n", "", "`owner` is missing"),
        ("[site, docs]", "[acme/site]", "without its owner"),
        ("contents: read", "contents: own", "read or write or admin"),
        ("pod_identity: {}", "pod_identity: { url: 'http://10.0.0.1/x' }", "over http"),
        ("pod_identity: {}", "pod_identity: {}\n      imds: {}", "one kind of credentials"),
        ("'http://[fd00:ec2::254]'", "'http://169.254.170.23'", "over http"),
        ("pod_identity: {}", "sts_url: 'http://sts.test/'\n      pod_identity: {}", "over http"),
        ("region: eu-central-1", "region: EU", "no region"),
        ("      region: eu-central-1\n", "", "say `region`"),
        ("region: us-east-1, ", "", "`region` is missing"),
        ("arn:aws:iam::123456789012:role/reader", "reader", "no role"),
        ("duration: 15m", "duration: 14m", "15m to 12h"),
        ("{ team: data }", "{ Agent: x }", "who borrows"),
        ("Statement: [{", "Other: [{", "with a `Statement`"),
        ("secret_key_file: /k/key", "", "`secret_key_file` is missing"),
        ("keys: { source: aws-keys,", "keys: { source: aws-keys, duration: 1h,", "unknown key `duration`"),
        ("service_account_file: key.json", "service_account_file: key.json, metadata: {}", "one identity already"),
        ("service_account_file: key.json", "token_url: https://a.test/", "say who it is there"),
        ("{ metadata: {} }", "{ metadata: { account: ../x } }", "no service account"),
        ("subject: { file: /t }", "subject: { file: /t, url: https://a.test/ }", "not both"),
        ("scopes: https://www.googleapis.com/auth/devstorage.read_only", "x: y", "`scopes` is missing"),
        ("certificate: {", "client_secret_file: /s, certificate: {", "in one way"),
        ("tenant: contoso.test", "tenant: a/b", "no id and no domain"),
        ("scope: https://vault.azure.net/.default", "scope: 'a b'", "no scope"),
        ("provider: github", "hosts: a.test\n    strategy: oauth2", "needs the field access_token"),
    ] {
        assert!(WHOLE.contains(what), "{what}");
        let problems = load(&WHOLE.replace(what, instead)).unwrap_err();
        assert!(problems.contains(want), "{instead}: {problems}");
    }
}
