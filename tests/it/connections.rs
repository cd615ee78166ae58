//! Connections of a provider: made in one line, kept in memory for one run, followed, and tested
//! against a look-alike.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use nexus_sidecar::app::Who;
use nexus_sidecar::config::UserCall;
use nexus_sidecar::model::Code;
use serde_json::{Value, json};

use crate::left_out;
use crate::support::process::{Ended, Home};
use crate::support::sidecar::Builder;
use crate::support::{Origin, Pki, Sidecar, soon};

const HOST: &str = "api.github.com";

/// Settings under which GitHub's API is a look-alike, and a policy that may read there.
fn look_alike(home: &Home, pki: &Pki, origin: &Origin) -> (String, String) {
    home.write("ca.pem", &pki.pem);
    let settings = format!("upstream: {{ hosts: {{ {HOST}: 127.0.0.1 }}, ca_files: [ca.pem] }}\n");
    let rule = format!("{{ use: github/read@1, port: {}, networks: [127.0.0.0/8] }}", origin.port());
    (settings, format!("version: 1\nrules:\n  - {rule}\n"))
}

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(words.iter().all(|word| ended.err.contains(word)), "{words:?} in {}", ended.err);
}

#[test]
fn a_token_is_all_that_a_providers_connection_needs() {
    let home = Home::new();
    let made = home.run_with(["connection", "add", "github"], "canary-1");
    says(&made, 0, &["made the store ", "made its key ", "next: nexus-sidecar connection test github, then "]);
    let shown: Value = serde_json::from_str(&home.run(["connection", "show", "github", "--json"]).out).unwrap();
    assert_eq!((&shown["provider"], &shown["fields"]), (&json!("github"), &json!(["token"])));
    let hosts: Vec<&Value> = shown["bindings"].as_array().unwrap().iter().map(|line| &line["hosts"]).collect();
    assert!(hosts.contains(&&json!(["github.com"])), "its contract is the provider's: {shown}");
    says(&home.run_with(["connection", "add", "work", "--provider", "github"], "canary-2\n"), 0, &["connection: work"]);
    // A connection as they were before there were providers.
    home.connect("own", "api.example.com", "canary-3");
    let listed: Value = serde_json::from_str(&home.run(["connection", "list", "--json"]).out).unwrap();
    let providers: Vec<&Value> = listed.as_array().unwrap().iter().map(|one| &one["provider"]).collect();
    assert_eq!(providers, [&json!("github"), &Value::Null, &json!("github")]);
    says(&home.run(["connection", "test", "own"]), 1, &["without a provider", "curl"]);
    says(&home.run_with(["connection", "set", "own"], "canary-4\n"), 0, &[]);
    says(&home.run_with(["connection", "set", "github"], "canary-5"), 0, &[]);
}

