//! `policy: [ authority ]`, and the commands beside it, through the binary.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lends;
use crate::left_out;
use crate::support::authority::KEY;
use crate::support::{FakeAuthority, Home, Origin};

/// Rules for the cleartext name `plain.test`, the last one for anything else there.
fn policy(port: u16, more: &str) -> String {
    let at = format!("host: plain.test, port: {port}, networks: [127.0.0.0/8]");
    format!(
        "version: 1\nrules:\n{more}  - {{ name: own, {at}, path: /own, action: forward }}\n  \
         - {{ name: jira, {at}, connection: jira, plaintext: true }}\n"
    )
}

fn denied() -> &'static str {
    "  - { name: closed, host: plain.test, action: deny }\n"
}

fn configure(home: &Home, authority: &FakeAuthority) {
    let source = format!(
        "sources: {{ fleet: {{ url: '{}', dialect: nexus, auth: {{ bearer_file: '{}' }} }} }}\n",
        authority.url(),
        authority.key_file().display()
    );
    let text = format!(
        "version: 1\nlisten: {{ proxy: '127.0.0.1:0', admin: '127.0.0.1:0' }}\nanonymous: allow\npolicy: [authority]\n\
         upstream: {{ hosts: {{ plain.test: 127.0.0.1 }} }}\n{source}"
    );
    home.write("nexus-sidecar.yaml", &text);
    home.write(".config/nexus-sidecar/nexus-sidecar.yaml", &text);
}

/// A home, a fake that lends to `plain.test`, and the destination.
async fn scene() -> (Home, FakeAuthority, Origin) {
    let authority = FakeAuthority::plain().await;
    lends(&authority, "canary-1", 1_000);
    let loan = crate::support::authority::loan(super::ID, "jira", &["plain.test"], "canary-1", 1_000);
    authority.lends("jira", crate::support::authority::Given::of(200, &loan));
    let home = Home::new();
    configure(&home, &authority);
    (home, authority, Origin::plain().await)
}

