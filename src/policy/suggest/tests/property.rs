//! Policies and refused requests as they come: the suggested rule allows exactly what was refused.

use proptest::sample::select;

use super::*;

fn rule() -> impl Strategy<Value = String> {
    let agent = select(vec!["", "", "agent: me, ", "agent: other, "]);
    let host = select(vec!["host: a.test, ", "host: a.test, ", "host: \"*.test\", ", "host: b.test, "]);
    let port = select(vec!["", "", "port: 8443, ", "port: [443, 80], "]);
    let method = select(vec!["", "method: GET, ", "method: [GET, POST], "]);
    let path = select(vec!["", "path: /a, ", "path: \"/a/**\", ", "path: [\"/b*\", /c%2Fd], "]);
    let items = select(vec![
        "",
        "",
        "",
        "query: { q: one }, ",
        "query: { q: null }, ",
        "headers: { x-op: \"Get*\" }, ",
        "headers: { x-op: null }, query: { q: \"*\" }, ",
    ]);
    let rest = select(vec![
        "connection: c",
        "connection: c, strict_path: true",
        "connection: c, plaintext: true",
        "action: forward",
        "action: forward, networks: [10.0.0.0/8]",
        "action: deny",
        "action: deny",
    ]);
    (agent, host, port, method, path, items, rest).prop_map(|(agent, host, port, method, path, items, rest)| {
        format!("{agent}{host}{port}{method}{path}{items}{rest}")
    })
}

fn policies() -> impl Strategy<Value = String> {
    let tunnel = prop::option::weighted(
        0.2,
        select(vec!["host: a.test, port: 9443, action: tunnel", "host: c.test, action: tunnel"]),
    );
    (prop::collection::vec(rule(), 0..5), tunnel).prop_map(|(rules, tunnel)| {
        let all = rules.iter().map(String::as_str).chain(tunnel).enumerate();
        all.map(|(number, rule)| format!("  - {{ name: r{number}, {rule} }}\n")).collect()
    })
}

fn requests() -> impl Strategy<Value = Sent> {
    let origin = select(vec![
        "https://a.test",
        "https://a.test",
        "https://b.test",
        "https://c.test",
        "http://a.test",
        "http://a.test:8080",
        "https://a.test:8443",
        "https://a.test:9443",
        "https://[::1]",
    ]);
    let path =
        select(vec!["/", "/a", "/a/b", "/a//b", "/A/", "/b*c", "/b**", "/b***c", "/c%2Fd", "/it's:", "/a/b;v=1"]);
    let query = select(vec!["", "", "?q=one", "?q=two&r=x", "?q=", "?Q=one", "?_method=PUT", "?r"]);
    let header = select(vec![None, None, Some(("x-op", "GetItem")), Some(("x-op", "Delete, All"))]);
    let method = select(vec!["GET", "POST", "DELETE", "PURGE"]);
    (select(vec!["me", "other"]), method, origin, path, query, header).prop_map(
        |(agent, method, origin, path, query, header)| Sent {
            agent,
            method,
            url: format!("{origin}{path}{query}"),
            header,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_suggested_rule_allows_exactly_what_was_refused(rules in policies(), sent in requests()) {
        let rules = if rules.is_empty() { "  []\n".to_owned() } else { rules };
        let policy = Policy::compile(vec![document(&rules)]);
        prop_assume!(policy.is_ok());
        let policy = policy.unwrap();
        let Some(past) = sent.past(&policy) else { return Err(TestCaseError::reject("it is allowed")) };
        let review = policy.review(&past);
        prop_assert!(!matches!(review.finding, Finding::Unknown | Finding::Allowed), "{:?}", review);
        let suggestion = match review.suggestion {
            Ok(suggestion) => suggestion,
            Err(why) => {
                let known = review.finding == Finding::OnlyTunnel || why.contains("empty value");
                let known = known || (why.contains("star") && sent.url.contains('*'));
                prop_assert!(known, "{}", why);
                return Ok(());
            }
        };
        let (after, name) = match with(&rules, &filled(&suggestion, &sent)) {
            Ok(after) => after,
            Err(problems) => {
                prop_assert!(problems.contains("tunnel"), "{}\n{}", problems, suggestion.rule);
                return Ok(());
            }
        };
        if let Asking::Connect(target) = &past.what {
            // It is heard now, and what is asked for inside is another question.
            let heard = !matches!(after.at_connect(&sent.agent(), target), crate::policy::AtConnect::Deny(_));
            prop_assert!(heard, "{}", suggestion.rule);
            return Ok(());
        }
        let decides = |sent: &Sent| sent.decided_by(&after).is_some_and(|rule| *rule == *name);
        prop_assert!(decides(&sent), "{}\n{:?}", suggestion.rule, sent.outcome(&after));
        for near in near_misses(&sent) {
            if near.agent != sent.agent && !suggestion.rule.contains("agent:") {
                prop_assert!(!rules.contains("agent:"), "{}", suggestion.rule);
                continue;
            }
            prop_assert!(!decides(&near), "{:?}\n{}", near, suggestion.rule);
        }
    }
}
