//! Decisions, as tables: a policy, and what it says to each request.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::config::Protocol;
use crate::config::{Document, Problems};
use crate::identity::Agent;
use crate::model::{Code, HostPort, Path, PathError, Query, Refusal, Scheme, Target};

mod files;
mod live;
mod property;
mod stubs;

fn policy(rules: &str) -> Policy {
    compile(rules).unwrap_or_else(|problems| panic!("{problems}"))
}

fn compile(rules: &str) -> Result<Policy, Problems> {
    let text = if rules.starts_with("version") { rules.to_owned() } else { format!("version: 1\nrules:\n{rules}") };
    Policy::compile(vec![Document::parse("p.yaml".as_ref(), &text)])
}

fn target(request: &str) -> Result<Target, PathError> {
    let (method, url) = request.split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    Ok(Target {
        destination: HostPort::parse(authority).unwrap().with_scheme(Scheme::parse(scheme).unwrap()),
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: Path::parse(path)?,
        query: query.map(Query::new),
    })
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    lines.iter().map(line).collect()
}

fn ask_with(policy: &Policy, agent: &str, request: &str, lines: &[(&str, &str)]) -> Result<Verdict, Refusal> {
    let decision = policy.decide(&Agent::hypothetical(agent), &target(request).unwrap(), &headers(lines));
    decision.map(|decision| decision.verdict().unwrap())
}

fn ask(policy: &Policy, request: &str) -> Result<Verdict, Refusal> {
    ask_with(policy, "a", request, &[])
}

/// `inject NAME to DESTINATION`, `forward to DESTINATION` or `deny`.
fn said(result: &Result<Verdict, Refusal>) -> String {
    match result {
        Ok(Verdict::Inject(grant)) => format!("inject {} to {}", grant.connection(), grant.terms().destination()),
        Ok(Verdict::Forward(permit)) => format!("forward to {}", permit.terms().destination()),
        Err(refusal) => {
            assert_eq!(refusal.code(), Code::PolicyDenied);
            "deny".into()
        }
    }
}

fn table(policy: &Policy, rows: &[(&str, &str)]) {
    for (request, want) in rows {
        assert_eq!(said(&ask(policy, request)), *want, "{request}");
    }
}

fn connect(policy: &Policy, agent: &str, target: &str) -> &'static str {
    match policy.at_connect(&Agent::hypothetical(agent), &HostPort::parse(target).unwrap()) {
        AtConnect::Tunnel(permit, Protocol::Any) if permit.terms().method() == Method::CONNECT => "tunnel any",
        AtConnect::Tunnel(..) => "tunnel",
        AtConnect::Intercept => "intercept",
        AtConnect::Deny(_) => "deny",
    }
}

#[test]
fn each_rule_sees_the_target_as_it_would_send_it() {
    let policy = policy(
        "
- { host: api.test, connection: c }
- { host: plain.test, connection: p, plaintext: true }
- { host: [odd.test, '[::1]'], port: [8080, 8443], connection: o }
- { host: open.test, action: forward }
- { host: open.test, port: 8080, action: forward }
",
    );
    table(
        &policy,
        &[
            ("GET https://api.test/", "inject c to https://api.test"),
            ("GET http://api.test/", "inject c to https://api.test"),
            ("GET http://api.test:443/", "inject c to https://api.test"),
            ("GET http://api.test:8080/", "deny"),
            ("GET https://api.test:8443/", "deny"),
            ("GET http://plain.test/", "inject p to http://plain.test"),
            ("GET https://plain.test/", "inject p to https://plain.test"),
            ("GET http://plain.test:443/", "deny"),
            ("GET http://odd.test:8080/", "inject o to https://odd.test:8080"),
            ("GET https://odd.test:8443/", "inject o to https://odd.test:8443"),
            ("GET https://[::1]:8443/", "inject o to https://[::1]:8443"),
            ("GET https://odd.test/", "deny"),
            ("GET http://open.test/", "forward to http://open.test"),
            ("GET https://open.test/", "forward to https://open.test"),
            ("GET https://open.test:80/", "deny"),
            ("GET http://open.test:8080/", "forward to http://open.test:8080"),
            ("GET https://else.test/", "deny"),
        ],
    );
}

