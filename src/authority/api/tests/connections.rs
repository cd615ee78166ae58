//! Connections over HTTP: made, listed, changed, deleted, and never a value answered.

use super::*;

impl Served {
    pub(super) async fn admin(&self, method: &str, path: &str, body: &str) -> Reply {
        let admin = key(ADMIN);
        let reply = self.send(method, path, &[("x-api-key", &admin), ("content-type", "application/json")], body).await;
        assert!(!reply.body.contains("canary"), "{method} {path}: {reply:?}");
        reply
    }

    pub(super) async fn make(&self, name: &str) -> Reply {
        let body = json!({
            "name": name,
            "bindings": [{ "hosts": ["api.example.com"], "strategy": { "type": "oauth2" } }],
            "fields": { "access_token": "canary-1" },
        });
        self.admin("POST", "/api/v2/connections", &body.to_string()).await
    }
}

#[tokio::test]
async fn a_connection_is_made_shown_changed_and_deleted() {
    let served = serve().await;
    let made = served.make("tickets").await;
    assert_eq!(made.status, 201, "{made:?}");
    let view = made.json();
    let id = view["id"].as_str().unwrap();
    assert_eq!(made.header("location").unwrap(), format!("/api/v2/connections/{id}"));
    assert_eq!(
        (&view["state"], &view["version"], &view["fields"]),
        (&json!("active"), &json!(1), &json!(["access_token"]))
    );
    assert_eq!(view["bindings"][0]["hosts"], json!(["api.example.com"]));
    assert_eq!(view["created_at"], "2027-01-15T08:00:00Z");
    for which in ["tickets", id] {
        assert_eq!(served.admin("GET", &format!("/api/v2/connections/{which}"), "").await.json(), view);
    }
    assert_eq!(
        (served.make("tickets").await.status, served.make("tickets").await.code()),
        (409, "ALREADY_EXISTS".into())
    );
    let change = json!({ "fields": { "access_token": "canary-2" }, "expires_at": "2027-02-01T00:00:00+01:00" });
    let changed = served.admin("PATCH", &format!("/api/v2/connections/{id}"), &change.to_string()).await;
    assert_eq!((changed.status, &changed.json()["version"]), (200, &json!(2)), "{changed:?}");
    assert_eq!(changed.json()["expires_at"], "2027-01-31T23:00:00Z");
    let gone = served.admin("DELETE", "/api/v2/connections/tickets", "").await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    for (method, body) in [("GET", ""), ("DELETE", ""), ("PATCH", "{\"fields\": {\"access_token\": \"x\"}}")] {
        let reply = served.admin(method, "/api/v2/connections/tickets", body).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "CONNECTION_NOT_FOUND"), "{method}");
    }
}

#[tokio::test]
async fn a_provider_says_where_its_credentials_go() {
    let served = serve().await;
    let body = "{\"name\": \"work\", \"provider\": \"github\", \"fields\": {\"token\": \"canary\"}}";
    let made = served.admin("POST", "/api/v2/connections", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["provider"], "github");
    assert!(made.json()["bindings"].to_string().contains("api.github.com"));
}

#[tokio::test]
async fn what_is_wrong_is_named_changes_nothing_and_is_not_quoted() {
    let served = serve().await;
    served.make("there").await;
    let bindings = "\"bindings\": [{\"hosts\": [\"a.test\"], \"strategy\": {\"type\": \"oauth2\"}}]";
    for (method, path, body, field) in [
        ("POST", "", "{}".to_owned(), "name"),
        ("POST", "", "{\"name\": \"A canary\", \"fields\": {}}".to_owned(), "name"),
        ("POST", "", "{\"name\": \"x\", \"fields\": {}}".to_owned(), "provider"),
        ("POST", "", format!("{{\"name\": \"x\", \"provider\": \"github\", {bindings}}}"), "provider"),
        ("POST", "", "{\"name\": \"x\", \"provider\": \"canary\"}".to_owned(), "provider"),
        ("POST", "", "{\"name\": \"x\", \"provider\": \"github\", \"owned\": true}".to_owned(), "owned"),
        ("POST", "", format!("{{\"name\": \"x\", {bindings}, \"extra\": \"canary\"}}"), "extra"),
        ("POST", "", format!("{{\"name\": \"x\", {bindings}, \"fields\": \"canary\"}}"), "fields"),
        (
            "POST",
            "",
            format!("{{\"name\": \"x\", {bindings}, \"fields\": {{\"access_token\": 7}}}}"),
            "fields.access_token",
        ),
        ("POST", "", format!("{{\"name\": \"x\", {bindings}, \"fields\": {{\"a canary\": \"x\"}}}}"), "fields"),
        ("POST", "", format!("{{\"name\": \"x\", {bindings}, \"fields\": {{\"other\": \"canary\"}}}}"), ""),
        ("POST", "", format!("{{\"name\": \"x\", {bindings}, \"expires_at\": \"canary\"}}"), "expires_at"),
        (
            "POST",
            "",
            format!(
                "{{\"name\": \"x\", {bindings}, \"fields\": {{\"access_token\": \"canary\"}}, \"expires_at\": \"2020-01-01T00:00:00Z\"}}"
            ),
            "",
        ),
        (
            "POST",
            "",
            "{\"name\": \"x\", \"bindings\": [{\"hosts\": [\"*\"], \"strategy\": {\"type\": \"oauth2\"}}]}".to_owned(),
            "hosts",
        ),
        (
            "POST",
            "",
            "{\"name\": \"x\", \"bindings\": [{\"hosts\": [\"a.test\"], \"strategy\": {\"type\": \"magic\"}}]}"
                .to_owned(),
            "strategy",
        ),
        ("POST", "", "{\"name\": \"x\", \"bindings\": []}".to_owned(), ""),
        ("PATCH", "/there", "{}".to_owned(), "fields"),
        ("PATCH", "/there", "{\"fields\": null}".to_owned(), "fields"),
        ("PATCH", "/there", "{\"name\": \"canary\", \"fields\": {}}".to_owned(), "name"),
        ("PATCH", "/A", "{\"fields\": {\"access_token\": \"x\"}}".to_owned(), ""),
    ] {
        let reply = served.admin(method, &format!("/api/v2/connections{path}"), &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_ARGUMENT"), "{body}: {reply:?}");
        assert_eq!(reply.json()["error"]["details"]["field"].as_str().unwrap_or_default(), field, "{body}: {reply:?}");
    }
    let list = served.admin("GET", "/api/v2/connections", "").await.json();
    assert_eq!(list["connections"].as_array().unwrap().len(), 1);
    assert_eq!(list["connections"][0]["version"], 1);
}

#[tokio::test]
async fn a_list_comes_in_pages_that_miss_nothing() {
    let served = serve().await;
    for name in ["c", "a", "e", "b", "d"] {
        served.make(name).await;
    }
    let (mut names, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = served.admin("GET", &format!("/api/v2/connections?{query}"), "").await.json();
        let found = page["connections"].as_array().unwrap();
        names.extend(found.iter().map(|connection| connection["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["has_more"], false);
            break;
        };
        assert_eq!((found.len(), &page["has_more"]), (2, &json!(true)));
        // What is deleted, or made before, between two pages moves nothing.
        served.admin("DELETE", &format!("/api/v2/connections/{}", names.last().unwrap()), "").await;
        served.make("0").await;
        query = format!("limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    for query in ["limit=0", "limit=1001", "cursor=zz", "cursor=", "page=2", "limit=2&limit=2"] {
        let reply = served.admin("GET", &format!("/api/v2/connections?{query}"), "").await;
        assert_eq!(reply.status, 400, "{query}");
    }
}
