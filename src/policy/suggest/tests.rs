//! Suggested rules through the real compiler and the real decision.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::yaml::{quoted, scalar};
use super::*;
use crate::identity::Agent;
use crate::policy::{Outcome, Review, request};

mod property;

/// A request, with what the audit does not keep of it.
#[derive(Clone, Debug)]
struct Sent {
    agent: &'static str,
    method: &'static str,
    url: String,
    header: Option<(&'static str, &'static str)>,
}

impl Sent {
    fn new(agent: &'static str, method: &'static str, url: &str) -> Self {
        Self { agent, method, url: url.to_owned(), header: None }
    }

    fn agent(&self) -> Agent {
        Agent::hypothetical(self.agent)
    }

    fn target(&self) -> Target {
        request(&Method::from_bytes(self.method.as_bytes()).unwrap(), &self.url).unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let line = |(name, value): (&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        self.header.into_iter().map(line).collect()
    }

    fn outcome(&self, policy: &Policy) -> Outcome {
        policy.outcome(&self.agent(), &self.target(), &self.headers())
    }

    /// The rule that decides, if one does.
    fn decided_by(&self, policy: &Policy) -> Option<Arc<str>> {
        let explained = policy.explain(&self.agent(), &self.target(), &self.headers());
        explained.decided_by.filter(|_| !matches!(explained.outcome, Outcome::Deny(_)))
    }

    /// What the audit would know of its refusal.
    fn past(&self, policy: &Policy) -> Option<Past> {
        let Outcome::Deny(refusal) = self.outcome(policy) else { return None };
        let mut target = self.target();
        let at_connect = HostPort { host: target.destination.host().clone(), port: Some(target.destination.port()) };
        let what = match (target.destination.scheme(), policy.at_connect(&self.agent(), &at_connect)) {
            (Scheme::Https, crate::policy::AtConnect::Deny(_)) => Asking::Connect(at_connect),
            _ => {
                target.query = target.query.map(|query| masked(&query));
                Asking::Request(target)
            }
        };
        Some(Past {
            agent: self.agent(),
            what,
            is_cut: false,
            policy: Some(policy.version().to_string()),
            rule: refusal.rule().map(str::to_owned),
            address: None,
            several_agents: false,
        })
    }
}

fn masked(query: &Query) -> Query {
    let mask = |piece: &str| match piece.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}=***"),
        _ => piece.to_owned(),
    };
    Query::new(&query.pieces().map(mask).collect::<Vec<_>>().join("&"))
}

fn document(rules: &str) -> Document {
    Document::parse(FilePath::new("p.yaml"), &format!("version: 1\nrules:\n{rules}"))
}

