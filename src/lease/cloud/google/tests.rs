use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::lease::cloud::for_tests::{
    CANARY, LookAlike, NOW, Says, Seen, ask, calls, fails, field, life, object, private, says,
};
use crate::sign::jwt::for_tests::RsaFile;
use crate::sign::jwt::{Expected, Jwks, Unverified};

const READ: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const MAIL: &str = "https://www.googleapis.com/auth/gmail.readonly";

fn place() -> GoogleConnection {
    GoogleConnection { scopes: [READ, MAIL].map(str::to_owned).into() }
}

fn granted() -> Says {
    says(200, format!(r#"{{"access_token":"ya29.{CANARY}","expires_in":3599,"token_type":"Bearer"}}"#))
}

fn of(identity: GoogleIdentity) -> GoogleFetch {
    GoogleFetch::new(&GoogleSource { identity, ca_file: None }, calls())
}

fn key_of(key: &RsaFile, token_uri: &str) -> String {
    json!({
        "type": "service_account", "private_key_id": "k1", "private_key": key.pkcs8(),
        "client_email": "bot@p.iam.gserviceaccount.com", "token_uri": token_uri,
    })
    .to_string()
}

#[tokio::test]
async fn a_service_accounts_key_signs_for_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let key = RsaFile::new();
    let keys = Arc::new(Jwks::parse(&key.jwks("k1")).unwrap());
    let endpoint: Arc<std::sync::OnceLock<String>> = Arc::default();
    let audience = Arc::clone(&endpoint);
    let server = LookAlike::start(move |seen| {
        let form = seen.form();
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let now = i64::try_from(NOW).unwrap();
        let expected = Expected { issuer: "bot@p.iam.gserviceaccount.com", audience: audience.get().unwrap(), now };
        let token = Unverified::parse(form["assertion"].as_bytes()).unwrap();
        match token.verify(&keys, &expected) {
            Ok(claims) => {
                assert_eq!(claims.at("exp").unwrap().as_i64().unwrap(), now + 3600);
                let scope = claims.at("scope").unwrap().as_str().unwrap();
                says(200, format!(r#"{{"access_token":"{scope}","expires_in":3599}}"#))
            }
            Err(_) => says(400, format!(r#"{{"error":"invalid_grant","error_description":"{CANARY}"}}"#)),
        }
    });
    let server = server.await;
    endpoint.set(server.text("/token")).unwrap();
    let file = private(folder.path(), "key.json", key_of(&key, "https://oauth2.googleapis.com/token"));
    let fetch = of(GoogleIdentity::ServiceAccount { file, token_url: Some(server.url("/token")) });
    let fetched = fetch.fetch(&place(), &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "access_token"), life(&fetched)), (&*format!("{READ} {MAIL}"), 3599));
    let narrow = ask("bot", Some(json!({"scopes": [READ]})));
    assert_eq!(field(&fetch.fetch(&place(), &narrow).await.unwrap(), "access_token"), READ);
    let wide = ask("bot", Some(json!({"scopes": [READ, "https://www.googleapis.com/auth/cloud-platform"]})));
    assert_eq!(fails(&fetch, &place(), &wide).await.0, "unusable");
    // Another's key, under the same id.
    private(folder.path(), "key.json", key_of(&RsaFile::new(), "https://oauth2.googleapis.com/token"));
    let (word, why) = fails(&fetch, &place(), &ask("bot", None)).await;
    assert!(word == "unusable" && why.contains("400 (invalid_grant)"), "{why}");
}

#[tokio::test]
async fn a_key_sends_its_assertion_to_google_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = RsaFile::new();
    for uri in [
        "http://oauth2.googleapis.com/token",
        "https://googleapis.com.attacker.test/token",
        "https://evilgoogleapis.com/token",
        "https://oauth2.googleapis.com:8443/token",
        "https://127.0.0.1/token",
        "https://oauth2.googleapis.com@a.test/",
        CANARY,
    ] {
        let file = private(folder.path(), "key.json", key_of(&key, uri));
        let fetch = of(GoogleIdentity::ServiceAccount { file, token_url: None });
        let (word, why) = fails(&fetch, &place(), &ask("bot", None)).await;
        assert!(word == "unusable" && why.contains("token_uri"), "{uri}: {why}");
    }
    assert!(checked("https://oauth2.googleapis.com/token").is_some());
    for (text, part) in [
        (format!("{{\"{CANARY}"), "no JSON"),
        (json!({"type": "authorized_user", "refresh_token": CANARY}).to_string(), "no service account"),
        (json!({"type": "service_account", "private_key": CANARY}).to_string(), "no client_email"),
    ] {
        let file = private(folder.path(), "key.json", text);
        let fetch = of(GoogleIdentity::ServiceAccount { file, token_url: None });
        let (word, why) = fails(&fetch, &place(), &ask("bot", None)).await;
        assert!(word == "unusable" && why.contains(part), "{why}");
    }
}

#[tokio::test]
async fn the_metadata_server_is_known_by_its_header() {
    const FLAVORED: &str = "metadata-flavor: Google\r\n";
    let server = LookAlike::start(|seen: &Seen| {
        assert_eq!((&*seen.method, seen.header("metadata-flavor")), ("GET", Some("Google")));
        (200, FLAVORED, granted().2)
    });
    let server = server.await;
    let machine =
        |server: &LookAlike| of(GoogleIdentity::Metadata { url: server.url("/"), account: "default".to_owned() });
    let fetched = machine(&server).fetch(&place(), &ask("bot", Some(json!({"scopes": READ})))).await.unwrap();
    assert_eq!(life(&fetched), 3599);
    let wanted = "/computeMetadata/v1/instance/service-accounts/default/token?\
                  scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_only";
    assert_eq!(server.last().target, wanted);
    for (answer, word, part) in [
        (granted(), "unusable", "not Google's"),
        ((404, FLAVORED, String::new()), "unusable", "no service account"),
        ((503, FLAVORED, CANARY.to_owned()), "unavailable", "503"),
        ((200, FLAVORED, format!(r#"{{"access_token":"{CANARY}"}}"#)), "unusable", "when the token ends"),
        ((200, FLAVORED, r#"{"access_token":"t","expires_in":0}"#.to_owned()), "unavailable", "ended already"),
        ((200, FLAVORED, r#"{"access_token":"t","expires_in":-1}"#.to_owned()), "unusable", "when the token ends"),
        ((200, FLAVORED, r#"{"access_token":"t","expires_in":99999999999}"#.to_owned()), "unusable", "no time"),
        ((200, FLAVORED, r#"{"expires_in":60}"#.to_owned()), "unusable", "no access_token"),
        (
            (200, FLAVORED, r#"{"access_token":"t","expires_in":60,"token_type":"mac"}"#.to_owned()),
            "unusable",
            "bearer",
        ),
        ((200, FLAVORED, format!("[\"{CANARY}\"]")), "unusable", "no JSON"),
    ] {
        let server = LookAlike::start(move |_| answer.clone()).await;
        let (got, why) = fails(&machine(&server), &place(), &ask("bot", None)).await;
        assert_eq!((&*got, why.contains(part)), (word, true), "{why}");
    }
}

fn workload(server: &LookAlike, subject: GoogleSubject, impersonate: Option<&str>) -> GoogleFetch {
    of(GoogleIdentity::WorkloadIdentity(Box::new(WorkloadIdentity {
        audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k".to_owned(),
        subject_type: "urn:ietf:params:oauth:token-type:jwt".to_owned(),
        subject,
        token_url: server.url("/v1/token"),
        impersonate: impersonate.map(str::to_owned),
        iam_url: server.url("/"),
    })))
}

#[tokio::test]
async fn a_token_of_elsewhere_is_exchanged_and_may_act_as_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let server = LookAlike::start(|seen: &Seen| match &*seen.target {
        "/subject" if seen.header("x-ask") == Some("yes") => says(200, r#"{"value":"subject-of-url"}"#),
        "/v1/token" => {
            let form = seen.form();
            assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
            assert_eq!(form["requested_token_type"], "urn:ietf:params:oauth:token-type:access_token");
            assert!(form["audience"].starts_with("//iam.googleapis.com/"));
            let body =
                json!({"access_token": format!("{} for {}", form["subject_token"], form["scope"]), "expires_in": 3600});
            says(200, body.to_string())
        }
        "/v1/projects/-/serviceAccounts/sa@p.iam.gserviceaccount.com:generateAccessToken" => {
            assert_eq!(seen.bearer(), format!("subject-of-file for {PLATFORM}"));
            assert_eq!(seen.json(), json!({"scope": [READ], "lifetime": "3600s"}));
            says(200, r#"{"accessToken":"acting","expireTime":"2026-01-02T03:34:05Z"}"#)
        }
        _ => says(404, CANARY),
    });
    let server = server.await;
    let token = folder.path().join("token");
    std::fs::write(&token, "subject-of-file\n").unwrap();
    let in_file = || GoogleSubject { from: SubjectFrom::File(token.clone()), field: None };
    let headers = vec![("x-ask".to_owned(), "yes".to_owned())];
    let at_url =
        GoogleSubject { from: SubjectFrom::Url(server.url("/subject"), headers), field: Some("value".to_owned()) };
    let narrow = ask("bot", Some(json!({"scopes": [READ]})));
    let fetched = workload(&server, at_url, None).fetch(&place(), &narrow).await.unwrap();
    assert_eq!(field(&fetched, "access_token"), format!("subject-of-url for {READ}"));
    let fetch = workload(&server, in_file(), Some("sa@p.iam.gserviceaccount.com"));
    let fetched = fetch.fetch(&place(), &narrow).await.unwrap();
    assert_eq!((field(&fetched, "access_token"), life(&fetched)), ("acting", 1800));
    let (word, why) = fails(&workload(&server, in_file(), Some("other@p")), &place(), &narrow).await;
    assert!(word == "unusable" && why.contains("other@p") && why.contains("404"), "{why}");
    std::fs::write(&token, "").unwrap();
    assert_eq!(fails(&workload(&server, in_file(), None), &place(), &narrow).await.0, "unusable");
    let nowhere = GoogleSubject { from: SubjectFrom::Url(server.url("/none"), Vec::new()), field: None };
    let (word, why) = fails(&workload(&server, nowhere, None), &place(), &narrow).await;
    assert!(word == "unusable" && why.contains("404"), "{why}");
}

#[test]
fn a_scope_never_widens() {
    for (scope, is_good) in [
        (json!({"scopes": [READ]}), true),
        (json!({"scopes": MAIL}), true),
        (json!({"scopes": [READ, MAIL]}), true),
        (json!({"scopes": []}), false),
        (json!({"scopes": ["https://www.googleapis.com/auth/cloud-platform"]}), false),
        (json!({"scope": READ}), false),
    ] {
        assert_eq!(place().narrowed(object(&scope)).is_ok(), is_good, "{scope}");
    }
}