#[test]
fn what_is_no_token_and_no_provider_makes_nothing() {
    let home = Home::new();
    for (input, want) in [
        ("", "holds no value for the field token (a "),
        ("\n", "holds no value"),
        ("\"canary-1\"", "stands in quotes"),
        ("Bearer canary-1\n", "begins with"),
        ("$TOKEN", "the name of a variable"),
        ("canary-1\ncanary-2\n", "more than one line"),
    ] {
        let ended = home.run_with(["connection", "add", "github"], input);
        says(&ended, 2, &[want]);
        assert!(!ended.err.contains("canary"), "{}", ended.err);
    }
    let unknown = home.run_with(["connection", "add", "gihub"], "canary-1\n");
    says(&unknown, 2, &["did you mean github?", "connection add gihub --strategy"]);
    says(&home.run(["run", "--use", "github/raed@1", "--", "true"]), 2, &["github has no permission set raed@1"]);
    let field = ["run", "--use", "github/read@1", "--field", "slack.token=env:HOME", "--", "true"];
    says(&home.run(field), 2, &["no rule borrows the connection slack"]);
    let value = ["run", "--use", "github/read@1", "--field", "github.token=canary-1", "--", "true"];
    let ended = home.run(value);
    says(&ended, 2, &["takes no value"]);
    assert!(!ended.err.contains("canary"), "{}", ended.err);
    for beside in [
        &["connection", "add", "github", "canary-1"][..],
        &["connection", "set", "github", "canary-1", "canary-2"],
        &["connection", "add", "github", "--fields", "{\"token\": \"canary-1\"}"],
    ] {
        let ended = home.run(beside.iter().copied());
        says(&ended, 2, &["no credential is taken from the command line", "have it replaced"]);
        assert!(!ended.err.contains("canary"), "{}", ended.err);
    }
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn a_permission_set_needs_no_file_and_no_other_policy_is_read() {
    let home = Home::new();
    home.write(".config/nexus-sidecar/policy.yaml", "not a policy");
    let run = ["run", "--use", "github/read@1", "--field", "github.token=-", "--", "sh", "-c", "cat; echo $PAT"];
    let ended = home.run_with(run, "canary-1\nthe command's own\n");
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "the command's own\n\n"), "{}", ended.err);
    assert!(!home.path(".local/share").exists(), "what is in memory needs no store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_of_one_run_is_injected_and_is_in_no_file() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let pki = Pki::new();
    let origin = Origin::tls(&pki, HOST).await;
    let home = Home::new();
    let (settings, policy) = look_alike(&home, &pki, &origin);
    home.write("c.yaml", &format!("version: 1\nlog: {{ level: trace }}\n{settings}"));
    home.write("p.yaml", &policy);
    let script = format!("curl -sS https://{HOST}:{}/user; echo \" PAT=[$PAT]\"; env", origin.port());
    let args = ["run", "--config", "c.yaml", "--policy", "p.yaml", "--field", "github.token=env:PAT", "--"];
    let mut command = home.command(args.into_iter().chain(["sh", "-c", &script]));
    let ended = Ended::of(&command.env("PAT", "canary-pat").output().unwrap());
    assert!(ended.out.starts_with("ok PAT=[]"), "{ended:?}");
    assert_eq!(origin.only().header("authorization"), "Bearer canary-pat");
    assert!(!ended.out.contains("canary") && !ended.err.contains("canary"), "{ended:?}");
    assert!(!home.path(".local/share").exists(), "what is in memory needs no store");
    for file in crate::secrecy::at_rest::files(&home.path(".")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(memchr::memmem::find(&bytes, b"canary").is_none(), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_of_one_run_stands_before_the_store_and_hides_no_other_connection() {
    if left_out::lacks(&["curl"]) {
        return;
    }
    let pki = Pki::new();
    let origin = Origin::tls(&pki, HOST).await;
    let home = Home::new();
    for name in ["github", "work"] {
        home.run_with(["connection", "add", name, "--provider", "github"], &format!("stored-{name}"));
    }
    let (settings, _) = look_alike(&home, &pki, &origin);
    home.write("c.yaml", &format!("version: 1\n{settings}"));
    let common = format!("use: github/read@1, port: {}, networks: [127.0.0.0/8]", origin.port());
    let rule = format!("host: {HOST}, port: {}, networks: [127.0.0.0/8], path: /work", origin.port());
    home.write("p.yaml", &format!("version: 1\nrules:\n  - {{ {rule}, connection: work }}\n  - {{ {common} }}\n"));
    let url = format!("https://{HOST}:{}", origin.port());
    let script = format!("curl -sS {url}/user {url}/work");
    let args = ["run", "--config", "c.yaml", "--policy", "p.yaml", "--field", "github.token=-", "--"];
    let ended = home.run_with(args.into_iter().chain(["sh", "-c", &script]), "given\n");
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "okok"), "{ended:?}");
    let sent: Vec<String> =
        origin.received().iter().map(|one| format!("{} {}", one.target, one.header("authorization"))).collect();
    assert_eq!(sent, ["/user Bearer given", "/work Bearer stored-work"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_of_a_provider_is_used_within_a_second() {
    let pki = Pki::new();
    let origin = Origin::tls(&pki, HOST).await;
    let home = Home::new();
    assert_eq!(home.run_with(["connection", "add", "github"], "canary-old").code, Some(0));
    let (settings, policy) = look_alike(&home, &pki, &origin);
    let mut proxy = home.proxy(&policy, &settings);
    let ca = soon(crate::health::get(proxy.admin, "/ca.pem")).await;
    proxy.agent.trust = String::from_utf8(ca.body.to_vec()).unwrap();
    let url = format!("https://{HOST}:{}/user", origin.port());
    let sent = async || {
        assert_eq!(soon(proxy.agent.get(&url)).await.status, StatusCode::OK);
        origin.received().last().unwrap().header("authorization").to_owned()
    };
    assert_eq!(sent().await, "Bearer canary-old");
    assert_eq!(home.run_with(["connection", "set", "github"], "canary-new").code, Some(0));
    let set = Instant::now();
    while sent().await != "Bearer canary-new" {
        assert!(set.elapsed() < Duration::from_secs(1), "the old token is still used");
    }
    println!("the new token was used {:?} after `connection set` had ended", set.elapsed());
}

fn call(origin: &Origin, path: &str) -> UserCall {
    UserCall {
        method: Method::GET,
        url: format!("https://api.test:{}{path}", origin.port()),
        headers: vec![("accept".parse().unwrap(), "application/vnd.test".parse().unwrap())],
        ok: None,
        name: vec!["/login".to_owned()],
    }
}

/// A sidecar that may ask a look-alike one question.
fn asking(origin: &Origin) -> Builder {
    let rule = "agent: connection-test, host: api.test, method: GET, path: /user, connection: mine";
    Sidecar::builder()
        .policy(format!("rules:\n  - {{ {rule}, port: {}, networks: [127.0.0.0/8] }}\n", origin.port()))
        .host("api.test", origin)
        .connection("mine", json!({"type": "oauth2"}), &["api.test"], &[("access_token", "canary-who")])
}

async fn answering(pki: &Pki, status: u16, body: String) -> Origin {
    Origin::tls_h1(pki, "api.test", move |_| {
        Response::builder().status(status).body(Full::new(Bytes::from(body.clone()))).unwrap()
    })
    .await
}

#[tokio::test]
async fn a_test_of_a_connection_takes_the_way_of_every_request() {
    let pki = Pki::new();
    // What a provider says besides, and a credential that it repeats, is nobody's to see.
    let origin = answering(&pki, 200, r#"{"login": "octocat", "echo": "canary-who"}"#.to_owned()).await;
    let (who, audit) = asking(&origin).trusts(&pki).who(&call(&origin, "/user")).await;
    assert!(matches!(&who, Who::Works { name: Some(name) } if name == "octocat"), "{who:?}");
    let received = origin.only();
    assert_eq!(received.header("authorization"), "Bearer canary-who");
    assert_eq!(received.header("accept"), "application/vnd.test");
    assert_eq!(received.header("user-agent"), "nexus-sidecar");
    let shown = format!("{who:?} {audit:?}");
    assert!(!shown.contains("canary"), "{shown}");
    let of_it: Vec<&Value> = audit.iter().filter(|line| line["trace"].is_string()).collect();
    let kinds: Vec<&str> = of_it.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["intent", "outcome"], "{audit:#?}");
    for (key, want) in [("agent", "connection-test"), ("proof", "operator"), ("conn", "mine"), ("via", "command")] {
        assert_eq!(of_it[0][key], want, "{audit:#?}");
    }
}

#[tokio::test]
async fn a_test_tells_a_refused_credential_from_what_says_nothing() {
    let pki = Pki::new();
    for (status, refused) in [(401, true), (403, true), (500, false), (302, false)] {
        let origin = answering(&pki, status, "{}".to_owned()).await;
        let (who, _) = asking(&origin).trusts(&pki).who(&call(&origin, "/user")).await;
        let (Who::Refused(said) | Who::Unclear(said)) = &who else { panic!("{who:?}") };
        assert_eq!((said.as_u16(), matches!(who, Who::Refused(_))), (status, refused), "{who:?}");
    }
}

#[tokio::test]
async fn a_test_that_gets_no_answer_says_why() {
    let pki = Pki::new();
    let long = answering(&pki, 200, format!(r#"{{"login": "{}"}}"#, "x".repeat(70_000))).await;
    let (who, audit) = asking(&long).trusts(&pki).who(&call(&long, "/user")).await;
    assert!(matches!(&who, Who::Unasked(why) if why.message().contains("larger than 65536 bytes")), "{who:?}");
    assert_eq!(audit.iter().filter(|line| line["kind"] == "outcome").count(), 1, "{audit:#?}");
    // Nobody vouches for it.
    let origin = answering(&pki, 200, "{}".to_owned()).await;
    let (who, _) = asking(&origin).who(&call(&origin, "/user")).await;
    assert!(matches!(&who, Who::Unasked(why) if why.code() == Code::UpstreamFailed), "{who:?}");
    // No call but the one.
    let (who, _) = asking(&origin).trusts(&pki).who(&call(&origin, "/keys")).await;
    assert!(matches!(&who, Who::Unasked(why) if why.code() == Code::PolicyDenied), "{who:?}");
    assert!(origin.received().is_empty(), "nothing was sent");
}
