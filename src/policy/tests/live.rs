//! What is under way, asked about again.

use super::*;

#[test]
fn a_live_request_is_asked_about_again() {
    let key = [7; 32];
    let old = policy("- { host: a.test, query: { Action: 'Get*' }, connection: c }");
    let agent = Agent::hypothetical("a");
    let target = target("GET https://a.test/x?Action=GetItem&secret=s").unwrap();
    let verdict = old.decide(&agent, &target, &HeaderMap::new()).unwrap();
    let Decision::Send(Verdict::Inject(grant)) = &verdict else { panic!("nothing is injected") };
    let question = old.question(&agent, &target, &HeaderMap::new(), &key);
    assert!(!format!("{question:?}").contains("GetItem"));
    for (rules, want) in [
        ("- { host: a.test, connection: c }", true),
        ("- { host: a.test, query: { Action: 'Get*' }, connection: c }", true),
        ("- { host: a.test, query: { Action: GetItem }, connection: c }", true),
        ("- { host: a.test, query: { Action: DeleteItem }, connection: c }", false),
        ("- { host: a.test, query: { Action: '*Item' }, connection: c }", false),
        ("- { host: a.test, query: { Action: getitem }, action: deny }\n- { host: a.test, connection: c }", false),
        ("- { host: a.test, query: { secret: x }, action: deny }\n- { host: a.test, connection: c }", false),
        ("- { host: a.test, query: { secret: x }, path: /y, action: deny }\n- { host: a.test, connection: c }", true),
        ("- { host: a.test, connection: d }", false),
        ("- { host: a.test, action: forward }", false),
        ("- { agent: b, host: a.test, connection: c }", false),
        ("- { host: a.test, port: 8443, connection: c }", false),
    ] {
        let new = policy(rules);
        assert_eq!(new.still_allows(&question, verdict.terms(), Some(grant.connection())), want, "{rules}");
    }
}

#[test]
fn what_was_borrowed_wider_than_a_new_policy_says_is_not_allowed_any_more() {
    let agent = Agent::hypothetical("a");
    let target = target("GET https://a.test/x").unwrap();
    let narrow = "- { host: a.test, connection: c, scope: { x: [1, two], m: { y: true } } }";
    let (wide, other) = ("- { host: a.test, connection: c }", "- { host: a.test, connection: c, scope: { x: [1] } }");
    for (before, after, want) in [
        (narrow, "- { host: a.test, connection: c, scope: { m: { y: true }, x: [1, two] } }", true),
        (narrow, wide, true),
        (wide, narrow, false),
        (narrow, other, false),
    ] {
        let old = policy(before);
        let verdict = old.decide(&agent, &target, &HeaderMap::new()).unwrap();
        let Decision::Send(Verdict::Inject(grant)) = &verdict else { panic!("nothing is injected") };
        let scope = grant.scope().map(crate::model::Scope::as_str);
        assert_eq!(scope, (before == narrow).then_some(r#"{"m":{"y":true},"x":[1,"two"]}"#));
        let question = old.question(&agent, &target, &HeaderMap::new(), &[7; 32]);
        let allows = policy(after).still_allows(&question, verdict.terms(), Some(grant.connection()));
        assert_eq!(allows, want, "{before} -> {after}");
    }
}

#[test]
fn a_live_tunnel_is_asked_about_again() {
    let (agent, target) = (Agent::hypothetical("a"), HostPort::parse("a.test:443").unwrap());
    let old = policy("- { host: a.test, protocol: any, networks: 10.0.0.0/8, action: tunnel }");
    let AtConnect::Tunnel(permit, _) = old.at_connect(&agent, &target) else { panic!("no tunnel") };
    let question = old.tunnel_question(&agent, &target);
    for (rules, want) in [
        ("- { host: '*.test', protocol: any, networks: 10.0.0.0/7, action: tunnel }", true),
        ("- { host: '*.test', protocol: any, networks: [10.0.0.0/8, 192.168.0.0/16], action: tunnel }", true),
        ("- { host: a.test, protocol: any, action: tunnel }", false),
        ("- { host: a.test, networks: 10.0.0.0/8, action: tunnel }", false),
        ("- { host: a.test, action: forward }", false),
    ] {
        let new = policy(rules);
        assert_eq!(new.still_allows(&question, permit.terms(), None), want, "{rules}");
    }
}
