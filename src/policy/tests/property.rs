//! What holds for any policy and any request.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Whatever spelling a denied path is given, the deny rule is not avoided.
    #[test]
    fn no_spelling_avoids_a_deny_rule(tricks in prop::collection::vec(0..8usize, 12)) {
        let policy = policy("- { host: a.test, path: /admin/users, action: deny }\n- { host: a.test, action: forward }");
        let mut path = String::new();
        for (at, c) in "/admin/users".chars().enumerate() {
            match (c, tricks[at]) {
                ('/', 0) => path.push_str("//"),
                ('/', 1) if at > 0 => path.push_str("%2F"),
                ('/', 2) if at > 0 => path.push_str(";v=1/"),
                ('/', 3) if at > 0 => path.push_str("%252f"),
                ('/', _) => path.push('/'),
                (c, 4) => path.push(c.to_ascii_uppercase()),
                (c, 5) => path.push_str(&format!("%{:02X}", u32::from(c))),
                (c, 6) => path.push_str(&format!("%25{:02x}", u32::from(c))),
                (c, _) => path.push(c),
            }
        }
        for end in ["", "/", ";x", "//"] {
            if let Ok(target) = target(&format!("GET https://a.test{path}{end}")) {
                let result = policy.decide(&Agent::hypothetical("a"), &target, &HeaderMap::new());
                prop_assert!(result.is_err(), "{}{}", path, end);
            }
        }
    }
}

/// Rules of which every condition may or may not be there.
fn any_rules() -> impl Strategy<Value = String> {
    let condition = |key: &'static str, values: &'static [&'static str]| {
        prop::option::weighted(if key == "host" { 0.95 } else { 0.3 }, prop::sample::select(values))
            .prop_map(move |value| value.map(|value| format!("{key}: {value}")))
    };
    let rule = (
        condition("agent", &["a", "b"]),
        condition("host", &["x.test", "y.x.test", "'*.x.test'", "[x.test, z.test]"]),
        condition("port", &["80", "443", "[443, 8443]"]),
        condition("method", &["GET", "[GET, POST]"]),
        condition("path", &["/p", "/p/**", "'/*/q'"]),
        prop::sample::select(
            &["action: deny", "action: forward", "action: tunnel", "connection: c", "connection: d"][..],
        ),
    );
    let line = rule.prop_map(|(agent, host, port, method, path, effect)| {
        let keys: Vec<String> =
            [agent, host, port, method, path, Some(effect.to_owned())].into_iter().flatten().collect();
        format!("- {{ {} }}\n", keys.join(", "))
    });
    prop::collection::vec(line, 1..6).prop_map(|lines| lines.concat())
}

fn any_request() -> impl Strategy<Value = String> {
    let one = |values: &'static [&'static str]| prop::sample::select(values);
    let parts = (
        one(&["GET", "POST", "get"]),
        one(&["http", "https"]),
        one(&["x.test", "y.x.test", "z.y.x.test", "z.test"]),
        one(&["", ":80", ":443", ":8443"]),
        one(&["/p", "/P", "/p/", "/p//q", "/p/q", "/r/q"]),
    );
    parts.prop_map(|(method, scheme, host, port, path)| format!("{method} {scheme}://{host}{port}{path}"))
}

proptest! {
    /// CONNECT and the request inside never contradict each other, the index of hosts leaves no
    /// rule out, and a request that stays the same is still allowed by the policy that allowed it.
    #[test]
    fn one_policy_speaks_with_one_voice(rules in any_rules(), requests in prop::collection::vec(any_request(), 8)) {
        let Ok(policy) = compile(&rules) else { return Ok(()) };
        let agent = Agent::hypothetical("a");
        for request in requests {
            let target = target(&request).unwrap();
            let result = policy.decide(&agent, &target, &HeaderMap::new());
            let (host, port) = (target.destination.host().clone(), Some(target.destination.port()));
            let connect = policy.at_connect(&agent, &HostPort { host, port });
            if result.is_ok() {
                prop_assert!(matches!(connect, AtConnect::Intercept | AtConnect::Tunnel(..)), "{}{}", rules, request);
            }
            if let Ok(verdict) = &result {
                let connection = match verdict {
                    Decision::Send(Verdict::Inject(grant)) => Some(grant.connection()),
                    Decision::Send(Verdict::Forward(_)) | Decision::Stub(_) => None,
                };
                prop_assert_eq!(verdict.terms().destination().scheme() == Scheme::Http, connection.is_none() && request.contains("http://"));
                let question = policy.question(&agent, &target, &HeaderMap::new(), &[1; 32]);
                prop_assert!(policy.still_allows(&question, verdict.terms(), connection));
            }
            let naive = policy.rules.all().iter().find(|rule| {
                let live = item::Live { query: None, headers: &HeaderMap::new() };
                let asked = rule::Asked::new("a", &target.destination, &target.method, &target.path, live);
                rule.applies_to(target.destination.host())
                    && rule.tries(&asked, rule.sent_port(&target.destination)) == rule::Met::Yes
            });
            let by = match &result {
                Ok(verdict) => Some(verdict.terms().rule().to_string()),
                Err(refusal) => refusal.rule().map(str::to_owned),
            };
            let upgraded = naive.is_some_and(|rule| rule.sent_port(&target.destination) != target.destination.port());
            if !upgraded {
                prop_assert_eq!(by, naive.map(|rule| rule.name.to_string()), "{}{}", rules, request);
            }
        }
    }
}
