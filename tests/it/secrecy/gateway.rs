//! What comes from the reference's Gateway and Broker, who hand out refresh and ID tokens too.

use std::time::Duration;

use nexus_sidecar::config::{Dialect, SourceAuth};
use serde_json::json;

use super::canaries::{assert_clean, canary, forms};
use super::{search, start_log};
use crate::support::gateway::{FakeGateway, Kept};
use crate::support::{Origin, Sidecar};

const ID: &str = "2f1c0d2e";

#[tokio::test]
async fn nothing_that_a_gateway_or_broker_says_or_is_told_shows() {
    start_log();
    for dialect in [Dialect::Gateway, Dialect::Broker] {
        let (gateway, origin) = (FakeGateway::plain(dialect).await, Origin::plain().await);
        let auth = SourceAuth { key_file: Some(gateway.file("key", canary("api_key"))), client: None };
        let rule = "connection: jira, plaintext: true, networks: [127.0.0.0/8]";
        let sidecar = Sidecar::builder()
            .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {}, {rule} }}\n", origin.port()))
            .agent("bot", canary("proxy_password"))
            .configure(gateway.source(auth, None, &[("jira", ID)]))
            .start()
            .await;
        let url = format!("http://127.0.0.1:{}/", origin.port());
        let (token, refresh) = (canary("access_token"), canary("password"));
        let stored = |life: u64| {
            json!({
                "access_token": token, "refresh_token": refresh, "id_token": canary("api_secret"), "expires_in": life,
                "later": { "a": [canary("secret_key")] },
            })
        };
        let whole = Kept { stored: stored(0), ..Kept::oauth("", Duration::ZERO) };
        let says = |status, body: String| Some((status, body));
        let error = json!({ "error": token, "message": refresh }).to_string();
        let wrong_end = json!({ "strategy": { "type": "oauth2" },
            "credentials": { "access_token": token, "expires_at": refresh } });
        let wrong_strategy = json!({ "strategy": { "type": "header", "config":
            { "value_prefix": format!("{}\n", canary("session_token")) } }, "credentials": { "api_key": token } });
        for kept in [
            Kept { instead: says(200, token.to_owned()), ..whole.clone() },
            Kept {
                instead: says(200, format!("{{\"credentials\": {{\"access_token\": {}", json!(token))),
                ..whole.clone()
            },
            Kept { instead: says(200, json!({ "credentials": token }).to_string()), ..whole.clone() },
            Kept { instead: says(200, wrong_end.to_string()), ..whole.clone() },
            Kept { instead: says(200, wrong_strategy.to_string()), ..whole.clone() },
            Kept { instead: says(200, token.repeat(20_000)), ..whole.clone() },
            Kept { instead: says(403, error.clone()), ..whole.clone() },
            Kept { instead: says(500, error.clone()), ..whole.clone() },
            Kept { refresh: says(200, error.clone()), ..whole.clone() },
            Kept { refresh: says(409, error.clone()), ..whole.clone() },
            Kept { refresh: says(502, refresh.to_owned()), ..whole.clone() },
        ] {
            gateway.keeps(ID, kept);
            let answer = sidecar.agent.get_plain(&url).await;
            assert!(answer.status.as_u16() >= 400, "{answer:?}");
            assert_clean("a refusal", format!("{answer:?}").as_bytes());
            assert_clean("a refusal's body", &answer.body);
        }
        gateway.keeps(ID, Kept { stored: stored(3600), ..whole });
        let answer = sidecar.agent.get_plain(&url).await;
        assert_eq!(answer.status, 200);
        let seen = origin.only();
        assert!(seen.header("authorization").contains(token), "the canary was there to be shown");
        for field in ["password", "api_secret", "secret_key", "api_key"] {
            let shown = format!("{seen:?}");
            let spellings = forms(canary(field).as_bytes());
            let found = spellings.iter().any(|form| memchr::memmem::find(shown.as_bytes(), form).is_some());
            assert!(!found, "{field} went to the destination");
        }
        search(&sidecar).await;
    }
}
