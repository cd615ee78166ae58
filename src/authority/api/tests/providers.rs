//! The provider calls, status by status. Where a fault of the reference is corrected, its answer
//! stands beside ours.

use super::*;

fn acme() -> Value {
    json!({
        "name": "acme", "auth_type": "oauth2", "client_id": "nexus", "client_secret": "canary-secret",
        "auth_url": "https://acme.example/authorize", "token_url": "https://acme.example/token",
        "scopes": ["read"], "api_base_url": "https://api.acme.example/v1", "user_info_endpoint": "/me",
        "issuer": "https://acme.example", "description": "Acme", "category": "tickets", "params": { "prompt": "consent" },
    })
}

impl Served {
    async fn provide(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("x-api-key", &*key(ADMIN)), ("content-type", "application/json")];
        let reply = self.send(method, path, &headers, &body).await;
        assert!(!reply.body.contains("canary"), "{method} {path}: {reply:?}");
        reply
    }

    async fn made(&self, path: &str, profile: &Value) -> String {
        let reply = self.provide("POST", path, &json!({ "profile": profile })).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.json()["message"], "Provider profile created successfully");
        reply.json()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn registering_answers_as_the_reference_does() {
    let served = serve().await;
    for path in ["/v1/providers", "/providers"] {
        let name = if path == "/providers" { "broker" } else { "gateway" };
        let mut profile = acme();
        profile["name"] = name.into();
        served.made(path, &profile).await;
        // Each refusal of the reference is a 400; its names are kept where they say something.
        for (change, status, error) in [
            (json!({ "name": null }), 400, "invalid_provider_name"),
            (json!({ "name": "A b" }), 400, "invalid_provider_name"),
            // The reference: 400.
            (json!({ "name": name }), 409, "invalid_provider_name"),
            // The reference: `missing_missing required field`.
            (json!({ "name": "x", "client_id": "" }), 400, "missing_client_id"),
            (json!({ "name": "x", "client_secret": null }), 400, "missing_client_secret"),
            (json!({ "name": "x", "token_url": null }), 400, "missing_token_url"),
            (json!({ "name": "x", "auth_type": "saml" }), 400, "provider_creation_failed"),
            // The reference takes any address.
            (json!({ "name": "x", "token_url": "http://acme.example/" }), 400, "provider_creation_failed"),
            (json!({ "name": "x", "scopes": "read" }), 400, "provider_creation_failed"),
        ] {
            let mut profile = acme();
            profile.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let reply = served.provide("POST", path, &json!({ "profile": profile })).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, error), "{change}: {reply:?}");
        }
        assert_eq!(served.provide("POST", path, &json!({})).await.code(), "missing_profile");
        assert_eq!(served.provide("POST", path, &json!([])).await.code(), "invalid_json");
        let headers = [("x-api-key", &*key(ADMIN))];
        assert_eq!(served.send("POST", path, &headers, "{").await.code(), "invalid_json");
        // Content types are not looked at, and what follows the value is ignored.
        let body = json!({ "profile": { "name": format!("{name}-key"), "auth_type": "api_key" }, "more": 1 });
        let reply = served.send("POST", path, &headers, &format!("{body} rest")).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
}

#[tokio::test]
async fn what_was_registered_is_read_without_its_secret() {
    let served = serve().await;
    let id = served.made("/v1/providers", &acme()).await;
    // The reference reads the client secret out; issuer and what describes it are the Broker's alone.
    let mut broker = acme();
    broker.as_object_mut().unwrap().remove("client_secret");
    broker["id"] = id.as_str().into();
    broker["enable_discovery"] = false.into();
    let mut gateway = broker.clone();
    for name in ["issuer", "enable_discovery", "description", "category"] {
        gateway.as_object_mut().unwrap().remove(name);
    }
    let bare = id.replace('-', "").to_uppercase();
    for spelling in [id.as_str(), &bare, &format!("urn:uuid:{id}")] {
        assert_eq!(served.get(&format!("/providers/{spelling}"), ADMIN).await.json(), broker);
        assert_eq!(served.get(&format!("/v1/providers/{spelling}"), ADMIN).await.json(), gateway);
    }
    let metadata = json!({ "oauth2": { "acme": {
        "id": id, "api_base_url": "https://api.acme.example/v1", "user_info_endpoint": "/me", "scopes": ["read"],
        "description": "Acme", "category": "tickets",
    } } });
    for path in ["/v1/providers", "/v1/providers/metadata", "/providers/metadata"] {
        for number in [ADMIN, APP, AGENT] {
            assert_eq!(served.get(path, number).await.json(), metadata, "{path}");
        }
    }
    assert_eq!(served.get("/providers", APP).await.json(), json!([{ "id": id, "name": "acme" }]));
    // Names match regardless of case and surrounding blanks.
    for name in ["acme", "ACME", "%20Acme%20"] {
        let found = served.get(&format!("/providers/by-name/{name}"), AGENT).await;
        assert_eq!(found.json(), json!({ "id": id }));
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let served = serve().await;
    // The reference: `null`.
    assert_eq!(served.get("/providers", ADMIN).await.json(), json!([]));
    assert_eq!(served.get("/v1/providers", ADMIN).await.json(), json!({}));
    assert_eq!(served.get("/providers/by-name/none", ADMIN).await.code(), "provider_not_found");
    assert_eq!(served.provide("DELETE", "/providers/by-name/none", &Value::Null).await.status, 404);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (root, wrong) in [("/v1/providers", "invalid_id"), ("/providers", "invalid_provider_id")] {
        for (method, body) in [("GET", Value::Null), ("PUT", acme()), ("PATCH", json!({})), ("DELETE", Value::Null)] {
            let reply = served.provide(method, &format!("{root}/none"), &body).await;
            assert_eq!((reply.status, reply.code().as_str()), (400, wrong), "{method} {root}");
            // The reference's Broker: 200 for the last three; its Gateway: an empty body.
            let reply = served.provide(method, &format!("{root}/{unknown}"), &body).await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "provider_not_found"), "{method} {root}");
        }
    }
}