#[test]
fn the_first_match_decides() {
    let policy = policy(
        "
- { name: no-admin, host: '*.api.test', path: /admin/**, action: deny }
- { name: mine, agent: [me, you], host: x.api.test, connection: mine }
- { name: read, host: [x.api.test, y.api.test], method: GET, path: [/v1/**, /v2/*], connection: read }
- { name: rest, host: '*.api.test', action: forward }
",
    );
    let of = |agent, request| said(&ask_with(&policy, agent, request, &[]));
    assert_eq!(of("me", "GET https://x.api.test/v1/a"), "inject mine to https://x.api.test");
    assert_eq!(of("me", "GET https://x.api.test/admin/a"), "deny");
    assert_eq!(of("other", "GET https://x.api.test/v1/a"), "inject read to https://x.api.test");
    assert_eq!(of("other", "get https://x.api.test/v1/a"), "forward to https://x.api.test");
    assert_eq!(of("other", "HEAD https://x.api.test/v1/a"), "forward to https://x.api.test");
    assert_eq!(of("other", "GET https://y.api.test/v2/a/b"), "forward to https://y.api.test");
    assert_eq!(of("other", "GET https://z.api.test/v1/a"), "forward to https://z.api.test");
    let refusal = ask(&policy, "GET https://z.api.test/admin/x").unwrap_err();
    assert_eq!(refusal.rule(), Some("no-admin"));
}

#[test]
fn a_deny_rule_matches_what_any_server_may_read() {
    let policy = policy(
        "
- { host: api.test, path: /admin/**, action: deny }
- { host: api.test, method: DELETE, path: /items/*, action: deny }
- { host: api.test, path: '/caf%C3%A9', action: deny }
- { host: api.test, action: forward }
",
    );
    for request in [
        "GET https://api.test/admin/x",
        "GET https://api.test/admin",
        "GET https://api.test/ADMIN/x",
        "GET https://api.test//admin/x",
        "GET https://api.test/admin//x",
        "GET https://api.test/admin%2Fx",
        "GET https://api.test/admin;v=1/x",
        "GET https://api.test/%61dmin/x",
        "GET https://api.test/%2561dmin/x",
        "DELETE https://api.test/items/1",
        "delete https://api.test/items/1",
        "DELETE https://api.test/items/1/",
        "GET https://api.test/CAF%C3%89",
        "GET https://api.test/caf%25C3%25A9",
    ] {
        assert_eq!(said(&ask(&policy, request)), "deny", "{request}");
    }
    for request in
        ["GET https://api.test/administrator", "GET https://api.test/items/1", "GET https://api.test/x/admin"]
    {
        assert_eq!(said(&ask(&policy, request)), "forward to https://api.test", "{request}");
    }
}

#[test]
fn a_deny_rule_of_a_port_holds_for_what_is_sent_there() {
    let policy = policy(
        "
- { host: api.test, port: 443, path: /admin, action: deny }
- { host: api.test, connection: c }
- { host: open.test, port: 443, action: deny }
- { host: open.test, port: 80, action: forward }
",
    );
    table(
        &policy,
        &[
            ("GET http://api.test/admin", "deny"),
            ("GET http://api.test/other", "inject c to https://api.test"),
            ("GET http://open.test/", "forward to http://open.test"),
        ],
    );
}

#[test]
fn strict_path_refuses_second_readings() {
    let policy = policy(
        "
- { name: s, host: api.test, path: /v1/**, strict_path: true, connection: c }
- { host: api.test, action: forward }
",
    );
    table(
        &policy,
        &[
            ("GET https://api.test/v1/a", "inject c to https://api.test"),
            ("GET https://api.test/v1//a", "deny"),
            ("GET https://api.test//v1/a", "deny"),
            ("GET https://api.test/v1%2Fa", "deny"),
            ("GET https://api.test/v2//a", "forward to https://api.test"),
        ],
    );
    let refusal = ask(&policy, "GET https://api.test/v1//a").unwrap_err();
    assert!(refusal.message().contains("strict_path") && refusal.rule() == Some("s"));
}

#[test]
fn query_and_headers() {
    let policy = policy(
        "
- { host: aws.test, headers: { X-Forbidden: '*' }, action: deny }
- { host: aws.test, query: { Action: 'Delete*' }, action: deny }
- { host: aws.test, query: { Action: 'Get*', token: null }, headers: { x-amz-target: 'Dynamo.*' }, connection: c }
",
    );
    let target = ("x-amz-target", "Dynamo.Get");
    for (query, lines, want) in [
        ("Action=GetItem", &[target][..], "inject c to https://aws.test"),
        ("Action=GetItem", &[][..], "deny"),
        ("Action=GetItem", &[target, target][..], "deny"),
        ("Action=GetItem&Action=GetItem", &[target][..], "deny"),
        ("Action=GetItem&token", &[target][..], "deny"),
        ("Action=GetItem&Action=DeleteItem", &[target][..], "deny"),
        ("Action=GetItem", &[target, ("x-forbidden", "1")][..], "deny"),
    ] {
        let request = format!("POST https://aws.test/?{query}");
        assert_eq!(said(&ask_with(&policy, "a", &request, lines)), want, "{request} {lines:?}");
    }
}

#[test]
fn echoing_methods_and_override_items_are_refused() {
    let policy = policy(
        "
- { host: named.test, query: { _method: PATCH }, connection: c }
- { host: '*.test', connection: c }
- { host: open.example, action: forward }
",
    );
    table(
        &policy,
        &[
            ("TRACE https://api.test/", "deny"),
            ("track https://open.example/", "deny"),
            ("POST https://api.test/?_method=DELETE", "deny"),
            ("POST https://api.test/?%5fMethod=DELETE", "deny"),
            ("POST https://named.test/?_method=PATCH", "inject c to https://named.test"),
            ("POST https://named.test/?_method=DELETE", "deny"),
            ("POST https://open.example/?_method=DELETE", "forward to https://open.example"),
        ],
    );
}

#[test]
fn at_connect() {
    let policy = policy(
        "
- { host: pinned.test, action: tunnel }
- { host: raw.test, port: [22, 443], protocol: any, action: tunnel }
- { host: api.test, connection: c }
- { agent: other, host: secret.test, connection: c }
- { host: denied.test, action: deny }
- { host: '*.wild.test', path: /a, action: forward }
- { agent: walled, action: deny }
- { agent: walled, host: late.test, action: forward }
",
    );
    for (target, want) in [
        ("pinned.test:443", "tunnel"),
        ("pinned.test:8443", "deny"),
        ("pinned.test:80", "deny"),
        ("raw.test:22", "tunnel any"),
        ("api.test:443", "intercept"),
        ("api.test:80", "intercept"),
        ("api.test:8443", "intercept"),
        ("secret.test:443", "deny"),
        ("denied.test:443", "intercept"),
        ("x.wild.test:443", "intercept"),
        ("wild.test:443", "deny"),
        ("else.test:443", "deny"),
    ] {
        assert_eq!(connect(&policy, "a", target), want, "{target}");
    }
    assert_eq!(connect(&policy, "other", "secret.test:443"), "intercept");
    assert_eq!(connect(&policy, "walled", "late.test:443"), "deny");
    let refusal = match policy.at_connect(&Agent::hypothetical("a"), &HostPort::parse("secret.test:443").unwrap()) {
        AtConnect::Deny(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert!(!refusal.message().contains("other"), "{}", refusal.message());
    let (tunnelled, port) = ("GET https://pinned.test/", "GET http://pinned.test/");
    assert!(ask(&policy, tunnelled).unwrap_err().message().contains("CONNECT"));
    assert_eq!(said(&ask(&policy, port)), "deny");
}

#[test]
fn a_deny_rule_of_a_port_refuses_a_connect_to_that_port_alone() {
    let policy = policy(
        "\n- { port: 443, action: deny }\n- { host: a.test, action: forward }\n- { host: b.test, connection: c }\n",
    );
    let agent = Agent::hypothetical("a");
    let denied = |port| {
        let target = HostPort { host: crate::model::Host::parse("a.test").unwrap(), port: Some(port) };
        matches!(policy.at_connect(&agent, &target), AtConnect::Deny(_))
    };
    assert_eq!((denied(443), denied(80)), (true, false));
    // What a rule would send to that port is denied inside.
    for (request, allowed) in [("GET http://a.test/p", true), ("GET http://b.test/p", false)] {
        assert_eq!(policy.decide(&agent, &target(request).unwrap(), &HeaderMap::new()).is_ok(), allowed, "{request}");
    }
}

#[test]
fn default_tunnel_covers_hosts_that_no_rule_names() {
    let policy = policy(
        "version: 1
default: tunnel
rules:
- { agent: nobody, action: deny }
- { agent: other, host: secret.test, connection: c }
",
    );
    assert_eq!(connect(&policy, "a", "else.test:443"), "tunnel");
    assert_eq!(connect(&policy, "a", "else.test:8443"), "deny");
    assert_eq!(connect(&policy, "a", "secret.test:443"), "deny");
    assert_eq!(connect(&policy, "nobody", "else.test:443"), "deny");
    assert_eq!(said(&ask(&policy, "GET https://else.test/")), "deny");
}

#[test]
fn what_cannot_stand_together() {
    for (rules, want) in [
        (
            "- { host: a.test, action: forward, method: GET }\n- { name: t, host: '*.test', action: tunnel }",
            "would hide",
        ),
        ("- { path: /x, action: deny }\n- { host: a.test, action: tunnel }", "would hide"),
        ("- { host: a.test, connection: c, path: /x }\n- { host: a.test, port: 80, action: tunnel }", "would hide"),
        ("- { host: a.test, action: tunnel, path: /x }", "nothing inside"),
        ("- { name: n, host: a.test, connection: c }\n- { name: n, host: b.test, connection: c }", "taken"),
        ("- { action: deny }", "nothing to match"),
        ("- { connection: c }", "names its hosts"),
        ("- { host: a.test }", "say what happens"),
        ("- { host: a.test, action: inject }", "needs `connection"),
        ("- { host: a.test, connection: c, action: deny }", "only injected"),
        ("- { host: a.test, connection: c, protocol: any }", "`protocol`"),
        ("- { host: a.test, action: forward, plaintext: true }", "`plaintext`"),
        ("- { host: a.test, action: deny, networks: 10.0.0.0/8 }", "`networks`"),
        ("- { host: a.test, action: forward, pass_headers: cookie }", "`pass_headers`"),
        ("- { host: a.test, action: forward, path: /a/../b }", "dot segment"),
        ("- { name: default, host: a.test, action: forward }", "cannot be called"),
        ("version: 1\ndefault: tunnel\nrules: [{ method: DELETE, action: deny }]", "name its hosts"),
    ] {
        let problems = compile(rules).expect_err(rules).to_string();
        assert!(problems.contains(want), "{rules}\n{problems}");
    }
    for rules in [
        "- { name: t, host: '*.test', action: tunnel }\n- { host: a.test, action: forward, method: GET }",
        "- { host: a.test, connection: c }\n- { host: a.test, action: tunnel }",
        "- { agent: x, host: a.test, method: GET, connection: c }\n- { agent: y, host: a.test, action: tunnel }",
        "- { host: a.test, method: GET, port: 8080, connection: c }\n- { host: a.test, action: tunnel }",
    ] {
        assert!(compile(rules).is_ok(), "{rules}");
    }
}

#[test]
fn an_explanation_names_each_rule_and_the_one_that_decides() {
    let policy = policy(
        "
- { name: other-agent, agent: b, host: a.test, connection: c }
- { name: other-host, host: b.test, connection: c }
- { name: other-port, host: a.test, port: 8443, connection: c }
- { name: other-method, host: a.test, method: [POST, PUT], connection: c }
- { name: other-path, host: a.test, path: /y/**, connection: c }
- { name: other-item, host: a.test, query: { q: 'x*' }, connection: c }
- { name: this, host: a.test, connection: c, networks: 10.0.0.0/8 }
- { name: late, host: a.test, action: deny }
",
    );
    let explanation =
        policy.explain(&Agent::hypothetical("a"), &target("GET http://a.test/x?q=1").unwrap(), &HeaderMap::new());
    let said: Vec<String> =
        explanation.rules.iter().map(|tried| format!("{}: {:?}", tried.name, tried.verdict)).collect();
    assert_eq!(
        said,
        [
            r#"other-agent: Missed("agent \"a\" is not b")"#,
            r#"other-host: Missed("host a.test is not b.test")"#,
            r#"other-port: Missed("port 443, to which it would be sent, is not 8443")"#,
            r#"other-method: Missed("method GET is not POST, PUT")"#,
            r#"other-path: Missed("path /x does not match /y/**")"#,
            r#"other-item: Missed("query item \"q\" is not there exactly once, matching \"x*\"")"#,
            "this: Decides",
            "late: NotReached",
        ]
    );
    assert_eq!(explanation.decided_by.as_deref(), Some("this"));
    assert_eq!(explanation.networks.len(), 1);
    assert!(matches!(explanation.outcome, Outcome::Inject(..)));
}
