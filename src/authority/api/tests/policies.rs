//! The policy that sidecars follow.

use super::*;

const ONE: &str = "version: 1\nrules:\n  - { host: a.test, action: forward }\n";
const TWO: &str = "version: 1\nrules:\n  - { host: b.test, action: forward }\n";

async fn put(served: &Served, body: &Value) -> Reply {
    let headers = [("x-api-key", &*key(ADMIN)), ("content-type", "application/json")];
    served.send("PUT", "/api/v2/policy", &headers, &body.to_string()).await
}

#[tokio::test]
async fn what_an_administrator_sets_a_sidecar_reads() {
    let served = serve().await;
    assert_eq!(served.get("/api/v2/policy", SIDECAR).await.code(), "NOT_FOUND");
    let made = put(&served, &json!({ "document": ONE, "after": 0 })).await;
    assert_eq!((made.status, made.json()["version"].as_u64()), (201, Some(1)));
    assert_eq!(put(&served, &json!({ "document": ONE })).await.status, 200, "the same again");
    let moved = put(&served, &json!({ "document": TWO, "after": 0 })).await;
    assert_eq!((moved.status, moved.code().as_str()), (409, "ALREADY_EXISTS"));
    assert_eq!(put(&served, &json!({ "document": TWO, "after": 1 })).await.json()["version"], 2);
    let read = served.get("/api/v2/policy", SIDECAR).await.json();
    assert_eq!(
        (&read["version"], &read["document"], &read["set_by"]),
        (&json!(2), &json!(TWO), &json!("caller:key:1"))
    );
    let first = served.get("/api/v2/policy/history?limit=1", ADMIN).await.json();
    assert_eq!((&first["policies"][0]["version"], &first["has_more"]), (&json!(2), &json!(true)));
    let path = format!("/api/v2/policy/history?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = served.get(&path, ADMIN).await.json();
    assert_eq!((&second["policies"][0]["version"], &second["has_more"]), (&json!(1), &json!(false)));
}

#[tokio::test]
async fn what_no_sidecar_would_take_is_refused_with_its_place() {
    let served = serve().await;
    for document in ["", "rules: [", "version: 1\nrules:\n  - { hots: a.test }\n"] {
        let reply = put(&served, &json!({ "document": document })).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_ARGUMENT"), "{document}");
    }
    let wrong = put(&served, &json!({ "document": "version: 1\nrules:\n  - { hots: a.test }\n" })).await;
    assert!(wrong.json()["error"]["message"].as_str().unwrap().contains(":3:"), "{wrong:?}");
    for body in [json!({}), json!({ "document": ONE, "after": -1 }), json!({ "document": ONE, "x": 1 })] {
        assert_eq!(put(&served, &body).await.status, 400, "{body}");
    }
    assert_eq!(served.get("/api/v2/policy", ADMIN).await.status, 404);
}