#[tokio::test]
async fn changes_are_checked_and_answered_with_nothing() {
    let served = serve().await;
    for root in ["/v1/providers", "/providers"] {
        let id = served.made(root, &acme()).await;
        let mut other = acme();
        other["name"] = "other".into();
        let second = served.made(root, &other).await;
        let path = format!("{root}/{id}");
        let before = served.get(&format!("/providers/{id}"), ADMIN).await.json();
        // What GET answered, sent back, changes nothing: not the secret either.
        let shown = served.get(&path, ADMIN).await.json();
        let reply = served.provide("PUT", &path, &shown).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
        assert_eq!(served.get(&format!("/providers/{id}"), ADMIN).await.json(), before);
        let reply = served.provide("PATCH", &path, &json!({ "scopes": ["a", "b"], "unknown": 7 })).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
        assert_eq!(served.get(&path, ADMIN).await.json()["scopes"], json!(["a", "b"]));
        // The reference checks none of these: a rewritten token_url would get the client secret.
        for (change, status, error) in [
            (json!({ "token_url": "https://evil.example/token" }), 400, "missing_client_secret"),
            (json!({ "auth_type": "saml" }), 400, "patch_failed"),
            (json!({ "name": "A" }), 400, "invalid_provider_name"),
            (json!({ "client_secret": "" }), 400, "missing_client_secret"),
            // The reference: 500 `patch_failed`.
            (json!({ "name": "other" }), 409, "invalid_provider_name"),
        ] {
            let reply = served.provide("PATCH", &path, &change).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, error), "{change}");
        }
        for (body, error) in [(json!({}), "invalid_provider_name"), (json!([]), "invalid_json")] {
            assert_eq!(served.provide("PUT", &path, &body).await.code(), error);
        }
        for id in [id, second] {
            let reply = served.provide("DELETE", &format!("{root}/{id}"), &Value::Null).await;
            assert_eq!((reply.status, reply.body.as_str()), (200, ""));
            assert_eq!(served.get(&format!("{root}/{id}"), ADMIN).await.status, 404);
        }
    }
    served.made("/providers", &acme()).await;
    let reply = served.provide("DELETE", "/providers/by-name/acme", &Value::Null).await;
    assert_eq!(reply.json(), json!({ "message": "Deleted 1 provider(s)" }));
}

#[tokio::test]
async fn what_is_new_lists_those_that_are_compiled_in_too() {
    let served = serve().await;
    let made = served.provide("POST", "/api/v2/providers", &acme()).await;
    assert_eq!((made.status, &made.json()["client_secret_set"]), (201, &json!(true)));
    assert_eq!(made.json()["hosts"], json!(["api.acme.example"]));
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/api/v2/providers?limit=2{cursor}"), AGENT).await.json();
        names.extend(page["providers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["acme", "anthropic", "aws", "github", "openai", "slack"]);
    let built_in = served.get("/api/v2/providers/github", ADMIN).await.json();
    assert_eq!((&built_in["source"], &built_in["hosts"][0]), (&json!("built-in"), &json!("api.github.com")));
    for (method, path, body, status, code) in [
        ("POST", "/api/v2/providers", acme(), 409, "ALREADY_EXISTS"),
        ("POST", "/api/v2/providers", json!({ "name": "x", "nmae": "y" }), 400, "INVALID_ARGUMENT"),
        ("POST", "/api/v2/providers", json!({ "name": "x" }), 400, "INVALID_ARGUMENT"),
        ("PATCH", "/api/v2/providers/acme", json!({ "id": "1" }), 400, "INVALID_ARGUMENT"),
        ("PATCH", "/api/v2/providers/github", json!({}), 404, "NOT_FOUND"),
        ("DELETE", "/api/v2/providers/github", Value::Null, 404, "NOT_FOUND"),
        ("GET", "/api/v2/providers/none", Value::Null, 404, "NOT_FOUND"),
    ] {
        let reply = served.provide(method, path, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {path} {body}");
    }
    let patched = served.provide("PATCH", "/api/v2/providers/acme", &json!({ "category": null })).await.json();
    assert_eq!((&patched["version"], &patched["attention"]), (&json!(2), &json!([])));
    let mut other = acme();
    other["token_url"] = "https://acme.example/v2/token".into();
    assert_eq!(served.provide("PUT", "/api/v2/providers/acme", &other).await.json()["version"], 3);
    let gone = served.provide("DELETE", "/api/v2/providers/acme", &Value::Null).await;
    assert_eq!(gone.json()["attention"], json!([]));
}
