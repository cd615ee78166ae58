//! `why` by the binary, over refusals that a sidecar of this process made: what it says, and
//! whether what it suggests allows that request and no other.

use serde_json::{Value, json};

use crate::support::process::Ended;
use crate::support::{Agent, Answer, Home, Origin, Pki, Sidecar};

const RULES: &str = "rules:
  - { name: no-keys, host: plain.test, port: PORT, path: /keys, action: deny }
  - { name: read, host: plain.test, port: PORT, method: GET, connection: api, plaintext: true, strict_path: true, networks: [127.0.0.0/8] }
  - { name: rpc, host: plain.test, port: PORT, method: POST, path: /rpc, query: { op: 'Get*' }, headers: { x-op: 'Get*' }, connection: api, plaintext: true, networks: [127.0.0.0/8] }
  - { name: theirs, agent: other, host: theirs.test, connection: hidden }
  - { name: inner, host: inner.test, port: PORT, action: forward }
  - { name: gone, host: gone.test, port: PORT, connection: gone, plaintext: true, networks: [127.0.0.0/8] }
  - { name: github, host: api.github.com, connection: gh, plaintext: true, port: 80 }
  - { name: closed, host: closed.test, port: 9, action: forward, networks: [127.0.0.0/8] }
  - { name: cert, host: cert.test, port: TLSP, action: forward, networks: [127.0.0.0/8] }
";

/// A sidecar, what it reaches, and the policy as a text that rules are pasted into.
struct Scene {
    sidecar: Sidecar,
    origin: Origin,
    policy: String,
    home: Home,
    _false_origin: Origin,
}

impl Scene {
    async fn new() -> Self {
        let origin = Origin::plain().await;
        let false_origin = Origin::tls(&Pki::new(), "cert.test").await;
        let policy =
            RULES.replace("PORT", &origin.port().to_string()).replace("TLSP", &false_origin.port().to_string());
        let token = [("access_token", "canary-90aa")];
        let sidecar = Sidecar::builder()
            .policy(&policy)
            .connection("api", json!({"type": "oauth2"}), &["plain.test"], &token)
            .host("plain.test", &origin)
            .host("inner.test", &origin)
            .host("gone.test", &origin)
            .host("closed.test", &origin)
            .host("cert.test", &origin)
            .agent("me", "p1")
            .agent("other", "p2")
            .start()
            .await;
        let policy = format!("version: 1\n{policy}");
        Self { sidecar, origin, policy, home: Home::new(), _false_origin: false_origin }
    }

    fn me(&self) -> Agent {
        self.sidecar.agent.named("me", "p1")
    }

