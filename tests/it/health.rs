//! Health, metrics, status and trust material, over the admin and health ports.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::read_answer;
use crate::support::{Answer, ByHand, Sidecar, soon};

/// A GET of one of these pages.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    soon(read_answer(&mut stream)).await
}

async fn text(address: SocketAddr, path: &str) -> String {
    let answer = get(address, path).await;
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The number of one line of the metrics.
fn metric(metrics: &str, line: &str) -> f64 {
    let found = metrics.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {line} in\n{metrics}"))
}

#[tokio::test]
async fn the_pages_and_what_they_count() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {port}, action: forward, networks: [127.0.0.0/8] }}\n"))
        .start()
        .await;
    let admin = sidecar.admin();
    assert_eq!(text(admin, "/healthz").await, "ok\n");
    assert_eq!(text(admin, "/readyz").await, "ready\n");
    assert_eq!(text(admin, "/ca.pem").await, sidecar.agent.trust);
    for _ in 0..3 {
        assert_eq!(sidecar.agent.get_plain("http://other.test/secret-path").await.code(), "POLICY_DENIED");
    }
    assert_eq!(sidecar.agent.raw(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n").await.status, 400);
    let underway = origin.answering(&sidecar.agent, "/x").await;
    let status: Value = serde_json::from_str(&text(admin, "/status").await).unwrap();
    assert_eq!(status["alive"], json!({"requests": 1, "tunnels": 0}), "{status}");
    underway.ends_well().await;
    sidecar.outcomes(5).await;
    let metrics = text(admin, "/metrics").await;
    assert!((metric(&metrics, "nexus_sidecar_refusals_total{code=\"POLICY_DENIED\"}") - 3.0).abs() < 0.1, "{metrics}");
    assert!(
        (metric(&metrics, "nexus_sidecar_refusals_total{code=\"INVALID_REQUEST\"}") - 1.0).abs() < 0.1,
        "{metrics}"
    );
    assert!(!metrics.contains("secret-path") && metrics.trim_end().ends_with("# EOF"), "{metrics}");
}

#[tokio::test]
async fn a_draining_sidecar_is_alive_and_not_ready() {
    let origin = ByHand::new().await;
    let port = origin.port();
    let mut sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ host: 127.0.0.1, port: {port}, action: forward, networks: [127.0.0.0/8] }}\n"))
        .configure(|config| {
            config.listen.health = vec!["127.0.0.1:0".parse().unwrap()];
            config.timeouts.drain = Duration::from_secs(10);
        })
        .start()
        .await;
    let (admin, health) = (sidecar.admin(), sidecar.health());
    assert_eq!(text(health, "/readyz").await, "ready\n");
    assert_eq!(get(health, "/metrics").await.status, 404);
    let underway = origin.answering(&sidecar.agent, "/x").await;
    sidecar.begin_drain();
    soon(async {
        while get(health, "/readyz").await.status == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for address in [admin, health] {
        assert_eq!(get(address, "/readyz").await.status, 503);
        assert_eq!(text(address, "/healthz").await, "ok\n");
    }
    underway.ends_well().await;
    soon(sidecar.drain()).await;
    soon(async { while TcpStream::connect(health).await.is_ok() {} }).await;
}
