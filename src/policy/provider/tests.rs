use http::{HeaderMap, Method};

use super::*;
use crate::identity::Agent;
use crate::policy::{Decision, Outcome, Verdict, request};

fn policy(rules: &str) -> Policy {
    compiled(rules).unwrap_or_else(|problems| panic!("{problems}"))
}

fn compiled(rules: &str) -> Result<Policy, Problems> {
    Policy::compile(vec![Document::parse(&PathBuf::from("p.yaml"), &format!("version: 1\nrules:\n{rules}"))])
}

fn outcome(policy: &Policy, agent: &str, method: &str, url: &str) -> Outcome {
    let target = request(&Method::from_bytes(method.as_bytes()).unwrap(), url).unwrap();
    policy.outcome(&Agent::hypothetical(agent), &target, &HeaderMap::new())
}

#[test]
fn a_use_stands_for_the_rules_of_its_set() {
    let policy = policy("  - { use: github/read@1, agent: a, connection: work }\n");
    let Outcome::Inject(connection, _) = outcome(&policy, "a", "GET", "https://api.github.com/user") else {
        panic!("it is allowed")
    };
    assert_eq!(connection.as_str(), "work");
    assert!(matches!(outcome(&policy, "b", "GET", "https://api.github.com/user"), Outcome::Deny(_)));
    assert!(matches!(outcome(&policy, "a", "DELETE", "https://api.github.com/user"), Outcome::Deny(_)));
    let connections: Vec<_> = policy.connections();
    assert_eq!((connections.len(), connections[0].0.as_str()), (1, "work"));
    assert_eq!(connections[0].1.unwrap().connection.as_str(), "github");
    let sets: Vec<String> = policy.sets().iter().map(ToString::to_string).collect();
    assert_eq!(sets, ["github/read@1"]);
    let target = request(&Method::GET, "https://api.github.com/user").unwrap();
    let Ok(Decision::Send(Verdict::Inject(grant))) =
        policy.decide(&Agent::hypothetical("a"), &target, &HeaderMap::new())
    else {
        panic!("it is allowed")
    };
    assert!(grant.terms().rule().starts_with("github/read@1:"), "{}", grant.terms().rule());
    assert!(grant.terms().key_headers().contains(&HeaderName::from_static("x-github-token")));
}

#[test]
fn what_a_set_fixes_is_not_said_beside_it() {
    for (rules, want) in [
        ("  - { use: github/read@1, method: GET }\n", "`method` does not stand beside `use`"),
        ("  - { use: github/read@1, mints: true }\n", "`mints` does not stand beside `use`"),
        ("  - { use: github/read }\n", "write github/read@1"),
        ("  - { use: githbu/read@1 }\n", "did you mean github?"),
        ("  - { use: github/raed@1 }\n", "it has clone@1, read@1"),
        ("  - { use: github/read@1, hots: x }\n", "unknown key `hots`"),
        ("  - { use: github/read@1 }\n  - { use: github/read@1, agent: a }\n", "this name is taken"),
        ("  - { name: x, host: a.test, action: forward, mints: true }\n", "`mints` stands beside `connection` alone"),
        ("  - { use: github/read@1, not_path: /x }\n", "unknown key `not_path`"),
    ] {
        let problems = compiled(rules).unwrap_err().to_string();
        assert!(problems.contains(want) && problems.starts_with("p.yaml:"), "{problems}");
    }
    assert!(compiled("  - { use: github/read@1 }\n  - { name: two, use: github/read@1, agent: a }\n").is_ok());
}

#[test]
fn a_call_that_mints_needs_to_be_said() {
    let rule = |more: &str| policy(&format!("  - {{ name: all, host: api.github.com, connection: g{more} }}\n"));
    let url = "https://api.github.com/repos/me/mine/keys";
    let (shy, bold) = (rule(""), rule(", mints: true"));
    assert!(matches!(outcome(&bold, "a", "POST", url), Outcome::Inject(..)));
    assert_eq!(bold.minting_rules().count(), 1);
    // Every common reading of the path is one of the call.
    for url in [url, "https://api.github.com/repos/me/mine/keys/", "https://api.github.com/Repos/me//mine/Keys"] {
        let Outcome::Deny(refusal) = outcome(&shy, "a", "POST", url) else { panic!("{url} mints") };
        assert!(refusal.message().contains("mints: true") && refusal.rule().is_some(), "{}", refusal.message());
    }
    for (method, url) in [("GET", url), ("POST", "https://api.github.com/repos/me/mine/keyss")] {
        assert!(matches!(outcome(&shy, "a", method, url), Outcome::Inject(..)), "{method} {url}");
    }
}

#[test]
fn what_still_runs_is_closed_when_its_rule_may_mint_no_longer() {
    let agent = Agent::hypothetical("a");
    let rule = |more: &str| policy(&format!("  - {{ name: all, host: \"*.amazonaws.com\", connection: c{more} }}\n"));
    let (shy, bold) = (rule(""), rule(", mints: true"));
    for (target, call, still) in [
        ("https://sts.amazonaws.com/", "", false),
        ("https://secretsmanager.eu-west-1.amazonaws.com/", "secretsmanager.GetSecretValue", false),
        ("https://secretsmanager.eu-west-1.amazonaws.com/", "secretsmanager.ListSecrets", true),
        ("https://dynamodb.eu-west-1.amazonaws.com/", "DynamoDB_20120810.GetItem", true),
    ] {
        let target = request(&Method::POST, target).unwrap();
        let headers: HeaderMap =
            [(HeaderName::from_static("x-amz-target"), http::HeaderValue::from_static(call))].into_iter().collect();
        let verdict = bold.decide(&agent, &target, &headers).unwrap();
        let Decision::Send(Verdict::Inject(grant)) = &verdict else { panic!("nothing is injected") };
        let question = bold.question(&agent, &target, &headers, &[7; 32]);
        assert!(bold.still_allows(&question, verdict.terms(), Some(grant.connection())), "{call}");
        assert_eq!(shy.still_allows(&question, verdict.terms(), Some(grant.connection())), still, "{call}");
    }
}

#[test]
fn an_explanation_names_the_call_that_mints_and_cuts_long_lists() {
    let policy = policy("  - use: github/read@1\n  - { name: all, host: api.github.com, connection: github }\n");
    let explain = |method: Method, url: &str| {
        policy.explain(&Agent::hypothetical("a"), &request(&method, url).unwrap(), &HeaderMap::new())
    };
    let minting = explain(Method::POST, "https://api.github.com/user/keys");
    assert_eq!((minting.decided_by.as_deref(), minting.mints.as_deref()), (Some("all"), Some("user-key")));
    let plain = explain(Method::GET, "https://api.github.com/user");
    assert_eq!((plain.decided_by.as_deref(), plain.mints.as_deref()), (Some("github/read@1:api"), None));
    let missed = format!("{:?}", plain.rules[2].verdict);
    assert!(missed.contains("does not match /repos/*/*, ") && missed.contains(" or one of "), "{missed}");
    assert!(missed.len() < 300, "{missed}");
}
