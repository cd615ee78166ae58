use std::sync::Mutex;

use serde_json::json;

use super::super::Scope;
use super::super::key_set::FetchError;
use super::*;
use crate::config::{AgentsFrom, ScopeConfig};
use crate::sign::jwt::for_tests::{Signer, jwks};

const NOW: i64 = 1_800_000_000;
const BOOT: Duration = Duration::from_secs(1000);

fn config(scope: ScopeConfig, claims: &[(&str, &str)]) -> IssuerConfig {
    IssuerConfig {
        issuer: "https://cluster.test".into(),
        audience: "nexus".into(),
        keys: KeysFrom::File("/keys".into()),
        claims: claims.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        scope,
    }
}

struct Fixed(Shared);

impl KeySource for Fixed {
    fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let mut fixed = self.0.lock().unwrap();
        fixed.1 += 1;
        Ok(fixed.0.clone())
    }

    fn name(&self) -> String {
        "fixed".to_owned()
    }
}

type Shared = Arc<Mutex<(Vec<u8>, usize)>>;

fn issuers(configs: &[IssuerConfig], signers: &[&Signer]) -> (Issuers, Shared) {
    let keys = Arc::new(Mutex::new((jwks(signers), 0)));
    let fixed = |_: &KeysFrom| Ok::<Box<dyn KeySource>, ()>(Box::new(Fixed(Arc::clone(&keys))));
    (Issuers::new(configs, fixed).unwrap(), keys)
}

fn claims() -> Value {
    json!({"iss": "https://cluster.test", "aud": ["nexus"], "exp": NOW + 600, "iat": NOW,
        "sub": "system:serviceaccount:agents:bot", "groups": ["dev", "ops"], "email_verified": true,
        "kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "bot", "uid": "u-1"}}})
}

fn admitted(issuers: &Issuers, token: &str) -> String {
    match issuers.admit(token.as_bytes(), NOW, BOOT) {
        Ok(principal) => format!("{} {:?}", principal.id(), principal.scope()),
        Err(denied) => denied.to_string(),
    }
}

#[test]
fn a_service_account_speaks_for_its_agent() {
    let signer = Signer::p256("k");
    let by_claim = || ScopeConfig::Sidecar(AgentsFrom::Claim("/kubernetes.io/serviceaccount/name".into()));
    let namespace = [("/kubernetes.io/namespace", "agents"), ("sub", "system:serviceaccount:agents:*")];
    let (issuers, keys) = issuers(&[config(by_claim(), &namespace)], &[&signer]);
    let want = "jwt:system:serviceaccount:agents:bot@https://cluster.test Sidecar { agents: {\"bot\"} }";
    assert_eq!(admitted(&issuers, &signer.token(&claims())), want);
    for name in ["", "a:b", "a*", " a", "a\u{7f}", "b\u{e9}", &"a".repeat(101)] {
        let mut claims = claims();
        claims["kubernetes.io"]["serviceaccount"]["name"] = json!(name);
        assert!(admitted(&issuers, &signer.token(&claims)).contains("nobody with its claims"), "{name}");
    }
    let mut elsewhere = claims();
    elsewhere["kubernetes.io"]["namespace"] = json!("agents2");
    assert!(admitted(&issuers, &signer.token(&elsewhere)).contains("nobody with its claims"));
    assert_eq!(keys.lock().unwrap().1, 1, "the keys are fetched once");
}

#[test]
fn claims_are_text_flags_and_lists() {
    let signer = Signer::ed25519("k");
    for (path, pattern, want) in [
        ("groups", "ops", true),
        ("groups", "op", false),
        ("email_verified", "true", true),
        ("email_verified", "false", false),
        ("exp", "**", false),
        ("/kubernetes.io", "**", false),
        ("absent", "**", false),
        ("sub", "system:*:agents:bot", true),
        ("sub", "system:*", false),
    ] {
        let (issuers, _) = issuers(&[config(ScopeConfig::Admin, &[(path, pattern)])], &[&signer]);
        let seen = admitted(&issuers, &signer.token(&claims()));
        assert_eq!(seen.ends_with("Admin"), want, "{path} {pattern}: {seen}");
    }
}

#[test]
fn the_first_entry_that_accepts_decides() {
    let signer = Signer::ed25519("k");
    let entries = [
        config(ScopeConfig::Admin, &[("groups", "admins")]),
        config(ScopeConfig::Sidecar(AgentsFrom::These(vec!["a".into(), "b".into()])), &[("groups", "ops")]),
        config(ScopeConfig::App, &[("sub", "**")]),
    ];
    let (issuers, keys) = issuers(&entries, &[&signer]);
    assert!(admitted(&issuers, &signer.token(&claims())).ends_with("Sidecar { agents: {\"a\", \"b\"} }"));
    assert_eq!(keys.lock().unwrap().1, 1, "entries of one issuer share its keys");
    let mut other = claims();
    other["groups"] = json!([]);
    assert!(admitted(&issuers, &signer.token(&other)).ends_with("App"));
    for subject in [json!(""), json!(7), json!("a\nb"), json!("a".repeat(256)), Value::Null] {
        other["sub"] = subject;
        assert!(!admitted(&issuers, &signer.token(&other)).contains("jwt:"));
    }
}

#[test]
fn a_token_of_nobody_is_refused() {
    let (signer, stranger) = (Signer::ed25519("k"), Signer::ed25519("k"));
    let (issuers, _) = issuers(&[config(ScopeConfig::Admin, &[("sub", "**")])], &[&signer]);
    let mut foreign = claims();
    foreign["iss"] = json!("https://evil.test");
    let mut expired = claims();
    expired["exp"] = json!(NOW);
    for (token, want) in [
        (stranger.token(&claims()), "its signature does not fit"),
        (signer.token(&foreign), "it is another issuer's"),
        (signer.token(&expired), "it has expired"),
        (signer.sign(r#"{"alg":"none"}"#, "{}"), "its algorithm is not accepted"),
        ("nonsense".to_owned(), "it is no signed token"),
    ] {
        assert!(admitted(&issuers, &token).contains(want), "{want}");
    }
}

#[test]
fn a_key_that_the_issuer_rotated_in_is_found() {
    let (old, new) = (Signer::ed25519("old"), Signer::p256("new"));
    let (issuers, keys) = issuers(&[config(ScopeConfig::Admin, &[("sub", "**")])], &[&old]);
    assert!(admitted(&issuers, &old.token(&claims())).ends_with("Admin"));
    keys.lock().unwrap().0 = jwks(&[&new]);
    // At most once a minute, whatever is presented.
    for _ in 0..10 {
        assert!(admitted(&issuers, &new.token(&claims())).contains("no key of that id"));
    }
    assert_eq!(keys.lock().unwrap().1, 1);
    let token = new.token(&claims());
    assert!(issuers.admit(token.as_bytes(), NOW, BOOT + Duration::from_secs(60)).is_ok());
    assert!(issuers.admit(old.token(&claims()).as_bytes(), NOW, BOOT + Duration::from_secs(61)).is_err());
    assert_eq!(keys.lock().unwrap().1, 2);
}

#[test]
fn an_agents_token_names_one_agent() {
    let signer = Signer::ed25519("k");
    let scope = ScopeConfig::Agent(AgentsFrom::Claim("/kubernetes.io/serviceaccount/name".into()));
    let (issuers, _) = issuers(&[config(scope, &[("sub", "**")])], &[&signer]);
    let token = signer.token(&claims());
    let principal = issuers.admit(token.as_bytes(), NOW, BOOT).unwrap();
    assert_eq!(principal.scope(), &Scope::Agent { agent: "bot".into() });
}
