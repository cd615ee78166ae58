mod stored;

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::definition::Definition;
use super::endpoints::{Endpoints, Pinned};
use super::*;
use crate::config::ProviderFile;
use crate::model::{Bindings, ClientAuth};

pub(super) fn read(value: Value) -> Definition {
    Profile::read(value).unwrap().definition
}

fn refused(value: Value) -> String {
    Profile::read(value).unwrap_err().to_string()
}

pub(in crate::authority) fn oauth() -> Value {
    json!({
        "name": "acme", "client_id": "nexus", "client_secret": "hunter2",
        "auth_url": "https://acme.example/authorize", "token_url": "https://acme.example/token",
        "scopes": ["read", "write"], "api_base_url": "https://api.acme.example/v1",
        "user_info_endpoint": "/me", "params": { "prompt": "consent" },
    })
}

fn with(mut value: Value, member: &str, to: Value) -> Value {
    value[member] = to;
    value
}

fn file(text: &str) -> Definition {
    Definition::of_file(&ProviderFile::parse(Path::new("p.yaml"), text).unwrap()).unwrap()
}

const GITHUB_LIKE: &str = "version: 1
provider:
  name: forge
  title: Forge
  fields:
    - { name: token, about: a token }
    - { name: otp, optional: true, about: a code }
  contract:
    - { hosts: [api.forge.example], strategy: header, settings: { credential_field: token, value_prefix: \"Bearer \" } }
    - { hosts: [forge.example], strategy: basic_auth, settings: { username: x, password_field: token } }
  user:
    request: GET https://api.forge.example/user
    headers: { accept: application/json }
    name: [/login]
";

const TICKETS: &str = "version: 1
provider:
  name: tickets
  contract:
    - { hosts: [api.tickets.example], strategy: oauth2 }
  oauth:
    auth_url: https://tickets.example/authorize
    token_url: https://tickets.example/token
    client_id: nexus
    client_secret: { env: S }
    revocation: { method: POST, url: \"https://api.tickets.example/revoke\", auth: client_basic, token: { form: token } }
    skip_scope_on_exchange: true
";

#[test]
fn an_oauth_profile_is_read() {
    let profile = Profile::read(oauth()).unwrap();
    assert!(matches!(profile.secret, SecretChange::Set(ref secret) if secret.expose() == b"hunter2"));
    let definition = profile.definition;
    assert!(definition.is_oauth() && definition.needs_secret());
    assert_eq!(definition.client_auth(), ClientAuth::Post);
    let hosts: Vec<String> = definition.bindings().unwrap().hosts().map(ToString::to_string).collect();
    assert_eq!(hosts, ["api.acme.example"]);
    assert_eq!(definition.user_call().unwrap().url, "https://api.acme.example/v1/me");
    assert!(
        !definition.text().contains("hunter2") && !format!("{profile:?}", profile = definition).contains("hunter2")
    );
}

#[test]
fn how_the_client_says_who_it_is() {
    for (header, want) in [
        (json!(null), ClientAuth::Post),
        (json!(""), ClientAuth::Post),
        (json!("Basic"), ClientAuth::Basic),
        (json!("client_secret_basic"), ClientAuth::Basic),
        (json!("client_secret_post"), ClientAuth::Post),
        (json!("basic"), ClientAuth::Post),
        (json!("none"), ClientAuth::None),
    ] {
        assert_eq!(read(with(oauth(), "auth_header", header.clone())).client_auth(), want, "{header}");
    }
}

#[test]
fn static_kinds_have_the_references_strategies() {
    let key = json!({"type": "header", "config": {"header_name": "x-api-key", "credential_field": "api_key", "value_prefix": ""}});
    let base = "https://api.example.com";
    for (profile, want) in [
        (json!({"name": "a", "auth_type": "api_key", "api_base_url": base}), key.clone()),
        (
            json!({"name": "a", "auth_type": "api_key", "api_base_url": base, "params": {"auth_strategy": {"type": "api_key"}}}),
            key,
        ),
        (
            json!({"name": "a", "auth_type": "api_key", "api_base_url": base, "params": {"auth_strategy": {"type": "api_key", "config": {"header_name": "X-Pat", "value_prefix": "T "}}}}),
            json!({"type": "header", "config": {"header_name": "x-pat", "credential_field": "api_key", "value_prefix": "T "}}),
        ),
        (
            json!({"name": "a", "auth_type": "basic_auth", "api_base_url": base}),
            json!({"type": "basic_auth", "config": {"username_field": "username", "password_field": "password"}}),
        ),
        (
            json!({"name": "a", "auth_type": "header", "api_base_url": base}),
            json!({"type": "header", "config": {"header_name": "authorization", "credential_field": "api_key", "value_prefix": ""}}),
        ),
        (
            json!({"name": "a", "auth_type": "api_key", "api_base_url": base, "params": {"auth_strategy": {"type": "query_param", "config": {"param_name": "key", "more": 1}}}}),
            json!({"type": "query_param", "config": {"param_name": "key", "credential_field": "api_key"}}),
        ),
    ] {
        let definition = read(profile.clone());
        let strategy = definition.bindings().unwrap().iter().next().unwrap().strategy.to_json();
        assert_eq!(strategy, want, "{profile}");
        // What was sent stands in the answer, verbatim.
        assert_eq!(definition.to_json().get("params").unwrap_or(&Value::Null), &profile["params"], "{profile}");
        assert!(definition.to_json().get("bindings").is_none());
    }
}

#[test]
fn what_has_no_host_is_bound_to_none() {
    let definition = read(json!({"name": "a", "auth_type": "api_key"}));
    assert!(definition.bindings().is_none() && definition.user_call().is_none());
    let hosts = json!([{"hosts": ["a.example", "b.example"], "strategy": {"type": "api_key"}}]);
    let definition = read(json!({"name": "a", "auth_type": "api_key", "bindings": hosts}));
    assert_eq!(definition.bindings().unwrap().hosts().count(), 2);
    // The base URL adds nothing to hosts that are said.
    let both = json!({"name": "a", "auth_type": "api_key", "api_base_url": "https://c.example", "bindings": hosts});
    assert_eq!(read(both).bindings().unwrap().hosts().count(), 2);
}

#[test]
fn what_cannot_work_is_refused() {
    for (value, want) in [
        (json!([]), "a profile is a JSON object"),
        (json!({}), "name: missing required field"),
        (json!({"name": ""}), "name: missing required field"),
        (json!({"name": "A b"}), "name: invalid provider name"),
        (json!({"name": 7}), "name: it is no text"),
        (json!({"name": "a"}), "client_id: missing required field"),
        (json!({"name": "a", "auth_type": "saml"}), "auth_type: unsupported value"),
        (json!({"name": "a", "auth_type": "query_param"}), "params.auth_strategy"),
        (json!({"name": "a", "auth_type": "api_key", "params": {"auth_strategy": {}}}), "params.auth_strategy"),
        (json!({"name": "a", "auth_type": "api_key", "params": []}), "params: it is no object"),
        (
            json!({"name": "a", "auth_type": "api_key", "api_base_url": "http://api.example"}),
            "api_base_url: it must be https",
        ),
        (
            json!({"name": "a", "auth_type": "api_key", "bindings": []}),
            "bindings: a connection needs at least one host",
        ),
        (
            json!({"name": "a", "auth_type": "api_key", "bindings": [{"hosts": ["*.x.example"], "strategy": {"type": "header"}}]}),
            "reusable secret",
        ),
        (with(oauth(), "auth_url", json!(null)), "auth_url: missing required field"),
        (with(oauth(), "token_url", json!("")), "token_url: missing required field"),
        (with(oauth(), "token_url", json!("http://acme.example/token")), "token_url: it must be https"),
        (with(oauth(), "auth_url", json!("javascript:alert(1)")), "auth_url: it"),
        (with(oauth(), "client_secret", json!(["hunter2"])), "client_secret: it is no text"),
        (with(oauth(), "enable_discovery", json!(true)), "issuer: missing required field"),
        (with(oauth(), "enable_discovery", json!("true")), "enable_discovery"),
        (with(oauth(), "scopes", json!("read")), "scopes: they are no list"),
        (with(oauth(), "scopes", json!([1])), "scopes: one of them is no scope"),
        (with(oauth(), "auth_header", json!("a\r\nb")), "control character"),
        (with(oauth(), "description", json!("x".repeat(5000))), "longer than 4096"),
        (with(oauth(), "params", json!({"x": "y".repeat(70_000)})), "at most 64 KiB"),
        (
            with(
                oauth(),
                "revocation",
                json!({"method": "POST", "url": "https://acme.example/{token}", "token": "bearer"}),
            ),
            "does not say in one place",
        ),
        (
            with(oauth(), "user", json!({"request": "GET https://evil.example/me"})),
            "none that the credentials may go to",
        ),
    ] {
        let said = refused(value.clone());
        assert!(said.contains(want), "{want}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn refusals_have_the_references_words() {
    let code = |value: Value| Profile::read(value).unwrap_err().code("provider_creation_failed");
    assert_eq!(code(json!({"name": "A"})), "invalid_provider_name");
    assert_eq!(code(json!({})), "invalid_provider_name");
    // The reference says `missing_missing required field`.
    assert_eq!(code(json!({"name": "a"})), "missing_client_id");
    assert_eq!(code(json!({"name": "a", "auth_type": "saml"})), "provider_creation_failed");
}

#[test]
fn what_is_kept_is_read_again() {
    for definition in [
        read(oauth()),
        read(with(oauth(), "auth_header", json!("none"))),
        read(
            json!({"name": "a", "auth_type": "aws_sigv4", "bindings": [{"hosts": ["*.amazonaws.com"], "strategy": {"type": "aws_sigv4"}}]}),
        ),
        read(
            json!({"name": "a", "auth_type": "api_key", "owned": true, "bindings": [{"hosts": ["*.x.example"], "strategy": {"type": "header"}}]}),
        ),
        file(GITHUB_LIKE),
        file(TICKETS),
    ] {
        let kept: Value = serde_json::from_str(&definition.text()).unwrap();
        let again = Profile::read(kept).unwrap();
        assert!(matches!(again.secret, SecretChange::Keep));
        assert_eq!(again.definition, definition);
        assert_eq!(again.definition.text(), definition.text());
        assert!(definition.differences(&again.definition).is_empty());
    }
}

#[test]
fn a_file_says_what_a_profile_says() {
    let forge = file(GITHUB_LIKE).to_json();
    assert_eq!(forge["auth_type"], "header");
    assert_eq!(forge["params"]["credential_schema"]["required"], json!(["token"]));
    assert_eq!(forge["bindings"].as_array().unwrap().len(), 2);
    assert_eq!(forge["user_info_endpoint"], "https://api.forge.example/user");
    let fields = file(GITHUB_LIKE).fields();
    assert_eq!(
        fields.iter().map(|field| (field.name.as_str(), field.optional)).collect::<Vec<_>>(),
        [("otp", true), ("token", false)]
    );
    let tickets = file(TICKETS);
    assert_eq!((tickets.client_auth(), tickets.needs_secret()), (ClientAuth::Basic, true));
    assert_eq!(tickets.secret_goes_to(), ["tickets.example", "api.tickets.example"]);
    assert_eq!(tickets.to_json()["params"], json!({"skip_scope_on_exchange": true}));
}

#[test]
fn differences_are_told_key_by_key() {
    let before = read(oauth());
    let after = read(with(with(oauth(), "params", json!({"prompt": "login", "x": 1})), "scopes", json!(["read"])));
    let found = before.differences(&after);
    let keys: Vec<&str> = found.iter().map(|difference| difference.key.as_str()).collect();
    assert_eq!(keys, ["params.prompt", "params.x", "scopes"]);
    assert_eq!((found[0].before.as_deref(), found[0].after.as_deref()), (Some("\"consent\""), Some("\"login\"")));
    assert_eq!((&found[1].before, found[1].after.as_deref()), (&None, Some("1")));
}

fn pins(definition: &Definition) -> (Endpoints, Option<&Bindings>, bool) {
    (Endpoints::of(definition), definition.bindings(), definition.is_owned())
}

#[test]
fn only_endpoints_and_hosts_move_connections() {
    let before = read(oauth());
    for (member, to, moves) in [
        ("description", json!("x"), false),
        ("scopes", json!([]), false),
        ("params", json!({}), false),
        ("auth_url", json!("https://acme.example/other"), false),
        ("token_url", json!("https://acme.example/other"), true),
        ("api_base_url", json!("https://other.acme.example"), true),
        ("auth_header", json!("Basic"), true),
        ("auth_header", json!("client_secret_post"), false),
        ("client_id", json!("other"), true),
        ("revocation", json!("https://acme.example/revoke"), true),
        ("user_info_endpoint", json!("/you"), true),
    ] {
        assert_eq!(pins(&before) != pins(&read(with(oauth(), member, to.clone()))), moves, "{member} {to}");
    }
}

#[test]
fn what_a_connection_pins_is_read_again() {
    for definition in
        [read(oauth()), file(TICKETS), file(GITHUB_LIKE), read(json!({"name": "a", "auth_type": "api_key"}))]
    {
        let pinned = Pinned { provider: "p-1".into(), version: 3, endpoints: Endpoints::of(&definition) };
        assert_eq!(Pinned::read(&pinned.text()).unwrap(), pinned);
    }
    for bad in
        ["", "{}", "[]", r#"{"provider":"a","version":1,"client_auth":"basic","token_url":"http://evil.example/"}"#]
    {
        assert!(Pinned::read(bad).is_err(), "{bad}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("https://a.example/x")),
        Just(json!("api_key")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const MEMBERS: [&str; 22] = [
    "name",
    "auth_type",
    "client_id",
    "client_secret",
    "auth_url",
    "token_url",
    "auth_header",
    "scopes",
    "issuer",
    "enable_discovery",
    "params",
    "api_base_url",
    "user_info_endpoint",
    "description",
    "category",
    "title",
    "about",
    "bindings",
    "owned",
    "revocation",
    "user",
    "other",
];

proptest! {
    #[test]
    fn any_json_is_read_or_refused(changes in prop::collection::vec((prop::sample::select(&MEMBERS[..]), any_json()), 0..5), is_oauth: bool) {
        let mut value = if is_oauth { oauth() } else { json!({"name": "a", "auth_type": "api_key"}) };
        for (member, to) in changes {
            value[member] = to;
        }
        if let Ok(profile) = Profile::read(value) {
            let kept: Value = serde_json::from_str(&profile.definition.text()).unwrap();
            prop_assert_eq!(Profile::read(kept).unwrap().definition, profile.definition);
        }
    }
}
