use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::lease::cloud::for_tests::{
    CANARY, LookAlike, NOW, Says, Seen, ask, calls, fails, field, life, object, private, says,
};
use crate::sign::jwt::for_tests::RsaFile;
use crate::sign::jwt::{Expected, Jwks, Unverified};

/// An API that mints for whoever shows an assertion of the app's key.
struct World {
    folder: tempfile::TempDir,
    api: LookAlike,
    source: GithubAppSource,
}

async fn world(answer: impl Fn(&Seen) -> Says + Send + Sync + 'static) -> World {
    let folder = tempfile::tempdir().unwrap();
    let key = RsaFile::new();
    let key_file = private(folder.path(), "app.pem", key.pkcs1());
    let keys = Arc::new(Jwks::parse(&key.jwks("only")).unwrap());
    let api = LookAlike::start(move |seen| {
        let token = Unverified::parse(seen.bearer().as_bytes()).unwrap();
        // The API knows no audience: it is put in by this test alone.
        let now = i64::try_from(NOW).unwrap();
        let checked = token.verify(&keys, &Expected { issuer: "Iv1.app", audience: "none", now });
        let claims = claims(seen.bearer());
        let life = claims["exp"].as_i64().unwrap() - now;
        let is_good = checked.is_err_and(|error| error == crate::sign::jwt::JwtError::Audience);
        if !is_good || life > 600 || claims["iat"].as_i64().unwrap() != now - 60 || claims["iss"] != "Iv1.app" {
            return says(401, CANARY);
        }
        assert_eq!(seen.header("accept"), Some("application/vnd.github+json"));
        assert_eq!(seen.header("x-github-api-version"), Some("2022-11-28"));
        assert!(seen.header("user-agent").is_some());
        answer(seen)
    });
    let api = api.await;
    let source = GithubAppSource { app_id: "Iv1.app".to_owned(), key_file, url: api.url("/api/v3"), ca_file: None };
    World { folder, api, source }
}