fn compiled(rules: &str) -> Policy {
    Policy::compile(vec![document(rules)]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn review(rules: &str, sent: &Sent) -> Review {
    let policy = compiled(rules);
    policy.review(&sent.past(&policy).unwrap_or_else(|| panic!("{sent:?} is allowed")))
}

/// The suggestion with its blanks filled in by who knows the request.
fn filled(suggestion: &Suggestion, sent: &Sent) -> Suggestion {
    let blank = quoted(BLANK);
    let mut rule = String::new();
    for line in suggestion.rule.lines() {
        let mut line = line.to_owned();
        while let Some(at) = line.find(&blank) {
            let name = line[..at].rsplit('"').nth(1).unwrap().to_owned();
            let target = sent.target();
            let in_query = target.query.iter().flat_map(Query::pairs).find(|(other, _)| *other == name);
            let value = match (line.trim_start().starts_with("query"), sent.header) {
                (true, _) => in_query.map(|(_, value)| value.into_owned()),
                (false, header) => header.filter(|(other, _)| *other == name).map(|(_, value)| value.to_owned()),
            };
            let value = value.map_or("null".to_owned(), |value| quoted(&value));
            line.replace_range(at..at + blank.len(), &value);
        }
        rule += &line;
        rule.push('\n');
    }
    Suggestion { rule, ..suggestion.clone() }
}

/// The policy with the suggested rule where it belongs, and the rule's name.
fn with(rules: &str, suggestion: &Suggestion) -> Result<(Policy, String), String> {
    let name = suggestion.rule.lines().next().unwrap().trim_start_matches("  - name: ").to_owned();
    let policy =
        Policy::compile(with_rule(vec![document(rules)], suggestion)).map_err(|problems| problems.to_string())?;
    Ok((policy, name))
}

/// Every request that differs in one thing.
fn near_misses(sent: &Sent) -> Vec<Sent> {
    let (origin, path) = sent.url.split_at(sent.url[8..].find('/').unwrap() + 8);
    let host = origin.split("://").nth(1).unwrap().split(':').next().unwrap();
    let url = |url: String| Sent { url, ..sent.clone() };
    vec![
        Sent { agent: "third", ..sent.clone() },
        Sent { method: if sent.method == "PUT" { "POST" } else { "PUT" }, ..sent.clone() },
        url(sent.url.replacen(host, "near.a.test", 1)),
        url(format!("{origin}/x{}", &path[1..])),
        url(format!("{origin}{}/x", path.split('?').next().unwrap())),
        url(format!("{}://{host}:9999{path}", origin.split("://").next().unwrap())),
    ]
}

#[test]
fn each_kind_of_refusal_has_its_rule_and_its_place() {
    let read =
        "  - { name: read, host: a.test, method: GET, path: \"/r/**\", connection: c, networks: [10.0.0.0/8] }\n";
    for (rules, sent, finding, place, lines) in [
        (
            read.to_owned(),
            Sent::new("me", "POST", "https://a.test/r/1"),
            Finding::NoRule,
            None,
            &["host: a.test", "method: POST", "path: /r/1", "connection: c", "networks: [\"10.0.0.0/8\"]"][..],
        ),
        (
            read.replace("connection: c", "connection: c, scope: { b: ['x y'], a: 'z' }"),
            Sent::new("me", "POST", "https://a.test/r/1"),
            Finding::NoRule,
            None,
            &["connection: c", r#"scope: {"a":"z","b":["x y"]}"#],
        ),
        (
            read.to_owned(),
            Sent::new("me", "GET", "https://a.test:8443/r/1"),
            Finding::NoRule,
            None,
            &["port: 8443", "method: GET", "path: /r/1", "connection: c"],
        ),
        (
            read.to_owned(),
            Sent::new("me", "GET", "https://b.test/x"),
            Finding::NoHost,
            None,
            &["host: b.test", "method: GET", "path: /", "action: forward"],
        ),
        (
            read.to_owned(),
            Sent::new("me", "GET", "https://api.github.com/x"),
            Finding::NoHost,
            None,
            &["host: api.github.com", "connection: github"],
        ),
        (
            read.to_owned(),
            Sent::new("me", "GET", "http://b.test:8080/it's:a"),
            Finding::NoHost,
            None,
            &["port: 8080", "path: \"/it's:a\"", "action: forward"],
        ),
        (
            format!("  - {{ name: no, host: a.test, path: /r/1, action: deny }}\n{read}"),
            Sent::new("me", "GET", "https://a.test/r/1/"),
            Finding::Denied,
            Some("no"),
            &["path: /r/1/"],
        ),
        (
            read.replace("connection", "strict_path: true, connection"),
            Sent::new("me", "GET", "https://a.test/r//1"),
            Finding::StrictPath,
            Some("read"),
            &["path: /r//1", "connection: c"],
        ),
        (
            read.to_owned(),
            Sent::new("me", "GET", "https://a.test/r/1?_method=PUT"),
            Finding::Override("_method".to_owned()),
            Some("read"),
            &["query: { \"_method\": \"WRITE THE VALUE HERE\" }"],
        ),
        (
            "  - { name: gh, host: api.github.com, connection: gh }\n".to_owned(),
            Sent::new("me", "POST", "https://api.github.com/repos/me/mine/keys"),
            Finding::Mints("deploy-key".to_owned()),
            Some("gh"),
            &["connection: gh", "mints: true"],
        ),
        (
            "  - { name: any, agent: me, action: deny }\n".to_owned(),
            Sent::new("me", "GET", "https://a.test/"),
            Finding::Denied,
            Some("any"),
            &["agent: me", "host: a.test"],
        ),
        (
            "  - { name: t, host: a.test, action: tunnel, protocol: any }\n".to_owned(),
            Sent::new("me", "GET", "https://a.test:22/"),
            Finding::NoRule,
            None,
            &["port: 22", "action: tunnel", "protocol: any"],
        ),
    ] as [(String, Sent, Finding, Option<&str>, &[&str]); 12]
    {
        let review = review(&rules, &sent);
        assert_eq!(review.finding, finding, "{sent:?}");
        let suggestion = review.suggestion.unwrap();
        let before = match &suggestion.place {
            Place::Before(rule, _) => Some(rule.to_string()),
            Place::End => None,
        };
        assert_eq!(before.as_deref(), place, "{sent:?}");
        for line in lines {
            assert!(suggestion.rule.contains(&format!("    {line}\n")), "{line} in\n{}", suggestion.rule);
        }
        with(&rules, &filled(&suggestion, &sent)).unwrap();
    }
}

#[test]
fn what_no_rule_can_allow_is_said() {
    let tunnel = "  - { name: t, host: a.test, action: tunnel }\n";
    for (sent, words) in [
        (Sent::new("me", "TRACE", "http://a.test/"), "repeats the request"),
        (Sent::new("me", "GET", "http://a.test:443/"), "send CONNECT"),
        (Sent::new("me", "get", "http://b.test/"), "case-sensitive"),
    ] {
        let said = review(tunnel, &sent).suggestion.unwrap_err();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_address_is_listed_alone() {
    let rules = "  - { name: r, host: a.test, action: forward, networks: [10.0.0.0/8] }\n";
    let policy = compiled(rules);
    let past = Past {
        agent: Agent::hypothetical("me"),
        what: Asking::Request(Sent::new("me", "GET", "https://a.test/aa/bb").target()),
        is_cut: false,
        policy: None,
        rule: Some("r".to_owned()),
        address: Some("127.0.0.1".parse().unwrap()),
        several_agents: true,
    };
    let review = policy.review(&past);
    assert_eq!(review.finding, Finding::Allowed);
    let suggestion = review.suggestion.unwrap();
    for line in ["networks: [\"127.0.0.1/32\"]", "path: /aa/bb\n", "agent: me"] {
        assert!(suggestion.rule.contains(line), "{}", suggestion.rule);
    }
    assert_eq!(suggestion.place, Place::Before("r".into(), policy.rules.all()[0].at.clone()));
    assert!(with(rules, &suggestion).is_ok());
}

/// An agent shapes the request that a rule is suggested for, and a person pastes that rule.
#[test]
fn no_request_makes_a_rule_that_is_wider_than_itself() {
    let rules = "  - { name: r, host: a.test, method: GET, path: /r, connection: c }\n";
    for path in ["/*", "/**", "/a/*/c", "/a*", "/a/**/c", "/a%2Fb*"] {
        let said = review(rules, &Sent::new("me", "DELETE", &format!("https://a.test{path}"))).suggestion.unwrap_err();
        assert!(said.contains("star"), "{path}: {said}");
    }
    for path in ["/%2A", "/a%2Fb", "/%7B%7D", "/a%20connection:%20x", "/a:%20b", "/'$%22%23", "/%E2%80%AE", "/;v=1"] {
        let sent = Sent::new("me", "DELETE", &format!("https://a.test{path}"));
        let suggestion = review(rules, &sent).suggestion.unwrap();
        let document = document(&suggestion.rule);
        let rule = &document.rules[0];
        let written: Vec<&str> = rule.paths.iter().map(|path| path.value.as_str()).collect();
        assert_eq!(
            (document.rules.len(), &written[..]),
            (1, &[sent.target().path.as_str()][..]),
            "{}",
            suggestion.rule
        );
        assert!(document.problems.is_empty() && !written[0].contains('*'), "{:?}", document.problems);
    }
    let policy = compiled(rules);
    let sent = Sent::new("me", "DELETE", "https://a.test/r/x");
    let past = Past { is_cut: true, ..sent.past(&policy).unwrap() };
    assert!(policy.review(&past).suggestion.unwrap_err().contains("too long"));
}

#[test]
fn a_rule_that_may_mint_is_suggested_for_a_call_that_does() {
    let looks = "  - { name: r, host: [\"*.amazonaws.com\", api.github.com], path: /x, connection: c }\n";
    let any = "  - { name: r, host: \"*.amazonaws.com\", connection: c }\n";
    for (rules, method, url, target, mints) in [
        (looks, "GET", "https://b.s3.eu-west-1.amazonaws.com/k", None, false),
        (looks, "GET", "https://ec2.eu-west-1.amazonaws.com/?Action=DescribeRegions", None, false),
        (looks, "POST", "https://dynamodb.eu-west-1.amazonaws.com/", None, false),
        (looks, "POST", "https://sts.amazonaws.com/", None, true),
        (looks, "POST", "https://api.github.com/user/keys", None, true),
        (any, "POST", "https://ssm.eu-west-1.amazonaws.com/", Some(("x-amz-target", "AmazonSSM.GetParameter")), true),
        (any, "GET", "https://sts.amazonaws.com/?Action=GetSessionToken", None, true),
    ] {
        let sent = Sent { header: target, ..Sent::new("me", method, url) };
        let suggestion = review(rules, &sent).suggestion.unwrap();
        assert_eq!(suggestion.rule.contains("mints: true"), mints, "{url}\n{}", suggestion.rule);
    }
}

/// Query and JSON APIs have one path for all of their calls.
#[test]
fn a_rule_for_one_call_of_an_api_with_one_path_allows_no_other() {
    let looks = "  - { name: r, host: \"*.amazonaws.com\", path: /x, connection: aws }\n";
    let any = "  - { name: r, host: \"*.amazonaws.com\", connection: aws }\n";
    let ec2 = "https://ec2.eu-west-1.amazonaws.com/";
    let others = &["?Action=TerminateInstances", "?", "?Action=CreateKeyPair"];
    let connected = review("  []\n", &Sent::new("me", "GET", ec2)).suggestion.unwrap();
    let (policy, _) = with("  []\n", &connected).unwrap();
    assert!(Sent::new("me", "GET", &format!("{ec2}{}", others[0])).decided_by(&policy).is_none(), "{}", connected.rule);
    for (rules, method, url, others) in [
        (looks, "GET", "https://ec2.eu-west-1.amazonaws.com/?Action=DescribeRegions", &others[..]),
        (any, "GET", "https://iam.amazonaws.com/?Action=GetUser", &["?Action=CreateAccessKey", "?"]),
        (looks, "POST", "https://dynamodb.eu-west-1.amazonaws.com/", &["", "?Action=X"]),
    ] {
        let sent = Sent::new("me", method, url);
        let suggestion = review(rules, &sent).suggestion.unwrap();
        let (blank, name) = with(rules, &suggestion).unwrap();
        let (filled_in, _) = with(rules, &filled(&suggestion, &sent)).unwrap();
        let decides = |sent: &Sent, policy: &Policy| sent.decided_by(policy).is_some_and(|rule| *rule == *name);
        assert!(decides(&sent, &filled_in) && !decides(&sent, &blank), "{}", suggestion.rule);
        let origin = url.split('?').next().unwrap();
        for other in others {
            let other = Sent::new("me", method, &format!("{origin}{other}"));
            assert!(!decides(&other, &blank), "{}", suggestion.rule);
            assert!(other.url == sent.url || !decides(&other, &filled_in), "{other:?} {}", suggestion.rule);
        }
        let named = Sent { header: Some(("x-amz-target", "DynamoDB_20120810.DeleteTable")), ..sent.clone() };
        assert!(!decides(&named, &filled_in), "{}", suggestion.rule);
    }
}

#[test]
fn nothing_is_said_of_what_others_may_do() {
    let rules = "  - { name: theirs, agent: other, host: a.test, connection: secret-thing }\n";
    let review = review(rules, &Sent::new("me", "GET", "https://a.test/"));
    assert_eq!((review.finding, review.near.len()), (Finding::NoHost, 0));
    assert!(!review.suggestion.unwrap().rule.contains("secret-thing"));
}

#[test]
fn scalars_are_read_back_as_they_are() {
    for text in
        ["a", "true", "No", "null", "1e3", "10.0.0.1", "[::1]", "/a:", "/a'b", "a b", "*", "", "~", "#x", "bot-7"]
    {
        let rules = format!("  - {{ name: r, host: a.test, agent: {}, action: forward }}\n", scalar(text));
        let document = document(&rules);
        let agent = document.rules[0].agents.first().map(|agent| agent.value.clone());
        let usable = !text.is_empty() && !text.contains(['*', ':']);
        assert_eq!(agent.as_deref(), usable.then_some(text), "{rules}");
    }
}
