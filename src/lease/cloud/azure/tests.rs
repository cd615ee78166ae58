use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::lease::cloud::for_tests::{
    CANARY, LookAlike, NOW, Says, Seen, ask, calls, fails, field, life, object, private, says,
};
use crate::sign::jwt::for_tests::RsaFile;
use crate::sign::jwt::{Expected, Jwks, Unverified};

const VAULT: &str = "https://vault.azure.net/.default";
const STORAGE: &str = "https://storage.azure.com/.default";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

fn place() -> AzureConnection {
    AzureConnection { scope: VAULT.to_owned(), scopes: [STORAGE.to_owned()].into() }
}

fn granted(what: &str) -> Says {
    says(200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": what}).to_string())
}

fn client(server: &LookAlike, proof: AzureProof) -> AzureFetch {
    let identity = AzureIdentity::Client {
        url: server.url("/"),
        tenant: "contoso.test".to_owned(),
        client_id: CLIENT.to_owned(),
        proof,
    };
    AzureFetch::new(&AzureSource { identity, ca_file: None }, calls())
}

/// Answers with the scope to whoever the check lets through.
async fn endpoint(
    check: impl Fn(&std::collections::BTreeMap<String, String>) -> bool + Send + Sync + 'static,
) -> LookAlike {
    LookAlike::start(move |seen: &Seen| {
        assert_eq!((&*seen.method, &*seen.target), ("POST", "/contoso.test/oauth2/v2.0/token"));
        let form = seen.form();
        assert_eq!((&*form["grant_type"], &*form["client_id"]), ("client_credentials", CLIENT));
        if check(&form) {
            return granted(&form["scope"]);
        }
        let body = json!({"error": "invalid_client", "error_description": format!("AADSTS7000215: {CANARY}")});
        says(401, body.to_string())
    })
    .await
}

#[tokio::test]
async fn a_secret_is_shown_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = endpoint(|form| form.get("client_secret").is_some_and(|secret| secret == "s&cr=t")).await;
    let file = private(folder.path(), "secret", "s&cr=t\n");
    let fetch = client(&server, AzureProof::Secret(file.clone()));
    let fetched = fetch.fetch(&place(), &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_token"), life(&fetched), fetched.refreshable), (VAULT, 3599, true));
    let narrow = ask("bot", Some(json!({"scope": STORAGE})));
    assert_eq!(field(&fetch.fetch(&place(), &narrow).await.unwrap(), "access_token"), STORAGE);
    let wide = ask("bot", Some(json!({"scope": "https://graph.microsoft.com/.default"})));
    assert_eq!(fails(&fetch, &place(), &wide).await.0, "unusable");
    private(folder.path(), "secret", CANARY);
    let (word, why) = fails(&fetch, &place(), &ask("bot", None)).await;
    assert!(word == "unusable" && why.ends_with("401 (invalid_client, AADSTS7000215)"), "{why}");
    std::fs::remove_file(file).unwrap();
    assert_eq!(fails(&fetch, &place(), &ask("bot", None)).await.0, "unusable");
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_of_ten_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let key = RsaFile::new();
    let keys = Arc::new(Jwks::parse(&key.jwks("only")).unwrap());
    let audience: Arc<std::sync::OnceLock<String>> = Arc::default();
    let wanted = Arc::clone(&audience);
    let once = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let server = endpoint(move |form| {
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let assertion = &form["client_assertion"];
        let header: serde_json::Value = {
            use base64::Engine;
            let part = assertion.split('.').next().unwrap();
            serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(
            header,
            json!({"alg": "PS256", "typ": "JWT", "x5t#S256": "rksygOVuL6-D9BSm49q-nV--GJdlRMBf7RIazLhbU_w"})
        );
        let expected = Expected { issuer: CLIENT, audience: wanted.get().unwrap(), now: i64::try_from(NOW).unwrap() };
        let Ok(claims) = Unverified::parse(assertion.as_bytes()).unwrap().verify(&keys, &expected) else {
            return false;
        };
        let life = claims.at("exp").unwrap().as_i64().unwrap() - claims.at("nbf").unwrap().as_i64().unwrap();
        let fresh = once.lock().unwrap().insert(claims.at("jti").unwrap().as_str().unwrap().to_owned());
        claims.subject() == Some(CLIENT) && life == 600 && fresh
    })
    .await;
    audience.set(server.text("/contoso.test/oauth2/v2.0/token")).unwrap();
    let cert_file = folder.path().join("cert.pem");
    std::fs::write(&cert_file, "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n").unwrap();
    let key_file = private(folder.path(), "key.pem", key.pkcs8());
    let fetch = client(&server, AzureProof::Certificate { cert_file: cert_file.clone(), key_file });
    for _ in 0..2 {
        fetch.fetch(&place(), &ask("bot", None)).await.unwrap();
    }
    private(folder.path(), "key.pem", RsaFile::new().pkcs8());
    assert_eq!(fails(&fetch, &place(), &ask("bot", None)).await.0, "unusable");
    private(folder.path(), "key.pem", CANARY);
    let (word, why) = fails(&fetch, &place(), &ask("bot", None)).await;
    assert!(word == "unusable" && why.contains("key.pem"), "{why}");
    std::fs::write(&cert_file, CANARY).unwrap();
    let (word, why) = fails(&fetch, &place(), &ask("bot", None)).await;
    assert!(word == "unusable" && why.contains("no certificate"), "{why}");
}

#[tokio::test]
async fn a_federated_token_is_the_assertion() {
    let folder = tempfile::tempdir().unwrap();
    let server = endpoint(|form| form.get("client_assertion").is_some_and(|token| token == "platform.token.2")).await;
    let file = folder.path().join("token");
    std::fs::write(&file, "platform.token.1").unwrap();
    let fetch = client(&server, AzureProof::Federated(file.clone()));
    assert_eq!(fails(&fetch, &place(), &ask("bot", None)).await.0, "unusable");
    std::fs::write(&file, "platform.token.2").unwrap();
    fetch.fetch(&place(), &ask("bot", None)).await.unwrap();
}

#[tokio::test]
async fn a_machine_has_an_identity_of_its_own() {
    let server = LookAlike::start(|seen: &Seen| {
        assert_eq!((&*seen.method, seen.header("metadata")), ("GET", Some("true")));
        let body =
            json!({"access_token": "of-machine", "expires_in": "86399", "resource": "r", "token_type": "Bearer"});
        says(200, body.to_string())
    });
    let server = server.await;
    let machine = |server: &LookAlike, client_id: Option<&str>| {
        let identity = AzureIdentity::Managed { url: server.url("/"), client_id: client_id.map(str::to_owned) };
        AzureFetch::new(&AzureSource { identity, ca_file: None }, calls())
    };
    let fetched = machine(&server, Some(CLIENT)).fetch(&place(), &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_token"), life(&fetched)), ("of-machine", 86_399));
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
    assert_eq!(server.last().target, format!("{path}&client_id={CLIENT}"));
    for (answer, word, part) in [
        (
            says(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#),
            "unusable",
            "invalid_request",
        ),
        (says(400, format!(r#"{{"error":"{CANARY} {CANARY}"}}"#)), "unusable", "400"),
        (says(429, CANARY), "unavailable", "429"),
        (says(500, CANARY), "unavailable", "500"),
        ((302, "location: http://127.0.0.1:1/\r\n", String::new()), "unusable", "redirect"),
        (says(200, CANARY), "unusable", "no JSON"),
        (says(200, r#"{"access_token":"","expires_in":"60"}"#), "unusable", "no access_token"),
        (says(200, r#"{"access_token":"t","expires_in":"soon"}"#), "unusable", "when the token ends"),
        (says(200, r#"{"access_token":"t","expires_in":"0"}"#), "unavailable", "ended already"),
    ] {
        let server = LookAlike::start(move |_| answer.clone()).await;
        let (got, why) = fails(&machine(&server, None), &place(), &ask("bot", None)).await;
        assert_eq!((&*got, why.contains(part)), (word, true), "{why}");
    }
}

#[test]
fn a_scope_is_one_of_those_that_are_listed() {
    for (scope, is_good) in [
        (json!({"scope": VAULT}), true),
        (json!({"scope": STORAGE}), true),
        (json!({"scope": "https://graph.microsoft.com/.default"}), false),
        (json!({"scope": [STORAGE]}), false),
        (json!({"scopes": [STORAGE]}), false),
    ] {
        assert_eq!(place().narrowed(object(&scope)).is_ok(), is_good, "{scope}");
    }
}