    async fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
        let url = url.replace("PORT", &self.origin.port().to_string());
        self.me().plain(method, &url, headers, b"").await
    }

    /// `why` with the scene's policy. The outcome of a refusal is written a little later.
    async fn why(&self, line: &[&str]) -> Ended {
        let file = self.home.write("policy.yaml", &self.policy);
        let dir = self.sidecar.audit_dir();
        let args = ["why", "--dir", dir.to_str().unwrap(), "--policy", file.to_str().unwrap()];
        self.home.run(args.into_iter().chain(line.iter().copied()))
    }

    /// `why` of one answer, once its outcome is there.
    async fn why_of(&self, refused: &Answer) -> (String, Value) {
        let trace = refused.error()["trace_id"].as_str().unwrap().to_owned();
        for _ in 0..500 {
            if self.sidecar.audit().iter().any(|line| line["kind"] == "outcome" && line["trace"] == trace.as_str()) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let (text, json) = (self.why(&[&trace]).await, self.why(&[&trace[..20], "--json"]).await);
        assert_eq!((text.code, json.code), (Some(0), Some(0)), "{text:?} {json:?}");
        assert!(text.out.contains(&trace) && !text.out.contains("canary"), "{}", text.out);
        (text.out, serde_json::from_str(&json.out).unwrap())
    }

    /// The policy with a suggestion pasted where it belongs.
    fn pasted(&self, suggestion: &Value, fill: &[(&str, &str)]) -> String {
        let mut rule = suggestion["rule"].as_str().unwrap().to_owned();
        for (name, value) in fill {
            rule = rule.replace(&format!("\"{name}\": \"WRITE THE VALUE HERE\""), &format!("\"{name}\": \"{value}\""));
        }
        assert!(!rule.contains("WRITE"), "{rule}");
        let Some(before) = suggestion["before"].as_str() else { return format!("{}{rule}", self.policy) };
        let at = self.policy.find(&format!("  - {{ name: {before}, ")).unwrap();
        format!("{}{rule}{}", &self.policy[..at], &self.policy[at..])
    }
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[tokio::test]
async fn the_suggested_rule_pasted_where_it_says_allows_the_request_and_no_other() {
    let scene = Scene::new().await;
    for (method, url, headers, words, fill, near) in [
        (
            "DELETE",
            "http://plain.test:PORT/a?x=canary",
            &[][..],
            &["no rule for agent me and plain.test takes it", "read (", "method DELETE is not GET"][..],
            &[][..],
            "http://plain.test:PORT/b",
        ),
        (
            "GET",
            "http://plain.test:PORT/keys",
            &[],
            &["rule no-keys (", "before rule no-keys", "by intent"],
            &[],
            "http://plain.test:PORT/keys/",
        ),
        (
            "GET",
            "http://plain.test:PORT/a//b",
            &[],
            &["strict_path", "before rule read"],
            &[],
            "http://plain.test:PORT/a//c",
        ),
        (
            "GET",
            "http://inner.test:PORT/",
            &[],
            &["not public", "networks: [\"127.0.0.1/32\"]", "before rule inner"],
            &[],
            "http://inner.test:PORT/x",
        ),
        (
            "GET",
            "http://other.test:PORT/",
            &[],
            &["no rule for agent me names other.test", "action: forward"],
            &[],
            "http://other.test:PORT/x",
        ),
        (
            "POST",
            "http://plain.test:PORT/rpc?op=Put",
            &[("x-op", "PutItem")],
            &["the audit keeps no values", "header \"x-op\"", "query item \"op\""],
            &[("op", "Put"), ("x-op", "PutItem")],
            "http://plain.test:PORT/rpc?op=Pug",
        ),
    ]
        as [(&str, &str, &[(&str, &str)], &[&str], &[(&str, &str)], &str); 6]
    {
        let refused = scene.ask(method, url, headers).await;
        assert_eq!(refused.code(), "POLICY_DENIED", "{url}");
        let (text, answer) = scene.why_of(&refused).await;
        says(&text, words);
        says(&text, &["agent me", "The smallest rule that would have allowed it"]);
        assert!(!text.contains("theirs") && !text.contains("hidden"), "{text}");
        let suggestion = &answer["policy"]["suggestion"];
        assert!(suggestion["objection"].is_null(), "{answer:#}");
        scene.sidecar.reload(&scene.pasted(suggestion, fill));
        let (again, other) = (scene.ask(method, url, headers).await, scene.ask(method, near, headers).await);
        // A name that leads nowhere is the only thing left against it.
        assert!(again.status == 200 || again.code() == "UPSTREAM_FAILED", "{url}: {again:?}\n{text}");
        assert_eq!(other.code(), "POLICY_DENIED", "{near}");
        let as_other = scene.sidecar.agent.named("other", "p2");
        let url = url.replace("PORT", &scene.origin.port().to_string());
        assert_eq!(as_other.plain(method, &url, headers, b"").await.code(), "POLICY_DENIED", "{url}");
        scene.sidecar.reload(&scene.policy);
    }
}

#[tokio::test]
async fn every_other_refusal_has_its_next_step() {
    let scene = Scene::new().await;
    let connect = scene.me().connect("nowhere.test:8443").await.unwrap_err();
    let malformed = scene.me().raw(b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nHost: x\r\n\r\n").await;
    let unknown = scene.sidecar.agent.named("me", "wrong").plain("GET", "http://plain.test/", &[], b"").await;
    let gone = scene.ask("GET", "http://gone.test:PORT/", &[]).await;
    let mints = scene.ask("POST", "http://api.github.com/repos/a/b/keys", &[]).await;
    let closed = scene.ask("GET", "http://closed.test:9/", &[]).await;
    let trace = scene.ask("TRACE", "http://plain.test:PORT/", &[]).await;
    let port = scene._false_origin.port();
    let cert = scene.me().plain("GET", &format!("https://cert.test:{port}/"), &[], b"").await;
    for (answer, parts) in [
        (
            &connect,
            &["CONNECT nowhere.test:8443", "names nowhere.test", "port: 8443", "a CONNECT shows host and port alone"][..],
        ),
        (&malformed, &["INVALID_REQUEST with 400", "no rule changes this"]),
        (&unknown, &["PROXY_AUTHENTICATION_REQUIRED with 407", "HTTPS_PROXY=http://AGENT:PASSWORD@HOST:PORT"]),
        (&gone, &["CONNECTION_NOT_FOUND with 404", "connection add gone --strategy oauth2 --host gone.test"]),
        (
            &mints,
            &["hands out or registers credentials", "mints: true", "before rule github", "credentials of its own"],
        ),
        (&closed, &["UPSTREAM_FAILED with 502", "took no connection"]),
        (&trace, &["There is no rule to write"]),
        (&cert, &["UPSTREAM_FAILED with 502", "upstream.ca_files", "cannot be turned off"]),
    ] {
        says(&scene.why_of(answer).await.0, parts);
    }
}

#[tokio::test]
async fn the_last_refusals_are_found_and_what_is_none_is_said() {
    let mut scene = Scene::new().await;
    for path in ["one", "two", "three"] {
        scene.ask("PUT", &format!("http://plain.test:PORT/{path}"), &[]).await;
    }
    let allowed = scene.ask("GET", "http://plain.test:PORT/fine", &[]).await;
    assert_eq!(allowed.status, 200);
    scene.sidecar.drain().await;
    let last = scene.why(&[]).await;
    says(&last.out, &["PUT http://plain.test:", "/three"]);
    let two = scene.why(&["--last", "2", "--json"]).await;
    let asked: Vec<Value> =
        two.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["asked"].clone()).collect();
    assert_eq!(asked.len(), 2, "{two:?}");
    assert!(asked[0].as_str().unwrap().ends_with("/two") && asked[1].as_str().unwrap().ends_with("/three"));
    let outcomes = scene.sidecar.outcomes(4).await;
    let trace = outcomes.iter().find(|outcome| outcome["status"] == 200).unwrap()["trace"].as_str().unwrap();
    says(&scene.why(&[trace]).await.out, &["It was not refused", "rule read allowed it"]);
    for (line, code, words) in [
        (&["0123456789abcdef0123456789abcdef"][..], 1, "no request whose trace id begins with"),
        (&["hello"], 2, "is no trace id"),
        (&["abc", "--last", "1"], 2, "cannot be used with"),
    ] {
        let ended = scene.why(line).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        says(&ended.err, &[words]);
    }
    scene.policy = scene.policy.replace("no-keys", "no-more-keys");
    says(&scene.why(&[]).await.out, &["it was refused by version", "give the files of that time with --policy"]);
    scene.policy = "version: 1\nrules: [{ nonsense: 1 }]\n".to_owned();
    says(&scene.why(&[]).await.out, &["POLICY_DENIED with 403", "the policy cannot be asked"]);
}
