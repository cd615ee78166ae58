//! Keys, agents and grants over HTTP.

use super::*;

#[tokio::test]
async fn agents_grants_and_keys_are_made_listed_and_revoked() {
    let served = serve().await;
    let post = async |path: &str, body: Value| served.admin("POST", path, &body.to_string()).await;
    assert_eq!(post("/api/v2/agents", json!({ "name": "a bot" })).await.status, 201);
    assert_eq!(post("/api/v2/agents", json!({ "name": "a bot" })).await.code(), "ALREADY_EXISTS");
    served.make("tickets").await;
    let grant = json!({ "agent": "a bot", "connection": "tickets" });
    let granted = post("/api/v2/grants", grant.clone()).await;
    assert_eq!((granted.status, &granted.json()["connection"]["name"]), (201, &json!("tickets")));
    assert_eq!(post("/api/v2/grants", grant).await.status, 200, "it was so before");
    assert_eq!(
        post("/api/v2/grants", json!({ "agent": "x", "connection": "tickets" })).await.code(),
        "AGENT_NOT_FOUND"
    );
    let nothing = json!({ "agent": "a bot", "connection": "nothing" });
    assert_eq!(post("/api/v2/grants", nothing).await.code(), "CONNECTION_NOT_FOUND");
    let list = served.admin("GET", "/api/v2/grants", "").await.json();
    assert_eq!(list["grants"][0]["agent"], "a bot");
    for status in [204, 404] {
        assert_eq!(served.admin("DELETE", "/api/v2/grants/a%20bot/tickets", "").await.status, status);
    }
    let made = post("/api/v2/keys", json!({ "name": "k", "scope": "sidecar", "agents": ["a bot"] })).await;
    let view = made.json();
    assert_eq!(made.status, 201, "{made:?}");
    let text = view["key"].as_str().unwrap();
    assert!(ApiKey::parse(text.as_bytes()).is_some());
    let keys = served.admin("GET", "/api/v2/keys", "").await;
    assert_eq!((&keys.json()["keys"][0]["id"], keys.body.contains(text)), (&view["id"], false), "it is shown once");
    let path = format!("/api/v2/keys/{}/revoke", view["id"].as_str().unwrap());
    assert!(served.admin("POST", &path, "").await.json()["revoked_at"].is_string());
    let unknown = served.admin("POST", "/api/v2/keys/k_0123456789abcdef/revoke", "").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "KEY_NOT_FOUND"));
    assert!(served.admin("POST", "/api/v2/agents/a%20bot/revoke", "").await.json()["revoked_at"].is_string());
    let late = post("/api/v2/keys", json!({ "name": "k", "scope": "agent", "agents": ["a bot"] })).await;
    assert_eq!((late.status, late.code().as_str()), (409, "AGENT_REVOKED"));
}

#[tokio::test]
async fn a_key_says_what_it_is_about_and_nothing_else() {
    let served = serve().await;
    for (body, field) in [
        (json!({ "name": "k" }), "scope"),
        (json!({ "scope": "admin" }), "name"),
        (json!({ "name": "", "scope": "admin" }), "name"),
        (json!({ "name": "k", "scope": "root" }), "scope"),
        (json!({ "name": "k", "scope": "sidecar" }), "scope"),
        (json!({ "name": "k", "scope": "sidecar", "agents": [] }), "scope"),
        (json!({ "name": "k", "scope": "admin", "agents": ["a"] }), "scope"),
        (json!({ "name": "k", "scope": "agent", "agents": ["a", "b"] }), "scope"),
        (json!({ "name": "k", "scope": "lease", "agents": ["a"] }), "scope"),
        (json!({ "name": "k", "scope": "admin", "key": "canary" }), "key"),
    ] {
        let reply = served.admin("POST", "/api/v2/keys", &body.to_string()).await;
        assert_eq!((reply.status, &reply.json()["error"]["details"]["field"]), (400, &json!(field)), "{body}");
    }
    for bad in ["", " a", "a:b", "a*"] {
        let reply = served.admin("POST", "/api/v2/agents", &json!({ "name": bad }).to_string()).await;
        assert_eq!(reply.status, 400, "{bad:?}");
    }
}

#[tokio::test]
async fn agents_with_blanks_come_in_pages() {
    let served = serve().await;
    for name in ["b c", "a", "b b"] {
        served.admin("POST", "/api/v2/agents", &json!({ "name": name }).to_string()).await;
    }
    let (mut names, mut query) = (Vec::new(), "limit=1".to_owned());
    loop {
        let page = served.admin("GET", &format!("/api/v2/agents?{query}"), "").await.json();
        names.push(page["agents"][0]["name"].as_str().unwrap().to_owned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("limit=1&cursor={cursor}");
    }
    assert_eq!(names, ["a", "b b", "b c"]);
}
