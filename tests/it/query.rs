//! `audit query` and `audit tail` by the binary, over what sidecars of this process recorded.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::Ended;
use crate::support::{Agent, Home, Origin, Sidecar};

/// A sidecar for two agents that answers one request of each, refuses one of the first, and ends.
async fn recorded() -> (Sidecar, u16) {
    let origin = Origin::plain().await;
    let port = origin.port();
    let rule = format!("host: plain.test, port: {port}, networks: [127.0.0.0/8]");
    let mut sidecar = Sidecar::builder()
        .policy(format!("rules:\n  - {{ name: post, method: POST, connection: api, plaintext: true, {rule} }}\n  - {{ name: get, method: GET, action: forward, {rule} }}\n"))
        .connection("api", json!({"type": "oauth2"}), &["plain.test"], &[("access_token", "canary-90aa")])
        .host("plain.test", &origin)
        .agent("one", "p1")
        .agent("two", "p2")
        .start()
        .await;
    let (one, two) = (sidecar.agent.named("one", "p1"), sidecar.agent.named("two", "p2"));
    for (agent, method) in [(&one, "POST"), (&two, "GET"), (&one, "DELETE")] as [(&Agent, &str); 3] {
        agent.plain(method, &format!("http://plain.test:{port}/p?key=v"), &[], b"").await;
    }
    sidecar.drain().await;
    (sidecar, port)
}

fn query(dir: &Path, line: &[&str]) -> Ended {
    let dir = dir.to_str().unwrap();
    Home::new().run(["audit", "query", "--dir", dir].into_iter().chain(line.iter().copied()))
}

#[tokio::test]
async fn requests_are_found_by_who_what_and_how_they_ended() {
    let (sidecar, port) = recorded().await;
    let dir = sidecar.audit_dir();
    for (line, methods) in [
        (&[][..], &["POST", "GET", "DELETE"][..]),
        (&["--agent", "one"], &["POST", "DELETE"]),
        (&["--agent", "one", "--connection", "api", "--since", "1h"], &["POST"]),
        (&["--refused"], &["DELETE"]),
        (&["--code", "policy_denied", "--host", "*.test"], &["DELETE"]),
        (&["-n", "1"], &["DELETE"]),
        (&["--host", "other.test"], &[]),
        (&["--until", "1h"], &[]),
    ] {
        let ended = query(&dir, &[line, &["--json"]].concat());
        let found: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let got: Vec<&str> = found.iter().map(|request| request["method"].as_str().unwrap()).collect();
        assert_eq!((ended.code, &*got), (Some(0), methods), "{line:?}: {ended:?}");
        assert_eq!(ended.err.contains("no request in"), methods.is_empty(), "{ended:?}");
        let rows = query(&dir, line);
        assert_eq!(
            rows.out.lines().count(),
            methods.len(),
            "a row each, and no heading where no terminal is: {rows:?}"
        );
    }
    let posted = query(&dir, &["--connection", "api", "--json"]).out;
    let posted: Value = serde_json::from_str(&posted).unwrap();
    assert_eq!((&posted["agent"], &posted["end"], &posted["status"]), (&json!("one"), &json!("done"), &json!(200)));
    let prefix = &posted["trace"].as_str().unwrap()[..12];
    let row = query(&dir, &["--trace", prefix]).out;
    assert!(row.contains(&format!("200  done    POST    http://plain.test:{port}/p?key=*  [api]")), "{row}");
}

#[tokio::test]
async fn the_last_rows_fulfil_the_same_conditions() {
    let (sidecar, _) = recorded().await;
    let dir = sidecar.audit_dir();
    let tail = |line: &[&str]| {
        Home::new().run(["audit", "tail", "--dir", dir.to_str().unwrap()].into_iter().chain(line.iter().copied()))
    };
    for (line, methods) in [
        (&[][..], &["POST", "GET", "DELETE"][..]),
        (&["--agent", "one"], &["POST", "DELETE"]),
        (&["--agent", "one", "-n", "1"], &["DELETE"]),
        (&["--connection", "api", "--since", "1h"], &["POST"]),
        (&["--refused", "--agent", "two"], &[]),
    ] {
        let ended = tail(line);
        let rows: Vec<&str> = ended.out.lines().collect();
        assert_eq!(rows.len(), methods.len(), "{line:?}: {ended:?}");
        assert!(rows.iter().zip(methods).all(|(row, method)| row.contains(method)), "{line:?}: {ended:?}");
    }
    assert_eq!(tail(&["--json", "--agent", "one"]).code, Some(2));
}

#[tokio::test]
async fn bad_input_and_damage_are_said() {
    let (sidecar, _) = recorded().await;
    let dir = sidecar.audit_dir();
    for line in [&["--since", "soon"][..], &["--code", "NO"], &["--code", "INTERNAL", "--refused"], &["--trace", "x"]] {
        assert_eq!(query(&dir, line).code, Some(2), "{line:?}");
    }
    assert_eq!(query(&dir.join("none"), &[]).code, Some(1));
    std::fs::write(dir.join("audit-20261121T000000Z-1-1.jsonl"), "not a line\n\u{1b}[2J{\"v\":1").unwrap();
    let ended = query(&dir, &["--json"]);
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 3), "{ended:?}");
    for part in ["audit-20261121T000000Z-1-1.jsonl: 1 of its lines", "line 1", "ends within a line", "audit verify"] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    std::fs::create_dir(dir.join("audit-folder.jsonl")).unwrap();
    assert_eq!(query(&dir, &[]).code, Some(1), "what cannot be read at all is an answer that may lack something");
}
