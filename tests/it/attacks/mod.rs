//! Attacks by a hostile agent and a hostile destination, one file per direction. After each,
//! somebody else's good request still succeeds.

mod frames;
mod h2;
mod origin;

mod reach;
mod timing;

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::sidecar::Builder;
use crate::support::{Origin, Pki, Sidecar};

const SECRET: &str = "canary-b51d0c94e7a2";

/// A sidecar with a bearer token for `api.test`; `rule` goes on with the rule.
fn bearer(pki: &Pki, origin: &Origin, rule: &str) -> Builder {
    Sidecar::builder()
        .policy(format!(
            "rules:\n  - {{ name: api, host: api.test, port: {}, connection: api, networks: [127.0.0.0/8]{rule} }}\n",
            origin.port()
        ))
        .connection("api", json!({"type": "oauth2"}), &["api.test"], &[("access_token", SECRET)])
        .trusts(pki)
        .host("api.test", origin)
}

/// A sidecar that forwards to a cleartext destination, which the test drives byte by byte.
async fn by_hand(change: impl FnOnce(&mut nexus_sidecar::config::Config) + 'static) -> (Sidecar, TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {port}, action: forward, networks: [127.0.0.0/8] }}\n"))
        .configure(change)
        .start()
        .await;
    (sidecar, listener, format!("http://127.0.0.1:{port}"))
}

async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.push(tokio::io::AsyncReadExt::read_u8(stream).await.expect("the stream ended early"));
    }
    bytes
}