fn finding<'a>(report: &'a Value, of: &str) -> &'a Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["check"] == of).unwrap_or_else(|| panic!("no {of} in {report:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_policy_is_taken_and_the_last_good_one_is_kept() {
    let (home, authority, origin) = scene().await;
    let (port, url) = (origin.port(), format!("http://plain.test:{}/x", origin.port()));
    authority.has_policy(7, &policy(port, ""));
    let mut proxy = home.serve();
    assert_eq!(proxy.agent.get_plain(&url).await.status, 200);
    assert_eq!(origin.only().header("authorization"), "Bearer canary-1");
    // Another one is taken at once, and says so in every record.
    proxy.says("the stream of events is open");
    authority.has_policy(8, &policy(port, denied()));
    authority.changes("policy.changed", &json!({}));
    proxy.says("number=8");
    assert_eq!(proxy.agent.get_plain(&url).await.code(), "POLICY_DENIED");
    // One that is none changes nothing.
    authority.has_policy(9, "version: 1\nrules: 7\n");
    authority.changes("policy.changed", &json!({}));
    proxy.says("is not valid: the last one stays");
    assert!(proxy.log().contains("the Authority's policy 9:2:8"), "{}", proxy.log());
    assert_eq!(proxy.agent.get_plain(&url).await.code(), "POLICY_DENIED");
    proxy.signal("TERM");
    assert_eq!(proxy.ended(), Some(0));
    let audit = home.run(["audit", "query", "--json"]).out;
    assert!(audit.contains("\"policy\":\"7:") && audit.contains("\"policy\":\"8:"), "{audit}");
    // An Authority that cannot be asked, or says what is none, leaves the last good one.
    let mut proxy = home.serve();
    assert!(
        proxy.log().contains("the Authority's policy 9 is not valid: the last good one, 8, holds"),
        "{}",
        proxy.log()
    );
    proxy.signal("TERM");
    proxy.ended();
    authority.stops();
    let proxy = home.serve();
    proxy.says("the last good one, 8, holds");
    assert_eq!(proxy.agent.get_plain(&url).await.code(), "POLICY_DENIED");
    // What asks nobody goes by it too.
    let checked = home.run(["policy", "check"]);
    assert!(checked.code == Some(0) && checked.out.contains("version 8:"), "{checked:?}");
    let why = home.run(["why"]);
    assert!(why.out.contains("closed"), "{why:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_policy_of_the_authority_nothing_starts() {
    let (home, authority, origin) = scene().await;
    let start = || home.run(["proxy", "--config", "nexus-sidecar.yaml"]);
    let ended = start();
    assert!(ended.code == Some(1) && ended.err.contains("the Authority has no policy"), "{ended:?}");
    authority.has_policy(3, "version: 1\nrules: 7\n");
    let ended = start();
    assert!(ended.code == Some(2) && ended.err.contains("the Authority's policy 3:2:8"), "{ended:?}");
    authority.takes("nx_live_other");
    let ended = start();
    assert!(ended.code == Some(1) && ended.err.contains("does not know the key"), "{ended:?}");
    assert!(!ended.err.contains(KEY), "{ended:?}");
    std::fs::remove_file(authority.key_file()).unwrap();
    let ended = start();
    assert!(ended.code == Some(2) && ended.err.contains("cannot use the key of the source fleet"), "{ended:?}");
    authority.holds(KEY);
    authority.takes(KEY);
    authority.stops();
    let ended = start();
    assert!(
        ended.code == Some(1) && ended.err.contains("cannot connect") && ended.err.contains("none is kept"),
        "{ended:?}"
    );
    let ended = home.run(["policy", "check"]);
    assert!(ended.code == Some(2) && ended.err.contains("none of it is kept"), "{ended:?}");
    drop(origin);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_borrows_from_it_and_follows_its_policy() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let (home, authority, origin) = scene().await;
    authority.has_policy(7, &policy(origin.port(), ""));
    let ask = format!("curl -s -o answer -w '%{{http_code}} ' http://plain.test:{}/x", origin.port());
    let script = format!("{ask}; touch asked; while [ ! -e go ]; do sleep 0.05; done; {ask}");
    let child = home.command(["run", "--", "sh", "-c", &script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let waits = |what: &str, is_so: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let log = || std::fs::read_to_string(home.path(".local/state/nexus-sidecar/run.log")).unwrap_or_default();
    waits("the first request", &|| home.path("asked").exists());
    waits("the stream", &|| log().contains("the stream of events is open"));
    authority.has_policy(8, &policy(origin.port(), denied()));
    authority.changes("policy.changed", &json!({}));
    waits("the policy", &|| log().contains("number=8"));
    home.write("go", "");
    let output = tokio::task::block_in_place(|| child.wait_with_output()).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200 403 ", "{}", log());
    assert_eq!(origin.only().header("authorization"), "Bearer canary-1");
    // Its own rules stand alone, and the connection is still the Authority's.
    home.write("own.yaml", &policy(origin.port(), ""));
    let ended = home.run(["run", "--policy", "own.yaml", "--", "sh", "-c", &ask]);
    assert!(ended.code == Some(0) && ended.out == "200 ", "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_tells_whether_it_answers_and_takes_the_key() {
    let (home, authority, origin) = scene().await;
    let look = || serde_json::from_str::<Value>(&home.run(["doctor", "--json"]).out).unwrap();
    let report = look();
    assert_eq!(finding(&report, "source")["level"], "fail", "{report:#}");
    assert!(finding(&report, "source")["finding"].as_str().unwrap().contains("it has no policy"));
    authority.has_policy(7, &policy(origin.port(), ""));
    let report = look();
    assert_eq!(finding(&report, "source")["level"], "ok", "{report:#}");
    assert!(finding(&report, "policy")["finding"].as_str().unwrap().contains("version 7:"), "{report:#}");
    assert_eq!(finding(&report, "key of fleet")["level"], "ok");
    authority.takes("nx_live_other");
    let report = look();
    assert!(finding(&report, "source")["finding"].as_str().unwrap().contains("does not know the key"), "{report:#}");
    assert!(!report.to_string().contains(KEY));
    let listed = home.run(["connection", "list"]);
    assert!(listed.code == Some(2) && listed.err.contains("kept by the Authority"), "{listed:?}");
}
