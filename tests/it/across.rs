//! Across processes: `proxy` follows its files, and the store that another process changes.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Home, Proxy};
use crate::support::{ByHand, soon};

fn rules(origin: &ByHand, paths: &[&str]) -> String {
    let port = origin.port();
    let rule = |path: &&str| {
        format!(
            "  - {{ host: 127.0.0.1, port: {port}, path: /{path}, connection: {path}, plaintext: true, \
             networks: [127.0.0.0/8] }}\n"
        )
    };
    format!("version: 1\nrules:\n{}", paths.iter().map(rule).collect::<String>())
}

async fn started(more: &str) -> (Home, Proxy, ByHand) {
    let home = Home::new();
    home.connect("one", "127.0.0.1", "canary-one");
    home.connect("two", "127.0.0.1", "canary-two");
    let origin = ByHand::new().await;
    let proxy = home.proxy(&rules(&origin, &["one", "two"]), more);
    (home, proxy, origin)
}

#[tokio::test]
async fn a_connection_deleted_by_another_process_closes_what_uses_it_within_a_second() {
    let (home, proxy, origin) = started("").await;
    let one = origin.answering(&proxy.agent, "/one").await;
    let two = origin.answering(&proxy.agent, "/two").await;
    assert!(one.head.contains("authorization: Bearer canary-one"), "{}", one.head);
    let ended = home.run(["connection", "delete", "one", "--yes"]);
    let deleted = Instant::now();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    one.gets_cut().await;
    assert!(deleted.elapsed() < Duration::from_secs(1), "{:?}", deleted.elapsed());
    let answer = proxy.agent.get_plain(&format!("http://127.0.0.1:{}/one", origin.port())).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "CONNECTION_NOT_FOUND"));
    two.ends_well().await;
    assert!(!proxy.log().contains("canary"), "{}", proxy.log());
}

#[tokio::test]
async fn a_value_set_by_another_process_is_used_within_a_second() {
    let (home, proxy, origin) = started("").await;
    let before = origin.answering(&proxy.agent, "/one").await;
    let ended = home.run_with(["connection", "set", "one", "--field", "access_token=-"], "canary-new\n");
    let set = Instant::now();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    while !origin.asked(&proxy.agent, "/one").await.head.contains("Bearer canary-new") {
        assert!(set.elapsed() < Duration::from_secs(1), "the old value is still used");
    }
    before.ends_well().await;
}

#[tokio::test]
async fn files_are_followed_as_one_set_and_a_set_with_an_error_keeps_the_old_one() {
    let (home, proxy, origin) = started("").await;
    let one = origin.answering(&proxy.agent, "/one").await;
    let two = origin.answering(&proxy.agent, "/two").await;
    home.write("policy.yaml", "version: 1\nrules:\n  - { host: a.test, actoin: forward }\n");
    proxy.says("unknown key `actoin`");
    assert!(proxy.log().contains("policy.yaml:3:"), "{}", proxy.log());
    assert!(proxy.log().contains("the old one stays"), "{}", proxy.log());
    let metrics = admin(&proxy, "/metrics").await;
    assert!(metrics.contains("nexus_sidecar_reloads_total{result=\"refused\"} 1"), "{metrics}");
    // The old set still decides, for what is alive and what comes.
    let more = origin.answering(&proxy.agent, "/one").await;
    home.write("policy.yaml", &rules(&origin, &["two"]));
    one.gets_cut().await;
    more.gets_cut().await;
    two.ends_well().await;
    let answer = proxy.agent.get_plain(&format!("http://127.0.0.1:{}/one", origin.port())).await;
    assert_eq!(answer.code(), "POLICY_DENIED");
}

#[tokio::test]
async fn an_agent_whose_password_file_changed_loses_its_connections() {
    let home = Home::new();
    home.connect("one", "127.0.0.1", "canary-one");
    home.secret("a.pw", "pw-a\n");
    home.secret("b.pw", "pw-b\n");
    let origin = ByHand::new().await;
    let agents = "agents: [ { name: a, proxy_password_file: a.pw }, { name: b, proxy_password_file: b.pw } ]\n";
    let proxy = home.proxy(&rules(&origin, &["one"]), agents);
    let (a, b) = (proxy.agent.named("a", "pw-a"), proxy.agent.named("b", "pw-b"));
    let ours = origin.answering(&a, "/one").await;
    let theirs = origin.answering(&b, "/one").await;
    home.secret("a.pw", "pw-new\n");
    ours.gets_cut().await;
    theirs.ends_well().await;
    let url = format!("http://127.0.0.1:{}/one", origin.port());
    assert_eq!(a.get_plain(&url).await.status, 407);
    let again = origin.answering(&a.named("a", "pw-new"), "/one").await;
    again.ends_well().await;
}

#[tokio::test]
async fn sigterm_drains_and_a_second_one_ends_at_once() {
    let (home, mut proxy, origin) = started("limits: { drain: 5s }\n").await;
    let one = origin.answering(&proxy.agent, "/one").await;
    proxy.signal("TERM");
    proxy.says("draining");
    one.ends_well().await;
    assert_eq!(proxy.ended(), Some(0));
    let verified = home.run(["audit", "verify", "--config", "nexus-sidecar.yaml"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");

    let mut proxy = home.proxy(&rules(&origin, &["one"]), "limits: { drain: 60s }\n");
    let one = origin.answering(&proxy.agent, "/one").await;
    proxy.signal("TERM");
    proxy.says("draining");
    proxy.signal("TERM");
    one.gets_cut().await;
    assert_eq!(proxy.ended(), Some(0), "{}", proxy.log());
}

/// The level and the variable that show most.
#[tokio::test]
async fn no_log_holds_a_credential() {
    let (home, proxy, origin) = started("log: { level: trace }\n").await;
    origin.answering(&proxy.agent, "/one?key=canary-query").await.ends_well().await;
    home.run_with(["connection", "set", "one", "--field", "access_token=-"], "canary-new\n");
    let answer = proxy.agent.get_plain("http://u:canary-user@127.0.0.1/").await;
    assert_eq!(answer.status, 400);
    let ended = home.run(["connection", "delete", "two", "--yes"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let log = proxy.log();
    assert!(!log.contains("canary") && log.contains("listening"), "{log}");
    drop(proxy);
    let audit = home.path(".local/state/nexus-sidecar/audit");
    for entry in std::fs::read_dir(audit).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("canary"));
    }
}

#[tokio::test]
async fn ready_asks_and_the_ca_outlives_a_restart() {
    let (home, mut proxy, origin) = started("").await;
    let url = format!("http://{}", proxy.admin);
    assert_eq!(home.run(["ready", "--url", &url]).code, Some(0));
    let status: Value = serde_json::from_str(&admin(&proxy, "/status").await).unwrap();
    assert_eq!(status["audit"]["mode"], "required", "{status}");
    let ca = admin(&proxy, "/ca.pem").await;
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");
    proxy.signal("TERM");
    assert_eq!(proxy.ended(), Some(0));
    let ended = home.run(["ready", "--url", &url]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let proxy = home.proxy(&rules(&origin, &["one"]), "");
    assert_eq!(admin(&proxy, "/ca.pem").await, ca);
}

/// The body of a page of the admin port.
async fn admin(proxy: &Proxy, path: &str) -> String {
    let answer = soon(crate::health::get(proxy.admin, path)).await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).unwrap()
}
