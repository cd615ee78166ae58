//! What the catalogue that is compiled in promises: each of its documents is tested as a whole.

use super::*;
use crate::config::PolicyTest;
use crate::identity::Agent;
use crate::policy::index::Rules;
use crate::policy::{NOBODY, Outcome, request};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// The providers with their tests.
fn providers() -> Vec<Provider> {
    Catalogue::with_tests().providers().to_vec()
}

fn headers(test: &PolicyTest) -> HeaderMap {
    let header =
        |(name, value): &(String, String)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    test.headers.iter().map(header).collect()
}

fn asked(policy: &Policy, method: &Method, url: &str, headers: &HeaderMap) -> Outcome {
    policy.outcome(&Agent::hypothetical(NOBODY), &request(method, url).unwrap(), headers)
}

/// The requests that must be refused as calls which mint.
fn minting(provider: &Provider) -> impl Iterator<Item = (&PolicyTest, &String)> {
    provider.tests.iter().filter_map(|test| match &test.subject {
        Some(Subject::Mints(call)) => Some((test, call)),
        _ => None,
    })
}

#[test]
fn providers_pass_their_own_tests() {
    let mut wrong = Vec::new();
    for provider in providers() {
        for result in Policy::test_provider(&provider).unwrap_or_else(|problems| panic!("{problems}")) {
            if !result.passed {
                let (at, request, got, reason) = (&result.at, &result.request, &result.got, &result.reason);
                wrong.push(format!("{at}: {request} is {got} ({reason:?}), not {}", result.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_call_that_mints_has_a_test_and_a_near_miss() {
    for provider in providers() {
        for call in &provider.mints {
            for want in [Subject::Mints(call.name.clone()), Subject::Near(call.name.clone())] {
                let there = provider.tests.iter().any(|test| test.subject.as_ref() == Some(&want));
                assert!(there, "{}: no test says {want:?}", provider.connection);
            }
        }
        for test in &provider.tests {
            let Some(Subject::Mints(name) | Subject::Near(name)) = &test.subject else { continue };
            assert!(provider.mints.iter().any(|call| call.name == *name), "{}: no call is {name}", test.at);
        }
    }
}

#[test]
fn a_call_that_mints_is_refused_in_every_spelling() {
    for provider in providers() {
        let everything = Policy::compile(vec![super::everything(&provider)]).unwrap();
        for (test, call) in minting(&provider) {
            let (before, query) = test.url.split_once('?').map_or((&*test.url, ""), |(url, query)| (url, query));
            let (authority, path) = before.split_at("https://".len() + before[8..].find('/').unwrap());
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            let double = path.replacen('/', "//", 2);
            let upper = path.to_ascii_uppercase();
            let escaped = path.replacen('e', "%2565", 1);
            let mut urls = vec![format!("{authority}{double}{query}"), format!("{authority}{upper}{query}")];
            urls.push(format!("{authority}{escaped}{query}"));
            urls.push(format!("{authority}{}/{query}", path.trim_end_matches('/')));
            let mut methods = vec![test.method.clone()];
            methods.extend((test.method == Method::GET).then_some(Method::HEAD));
            for (method, url) in methods.iter().flat_map(|method| urls.iter().map(move |url| (method, url))) {
                let Outcome::Deny(refusal) = asked(&everything, method, url, &headers(test)) else {
                    panic!("{method} {url} is let through, and mints ({call})")
                };
                assert!(refusal.message().contains("`mints: true`"), "{method} {url}: {}", refusal.message());
            }
        }
    }
}

#[test]
fn no_permission_set_relies_on_the_table_of_calls_that_mint() {
    for provider in providers() {
        for set in &provider.sets {
            let mut policy = Policy::of_sets(std::slice::from_ref(&set.name)).unwrap();
            policy.minting = Rules::new(Vec::new());
            for (test, call) in minting(&provider) {
                let outcome = asked(&policy, &test.method, &test.url, &headers(test));
                let (name, method, url) = (&set.name, &test.method, &test.url);
                assert!(matches!(outcome, Outcome::Deny(_)), "{name} allows {method} {url}, which mints ({call})");
            }
        }
    }
}

#[test]
fn every_rule_of_every_set_is_met_by_a_test_and_every_set_refuses_something() {
    for provider in providers() {
        for set in &provider.sets {
            let policy = Policy::of_sets(std::slice::from_ref(&set.name)).unwrap();
            let about = |test: &&PolicyTest| test.subject == Some(Subject::Set(set.name.clone()));
            let explained: Vec<_> = provider
                .tests
                .iter()
                .filter(about)
                .map(|test| {
                    let target = request(&test.method, &test.url).unwrap();
                    policy.explain(&Agent::hypothetical(NOBODY), &target, &headers(test)).decided_by
                })
                .collect();
            assert!(explained.contains(&None), "no test of {} is refused", set.name);
            for rule in &set.rules {
                let name = format!("{}:{}", set.name, rule.name);
                assert!(explained.iter().flatten().any(|decided| **decided == *name), "no test meets {name}");
            }
        }
    }
}

#[test]
fn no_placeholder_stands_within_another_provider_s() {
    let placeholders: Vec<(String, String)> = providers()
        .iter()
        .flat_map(|provider| {
            provider.placeholders.iter().map(|own| (provider.connection.to_string(), own.value.clone()))
        })
        .collect();
    for (name, value) in &placeholders {
        let within = placeholders.iter().find(|(other, longer)| other != name && longer.contains(value.as_str()));
        assert!(within.is_none(), "{name}'s {value} stands within {within:?}");
    }
}

#[test]
fn a_provider_says_what_people_and_clients_need() {
    for provider in providers() {
        let name = &provider.connection;
        assert!(!provider.sets.is_empty() && !provider.mints.is_empty() && provider.user.is_some(), "{name}");
        for placeholder in &provider.placeholders {
            let value = placeholder.value.to_lowercase();
            assert!(value.contains("nexusplaceholder"), "{name}: {value}");
            assert!(provider.variables.contains(&placeholder.variable), "{name}: {}", placeholder.variable);
        }
        let needed: Vec<&str> = provider.bindings.iter().flat_map(|line| line.strategy.required_fields()).collect();
        for field in needed {
            assert!(provider.fields.iter().any(|given| given.name == field && !given.optional), "{name}: {field}");
        }
        let user = provider.user.as_ref().unwrap();
        let host = request(&user.method, &user.url).unwrap().destination.host().clone();
        assert!(provider.bindings.strategy_for(&host).is_some(), "{name}: its user call goes to {host}");
    }
}
