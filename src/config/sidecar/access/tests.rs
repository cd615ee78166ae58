use std::fs;

use super::*;
use crate::config::{Config, Environment, Problems};

fn load(authority: &str) -> Result<AccessConfig, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    fs::write(&file, format!("version: 1\nauthority:\n{authority}")).unwrap();
    Config::load(&file, &Environment::of([("HOME", "/home/u")])).map(|config| config.service.access)
}

#[test]
fn every_key_is_read() {
    let access = load(
        "
  issuers:
    - issuer: https://kubernetes.default.svc
      audience: nexus
      jwks_url: https://10.0.0.1:6443/openid/v1/jwks
      ca_file: /ca.crt
      bearer_file: ~/token
      claims: { /kubernetes.io/namespace: agents, sub: 'system:serviceaccount:agents:*' }
      scope: sidecar
      agent_from: /kubernetes.io/serviceaccount/name
    - { issuer: i, audience: a, jwks_file: /jwks.json, claims: { sub: ops }, scope: admin }
    - { issuer: i, audience: a, jwks_file: /jwks.json, claims: { https://x.test/role: b }, scope: lease, connections: [c1, c2] }
    - { issuer: i, audience: a, jwks_file: /jwks.json, claims: { sub: '**' }, scope: agent, agents: bot }
    - { issuer: i, audience: a, jwks_file: /jwks.json, claims: { azp: app }, scope: app }
  clients:
    - { san: 'spiffe://cluster.local/ns/agents/sa/bot', scope: sidecar, agents: [bot, reviewer] }
    - { san: Ops.Example.COM, scope: admin }
",
    )
    .unwrap();
    let claims = |claims: &[(&str, &str)]| -> Vec<(String, String)> {
        claims.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    };
    let [cluster, admin, lease, agent, app] = &access.issuers[..] else { panic!("five issuers") };
    let url = Url::parse("https://10.0.0.1:6443/openid/v1/jwks").unwrap();
    let (ca_file, bearer_file) = (Some("/ca.crt".into()), Some("/home/u/token".into()));
    assert_eq!(
        cluster,
        &IssuerConfig {
            issuer: "https://kubernetes.default.svc".into(),
            audience: "nexus".into(),
            keys: KeysFrom::Url { url, ca_file, bearer_file },
            claims: claims(&[("/kubernetes.io/namespace", "agents"), ("sub", "system:serviceaccount:agents:*")]),
            scope: ScopeConfig::Sidecar(AgentsFrom::Claim("/kubernetes.io/serviceaccount/name".into())),
        }
    );
    assert_eq!((&admin.scope, &admin.keys), (&ScopeConfig::Admin, &KeysFrom::File("/jwks.json".into())));
    assert_eq!(lease.scope, ScopeConfig::Lease(vec!["c1".into(), "c2".into()]));
    assert_eq!(lease.claims, claims(&[("https://x.test/role", "b")]));
    assert_eq!(agent.scope, ScopeConfig::Agent(AgentsFrom::These(vec!["bot".into()])));
    assert_eq!(app.scope, ScopeConfig::App);
    let [spiffe, dns] = &access.clients[..] else { panic!("two clients") };
    assert_eq!(spiffe.name, ClientName::Uri("spiffe://cluster.local/ns/agents/sa/bot".into()));
    assert_eq!(spiffe.scope, ScopeConfig::Sidecar(AgentsFrom::These(vec!["bot".into(), "reviewer".into()])));
    assert_eq!(dns.name, ClientName::Dns(Host::parse("ops.example.com").unwrap()));
    assert_eq!(load("  listen: 127.0.0.1:1\n").unwrap(), AccessConfig::default());
}

#[test]
fn what_would_admit_the_wrong_ones_is_refused_with_its_place() {
    let issuer = |rest: &str| format!("  issuers:\n  - {{ issuer: i, audience: a, {rest} }}\n");
    let file = |rest: &str| issuer(&format!("jwks_file: /j, {rest}"));
    let client = |rest: &str| format!("  clients:\n  - {{ {rest} }}\n");
    for (text, want) in [
        (issuer("claims: { sub: a }, scope: admin"), ":4:5: `jwks_file` or `jwks_url` is missing"),
        (file("scope: admin"), ":4:5: `claims` is missing"),
        (file("claims: {}, scope: admin"), "name a claim"),
        (file("claims: { sub: 7 }, scope: admin"), "put it in quotes"),
        (file("claims: { sub: '' }, scope: admin"), "must not be empty"),
        (file("claims: { kubernetes.io/namespace: a }, scope: admin"), "a JSON pointer"),
        (file("claims: { //a: a }, scope: admin"), "a JSON pointer"),
        (file("claims: { / : a }, scope: admin"), "a JSON pointer"),
        (file("claims: { sub: a }"), "`scope` is missing"),
        (file("claims: { sub: a }, scope: admins"), "did you mean admin?"),
        (file("claims: { sub: a }, scope: sidecar"), "`agents` or `agent_from` is missing"),
        (file("claims: { sub: a }, scope: sidecar, agents: []"), "this list is empty"),
        (file("claims: { sub: a }, scope: sidecar, agents: ['a:b']"), "no colon"),
        (file("claims: { sub: a }, scope: sidecar, agents: [a], agent_from: sub"), "either `agents` or `agent_from`"),
        (file("claims: { sub: a }, scope: sidecar, agent_from: a/b"), "a JSON pointer"),
        (file("claims: { sub: a }, scope: agent, agents: [a, b]"), "about one agent"),
        (file("claims: { sub: a }, scope: admin, agents: [a]"), "`agents` has no meaning with the scope admin"),
        (file("claims: { sub: a }, scope: sidecar, agents: [a], connections: [c]"), "`connections` has no meaning"),
        (file("claims: { sub: a }, scope: lease"), "`connections` is missing"),
        (file("claims: { sub: a }, scope: admin, workspace: x"), "unknown key `workspace`"),
        (file("claims: { sub: a }, scope: admin, jwks_url: https://x.test/"), "either `jwks_file` or `jwks_url`"),
        (file("claims: { sub: a }, scope: admin, bearer_file: /t"), "no meaning without `jwks_url`"),
        (issuer("jwks_url: 'http://x.test/', claims: { sub: a }, scope: admin"), "over https alone"),
        (issuer("jwks_url: x.test, claims: { sub: a }, scope: admin"), "this is no address"),
        ("  issuers:\n  - { jwks_file: /j, claims: { sub: a }, scope: admin }\n".into(), "`issuer` is missing"),
        ("  issuers:\n  - { jwks_file: /j, claims: { sub: a }, scope: admin }\n".into(), "`audience` is missing"),
        ("  issuers: { issuer: i }\n".into(), "must be a list"),
        (client("scope: admin"), ":4:5: `san` is missing"),
        (client("san: '*.x.test', scope: admin"), "without a wildcard"),
        (client("san: 'spiffe://td/*', scope: admin"), "without a wildcard"),
        (client("san: 10.0.0.1, scope: admin"), "a DNS name"),
        (client("san: x.test, scope: sidecar, agent_from: sub"), "unknown key `agent_from`"),
        (client("san: x.test, scope: sidecar"), "`agents` is missing"),
        ("  clients:\n  - { san: x.test, scope: admin }\n  - { san: X.test, scope: app }\n".into(), "listed twice"),
    ] {
        let problems = load(&text).unwrap_err().to_string();
        assert!(problems.contains(want), "{text}\n{want} is not in\n{problems}");
    }
}
