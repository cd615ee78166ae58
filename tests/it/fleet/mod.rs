//! A sidecar that borrows from the Authority service: a fake one, whose every answer the test
//! writes.

mod events;
mod leases;
mod pushed;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::authority::{Given, loan};
use crate::support::{ByHand, FakeAuthority, Sidecar};

/// The connection of these tests.
const ID: &str = "2f1c0d2e";

/// A sidecar whose agent reaches a cleartext origin with the connection `jira`; the stream is open.
async fn borrowing(authority: &FakeAuthority) -> (Sidecar, ByHand) {
    borrowing_as(authority, |builder| builder).await
}

async fn borrowing_as(
    authority: &FakeAuthority,
    more: impl FnOnce(crate::support::sidecar::Builder) -> crate::support::sidecar::Builder,
) -> (Sidecar, ByHand) {
    let origin = ByHand::new().await;
    let rule = "connection: jira, plaintext: true, networks: [127.0.0.0/8]";
    let builder = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {}, {rule} }}\n", origin.port()))
        .borrows_from(authority);
    let sidecar = more(builder).start().await;
    heard(&sidecar, 10).await;
    (sidecar, origin)
}

/// Lends `jira` with this token, as of this event.
fn lends(authority: &FakeAuthority, token: &str, event: u64) {
    authority.lends("jira", granted(token, event));
    authority.knows(ID, "active");
}

fn granted(token: &str, event: u64) -> Given {
    Given::of(200, &loan(ID, "jira", &["127.0.0.1"], token, event))
}

/// A change of the connection.
fn about() -> Value {
    json!({ "connection": { "id": ID, "name": "jira" } })
}

/// Waits until an open stream told the sidecar of this event.
pub async fn heard(sidecar: &Sidecar, event: u64) {
    waits(sidecar, |source| source["stream"] == "open" && source["event"].as_u64() >= Some(event)).await;
}

async fn waits(sidecar: &Sidecar, is_so: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    for _ in 0..2000 {
        last = sidecar.status().await["sources"][0].clone();
        if is_so(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the source says {last}");
}

fn url(origin: &ByHand) -> String {
    format!("http://127.0.0.1:{}/", origin.port())
}
