//! Rules by which the sidecar answers itself.

use super::*;
use crate::model::Stub;

const RULES: &str = "- { host: 169.254.169.254, path: /latest/**, action: stub, stub: aws-metadata }
- { agent: b, host: login.microsoftonline.com, method: POST, action: stub, stub: azure-login }
- { host: login.microsoftonline.com, action: forward }";

#[test]
fn a_stub_answers_where_its_rule_matches_and_nowhere_else() {
    let policy = policy(RULES);
    let said = |agent: &str, request: &str| {
        let target = target(request).unwrap();
        match policy.outcome(&Agent::hypothetical(agent), &target, &HeaderMap::new()) {
            Outcome::Stub(stub) => stub.to_string(),
            Outcome::Forward(_) => "forward".to_owned(),
            Outcome::Deny(_) => "deny".to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said("a", "GET http://169.254.169.254/latest/meta-data/"), "aws-metadata");
    assert_eq!(said("a", "GET http://169.254.169.254/metadata/identity"), "deny");
    assert_eq!(said("a", "GET http://169.254.169.254:81/latest/"), "deny", "the port of its scheme alone");
    assert_eq!(said("b", "POST https://login.microsoftonline.com/t"), "azure-login");
    assert_eq!(said("b", "GET https://login.microsoftonline.com/t"), "forward");
    assert_eq!(said("a", "POST https://login.microsoftonline.com/t"), "forward");
    assert_eq!(said("b", "TRACE http://169.254.169.254/latest/"), "deny");
    let connect = HostPort::parse("login.microsoftonline.com:443").unwrap();
    assert!(matches!(policy.at_connect(&Agent::hypothetical("b"), &connect), AtConnect::Intercept));
    let decision = policy.decide(
        &Agent::hypothetical("a"),
        &target("PUT http://169.254.169.254/latest/api/token").unwrap(),
        &HeaderMap::new(),
    );
    let Ok(Decision::Stub(stubbed)) = decision else { panic!("no stub") };
    assert_eq!((stubbed.stub(), &**stubbed.terms().rule()), (Stub::AwsMetadata, "rule-1"));
}

#[test]
fn what_a_stub_rule_cannot_say_is_told() {
    for (rule, words) in [
        ("- { host: a.test, action: stub }", "needs `stub`"),
        ("- { host: a.test, action: stub, stub: aws }", "`stub` is one of aws-metadata"),
        ("- { host: a.test, action: stub, stub: aws-metdata }", "did you mean aws-metadata?"),
        ("- { host: a.test, action: forward, stub: aws-sts }", "beside `action: stub` alone"),
        ("- { host: a.test, connection: c, stub: aws-sts }", "beside `action: stub` alone"),
        ("- { host: a.test, action: stub, stub: aws-sts, connection: c }", "only injected"),
        ("- { host: a.test, action: stub, stub: aws-sts, networks: 10.0.0.0/8 }", "a stub rule sends none"),
        ("- { host: a.test, action: stub, stub: aws-sts, plaintext: true }", "beside `connection` alone"),
        ("- { path: /x, action: stub, stub: aws-sts }", "`host` is missing"),
    ] {
        let problems = compile(rule).unwrap_err().to_string();
        assert!(problems.contains(words), "{words} is not in\n{problems}");
    }
}

#[test]
fn what_is_under_way_does_not_outlive_a_rule_that_answers_it() {
    let old = policy("- { host: a.test, action: forward }");
    let (agent, target) = (Agent::hypothetical("a"), target("GET https://a.test/").unwrap());
    let decision = old.decide(&agent, &target, &HeaderMap::new()).unwrap();
    let question = old.question(&agent, &target, &HeaderMap::new(), &[7; 32]);
    assert!(old.still_allows(&question, decision.terms(), None));
    let new = policy("- { host: a.test, action: stub, stub: oauth-token }");
    assert!(!new.still_allows(&question, decision.terms(), None));
}

#[test]
fn the_policys_own_tests_know_it() {
    let text = format!(
        "version: 1\nrules:\n{RULES}\ntests:\n- {{ request: GET http://169.254.169.254/latest/x, expect: stub }}\n\
         - {{ request: GET http://169.254.169.254/x, expect: stub }}"
    );
    let results: Vec<_> = policy(&text).test().into_iter().map(|one| (one.passed, one.got)).collect();
    assert_eq!(results, [(true, "stub".to_owned()), (false, "deny".to_owned())]);
}
