//! What comes from the Authority service, and the key that it is asked with.

use serde_json::json;

use super::canaries::{assert_clean, canary};
use super::{search, start_log};
use crate::fleet::heard;
use crate::support::authority::{Given, loan};
use crate::support::{FakeAuthority, Origin, Sidecar};

#[tokio::test]
async fn nothing_that_an_authority_says_or_is_told_shows() {
    start_log();
    let authority = FakeAuthority::plain().await;
    authority.holds(canary("api_key"));
    authority.takes(canary("api_key"));
    let origin = Origin::plain().await;
    let sidecar = Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ host: 127.0.0.1, port: {}, connection: jira, plaintext: true, networks: [127.0.0.0/8] }}\n",
            origin.port()
        ))
        .agent("bot", canary("proxy_password"))
        .borrows_from(&authority)
        .start()
        .await;
    let url = format!("http://127.0.0.1:{}/", origin.port());
    heard(&sidecar, 10).await;
    let token = canary("access_token");
    let whole = |event| loan("j", "jira", &["127.0.0.1"], token, event);
    let mut wrong_name = whole(1_000);
    wrong_name["name"] = json!("other");
    let mut wrong_shape = whole(1_000);
    wrong_shape["credentials"] = json!([token, { "access_token": token }]);
    let mut wrong_end = whole(1_000);
    wrong_end["expires_at"] = json!(token);
    let refusal = json!({ "error": { "code": token, "message": token, "details": { "token": token } } });
    let cut = whole(1_000).to_string();
    for given in [
        Given::of(200, &wrong_name),
        Given::of(200, &wrong_shape),
        Given::of(200, &wrong_end),
        Given::of(200, &whole(0)),
        Given::raw(200, cut[..cut.len() - 20].to_owned()),
        Given::raw(200, token),
        Given::raw(200, token.repeat(20_000)),
        Given::of(410, &refusal),
        Given::of(500, &refusal),
        Given::raw(503, token),
    ] {
        authority.answers_next("jira", given);
        let answer = sidecar.agent.get_plain(&url).await;
        // It says something, so that no row of silences opens its circuit.
        authority.answers_next("jira", Given::refusal(404, "CONNECTION_NOT_FOUND"));
        assert_eq!(sidecar.agent.get_plain(&url).await.status, 404);
        assert!(answer.status.as_u16() >= 400, "{answer:?}");
        assert_clean("a refusal", format!("{answer:?}").as_bytes());
        assert_clean("a refusal's body", &answer.body);
    }
    authority.lends("jira", Given::of(200, &whole(1_000)));
    assert_eq!(sidecar.agent.get_plain(&url).await.status, 200);
    assert!(origin.only().header("authorization").contains(token), "the canary was there to be shown");
    // A key that is refused, and events that quote what they should not.
    authority.takes("nx_live_other");
    authority.says(&format!("event: change\ndata: {{\"number\": 11, \"kind\": {}}}\n\n", json!(token)));
    authority.says(&format!("event: change\ndata: {{\"kind\": {}}}\n\n", json!(token)));
    let answer = sidecar.agent.get_plain(&url).await;
    assert_clean("a refused key", &answer.body);
    search(&sidecar).await;
}
