//! Each scope against each endpoint: the table is what happens.

use super::*;

/// An answer that says: the caller was let in.
fn is_in(status: u16) -> bool {
    !matches!(status, 401 | 403)
}

#[tokio::test]
async fn the_table_of_scopes_is_what_happens() {
    let served = serve().await;
    let keys =
        [(Role::Admin, ADMIN), (Role::Sidecar, SIDECAR), (Role::Lease, LEASE), (Role::App, APP), (Role::Agent, AGENT)];
    let mut asked = 0;
    for endpoint in table::endpoints() {
        let path: String = endpoint
            .path
            .split('/')
            .map(|part| if part.starts_with('{') { "none" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let method = endpoint.method.as_str();
        let nobody = served.send(method, &path, &[], "").await;
        let Some(roles) = endpoint.handler.roles() else {
            assert!(is_in(nobody.status), "{method} {path} is for everybody: {nobody:?}");
            continue;
        };
        assert_eq!(nobody.status, 401, "{method} {path}");
        for (role, number) in keys {
            // An event stream does not end: HEAD is let in alike.
            let method = if path.ends_with("/events") { "HEAD" } else { method };
            let reply = served.send(method, &path, &[("x-api-key", &key(number))], "").await;
            let may = roles.contains(&role);
            assert_eq!(reply.status != 403, may, "{} and {method} {path}: {reply:?}", role.as_str());
            asked += 1;
        }
    }
    assert!(asked >= 5);
}

#[tokio::test]
async fn who_is_not_let_in_learns_why() {
    let served = serve().await;
    for (number, status, code) in [
        (UNKNOWN, 401, "UNAUTHENTICATED"),
        (REVOKED, 410, "KEY_REVOKED"),
        (EXPIRED, 410, "KEY_EXPIRED"),
        (BROKEN, 503, "UNAVAILABLE"),
    ] {
        let reply = served.get("/metrics", number).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
    }
    for (name, value) in [("authorization", "Basic dTpw"), ("authorization", "Bearer x"), ("x-api-key", "canary")] {
        let reply = served.send("GET", "/metrics", &[(name, value)], "").await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHENTICATED"), "{value}");
        assert!(!reply.body.contains("canary"));
    }
    let both = [("authorization", &*format!("Bearer {}", key(ADMIN))), ("x-api-key", &*key(SIDECAR))];
    assert_eq!(served.send("GET", "/metrics", &both, "").await.status, 401);
    let bearer = [("authorization", &*format!("Bearer {}", key(ADMIN)))];
    assert_eq!(served.send("GET", "/metrics", &bearer, "").await.status, 200);
}