fn claims(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn minted() -> Says {
    let body = json!({"token": format!("ghs_{CANARY}"), "expires_at": "2026-01-02T04:04:05Z", "permissions": {"contents": "read"}});
    says(201, body.to_string())
}

fn place(installation: Installation) -> GithubAppConnection {
    GithubAppConnection {
        installation,
        repositories: ["a", "b"].map(str::to_owned).into(),
        permissions: [("contents".to_owned(), "write".to_owned()), ("issues".to_owned(), "read".to_owned())].into(),
    }
}

#[tokio::test]
async fn a_token_is_minted_for_what_connection_and_rule_name() {
    let world = world(|_| minted()).await;
    let fetch = GithubAppFetch::new(&world.source, calls());
    let place = place(Installation::Id(7));
    let fetched = fetch.fetch(&place, &ask("bot", None)).await.unwrap();
    assert_eq!((field(&fetched, "token"), life(&fetched)), (&*format!("ghs_{CANARY}"), 3600));
    assert!(fetched.refreshable && !format!("{fetched:?}").contains(CANARY));
    let seen = world.api.last();
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/api/v3/app/installations/7/access_tokens"));
    assert_eq!(
        seen.json(),
        json!({"repositories": ["a", "b"], "permissions": {"contents": "write", "issues": "read"}})
    );
    let scope = json!({"repositories": ["b"], "permissions": {"contents": "read"}});
    fetch.fetch(&place, &ask("bot", Some(scope.clone()))).await.unwrap();
    assert_eq!(world.api.last().json(), scope);
    // What is left out of a scope is the connection's.
    fetch.fetch(&place, &ask("bot", Some(json!({"repositories": "a"})))).await.unwrap();
    assert_eq!(world.api.last().json()["permissions"], json!({"contents": "write", "issues": "read"}));
    let open = GithubAppConnection { repositories: BTreeSet::new(), permissions: BTreeMap::new(), ..place };
    fetch.fetch(&open, &ask("bot", None)).await.unwrap();
    assert_eq!(world.api.last().json(), json!({}));
}

#[tokio::test]
async fn an_installation_is_found_at_an_organisation_or_a_user() {
    let world = world(|seen| match &*seen.target {
        "/api/v3/users/acme/installation" => says(200, r#"{"id": 42, "account": {"login": "acme"}}"#),
        "/api/v3/app/installations/42/access_tokens" => minted(),
        _ => says(404, "{}"),
    });
    let world = world.await;
    let fetch = GithubAppFetch::new(&world.source, calls());
    fetch.fetch(&place(Installation::Owner("acme".to_owned())), &ask("bot", None)).await.unwrap();
    assert_eq!(world.api.seen().len(), 3);
    let other = place(Installation::Owner("other".to_owned()));
    let (word, why) = fails(&fetch, &other, &ask("bot", None)).await;
    assert_eq!((&*word, why.contains("not installed at other")), ("unusable", true), "{why}");
}

#[tokio::test]
async fn each_refusal_is_told_for_what_it_is() {
    for (answer, word, part) in [
        (says(401, CANARY), "unusable", "app_id"),
        ((403, "x-ratelimit-remaining: 0\r\n", CANARY.to_owned()), "unavailable", "rate limit"),
        ((403, "retry-after: 60\r\n", CANARY.to_owned()), "unavailable", "rate limit"),
        (says(403, CANARY), "attention", ""),
        (says(404, CANARY), "unusable", "no installation 7"),
        (says(422, CANARY), "unusable", "the repositories a, b and the permissions contents: write, issues: read"),
        (says(429, CANARY), "unavailable", "429"),
        (says(503, CANARY), "unavailable", "503"),
        ((307, "location: http://127.0.0.1:1/\r\n", String::new()), "unusable", "redirect"),
        (says(201, "not JSON"), "unusable", "no JSON"),
        (says(201, r#"{"token": 7, "expires_at": "2026-01-02T04:04:05Z"}"#), "unusable", "no token"),
        (says(201, r#"{"token": "t"}"#), "unusable", "when the token ends"),
        (says(201, r#"{"token": "t", "expires_at": "soon"}"#), "unusable", "no time"),
        (says(201, r#"{"token": "t", "expires_at": "2026-01-02T03:04:05Z"}"#), "unavailable", "ended already"),
        (says(201, "x".repeat(300 * 1024)), "unusable", "longer than"),
    ] {
        let world = world(move |_| answer.clone()).await;
        let fetch = GithubAppFetch::new(&world.source, calls());
        let (got, why) = fails(&fetch, &place(Installation::Id(7)), &ask("bot", None)).await;
        assert_eq!((&*got, why.contains(part)), (word, true), "{part}: {why}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_told_with_its_file() {
    let world = world(|_| minted()).await;
    let fetch = GithubAppFetch::new(&world.source, calls());
    for (text, part) in [(CANARY, "no private key"), ("", "no private key")] {
        private(world.folder.path(), "app.pem", text);
        let (word, why) = fails(&fetch, &place(Installation::Id(7)), &ask("bot", None)).await;
        assert!(word == "unusable" && why.contains(part) && why.contains("app.pem"), "{why}");
    }
    // Another app's key.
    private(world.folder.path(), "app.pem", RsaFile::new().pkcs8());
    let (word, why) = fails(&fetch, &place(Installation::Id(7)), &ask("bot", None)).await;
    assert!(word == "unusable" && why.contains("401"), "{why}");
    assert_eq!(world.api.seen().len(), 1);
}

#[test]
fn a_scope_never_widens() {
    let place = place(Installation::Id(7));
    let open = GithubAppConnection { repositories: BTreeSet::new(), permissions: BTreeMap::new(), ..place.clone() };
    for (scope, of_place, of_open) in [
        (json!({"repositories": ["a"]}), true, true),
        (json!({"repositories": ["a", "c"]}), false, true),
        (json!({"repositories": ["../x"]}), false, false),
        (json!({"repositories": []}), false, false),
        (json!({"repositories": [7]}), false, false),
        (json!({"permissions": {"contents": "write"}}), true, true),
        (json!({"permissions": {"contents": "admin"}}), false, true),
        (json!({"permissions": {"issues": "write"}}), false, true),
        (json!({"permissions": {"metadata": "read"}}), false, true),
        (json!({"permissions": {"contents": "own"}}), false, false),
        (json!({"permissions": {}}), false, false),
        (json!({"permissions": "read"}), false, false),
        (json!({"repository": "a"}), false, false),
    ] {
        assert_eq!(place.narrowed(object(&scope)).is_ok(), of_place, "{scope}");
        assert_eq!(open.narrowed(object(&scope)).is_ok(), of_open, "{scope}");
    }
}
