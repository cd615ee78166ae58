use std::fs;

use super::*;
use crate::config::{ClientFiles, Config, ConnectionAt, Environment, Problems, SourceKind};
use crate::model::{ConnectionName, Host};

const ID: &str = "2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f";

const GATEWAY: &str = "
version: 1
sources: { g: { url: 'https://gw.test/nexus', dialect: gateway, auth: { bearer_file: /key }, ca_file: ca.pem } }
connections: { jira: { source: g, id: 2F1C0D2E6A7B4C1D9E0F3B5A7C9D1E2F, hosts: ['*.jira.test', a.test], owned: true } }
";

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    fs::write(&file, text).unwrap();
    Config::load(&file, &Environment::of([("HOME", "/home/u")].iter().chain(variables).copied()))
}

fn load(text: &str) -> Result<Config, Problems> {
    load_with(text, &[])
}

fn gateway(config: &Config) -> &GatewayConfig {
    match &config.sources[0].kind {
        SourceKind::Gateway(gateway) => gateway,
        other => panic!("{other:?}"),
    }
}

fn jira(config: &Config) -> &GatewayConnection {
    match &config.connections[&ConnectionName::parse("jira").unwrap()].at {
        ConnectionAt::Gateway(there) => there,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gateway_as_a_source() {
    let config = load(GATEWAY).unwrap();
    let read = gateway(&config);
    assert_eq!((read.name.as_str(), read.dialect, read.url.target().as_str()), ("g", Dialect::Gateway, "/nexus"));
    assert_eq!(read.auth, SourceAuth { key_file: Some("/key".into()), client: None });
    assert!(read.ca_file.as_ref().unwrap().ends_with("ca.pem") && config.remote.is_none());
    let GatewayConnection { id, contract } = jira(&config);
    assert_eq!(id, ID);
    let GatewayContract::OfSource { hosts, owned: true } = contract else { panic!("{contract:?}") };
    assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["*.jira.test", "a.test"]);
    let changed = load(&GATEWAY.replace("/key", "/other")).unwrap();
    assert!(changed.needs_restart(&config).contains(&"sources"));
}

#[test]
fn a_broker_takes_its_key_in_another_header_and_both_take_certificates() {
    let client = ClientFiles { cert_file: "/c.pem".into(), key_file: "/k.pem".into() };
    let files = "client_cert_file: /c.pem, client_key_file: /k.pem";
    for (dialect, auth, key_file, client) in [
        ("broker", "{ api_key_file: /key }", true, None),
        ("broker", &format!("{{ api_key_file: /key, {files} }}"), true, Some(client.clone())),
        ("gateway", &format!("{{ {files} }}"), false, Some(client.clone())),
        ("gateway", &format!("{{ bearer_file: /key, {files} }}"), true, Some(client.clone())),
    ] {
        let text = GATEWAY.replace("dialect: gateway", &format!("dialect: {dialect}"));
        let config = load(&text.replace("{ bearer_file: /key }", auth)).unwrap_or_else(|error| panic!("{error}"));
        let key_file = key_file.then(|| PathBuf::from("/key"));
        assert_eq!(gateway(&config).auth, SourceAuth { key_file, client }, "{dialect} {auth}");
    }
    let service =
        format!("version: 1\nsources: {{ f: {{ url: 'https://n.test', dialect: nexus, auth: {{ {files} }} }} }}");
    let config = load(&service).unwrap();
    assert_eq!(config.remote.unwrap().auth, SourceAuth { key_file: None, client: Some(client) });
}

#[test]
fn one_that_asks_nobody_is_on_this_machine_or_said_to_be_open() {
    let with = |url: &str, more: &str| {
        let text =
            GATEWAY.replace("https://gw.test/nexus", url).replace("{ bearer_file: /key }", &format!("none{more}"));
        load(&text).map(|config| gateway(&config).auth.is_none()).map_err(|error| error.to_string())
    };
    assert_eq!(with("http://127.0.0.1:8090", ""), Ok(true));
    assert_eq!(with("http://[::1]:8090", ""), Ok(true));
    assert_eq!(with("https://gw.test", ", unauthenticated: true"), Ok(true));
    assert_eq!(with("http://gw.test", ", unauthenticated: true, cleartext: true"), Ok(true));
    for (url, more) in [("https://gw.test", ""), ("https://gw.test", ", unauthenticated: false")] {
        let said = with(url, more).unwrap_err();
        assert!(said.contains(":3:") && said.contains("whoever reaches it"), "{said}");
    }
    let cleartext = with("http://gw.test", ", unauthenticated: true").unwrap_err();
    assert!(cleartext.contains("over http, the key"), "{cleartext}");
}

#[test]
fn an_entry_may_say_itself_how_it_authenticates() {
    let with = |entry: &str| {
        let text = format!(
            "{}connections: {{ jira: {{ source: g, id: x-1, {entry} }} }}",
            &GATEWAY[..GATEWAY.find("conn").unwrap()]
        );
        load(&text).map(|config| jira(&config).contract.clone()).map_err(|error| error.to_string())
    };
    let kind = |entry| match with(entry) {
        Ok(GatewayContract::OfEntry(bindings)) => {
            let hosts: Vec<_> = bindings.iter().flat_map(|line| line.hosts.iter().map(ToString::to_string)).collect();
            let host = Host::parse(hosts[0].as_str()).unwrap();
            bindings.strategy_for(&host).unwrap().kind()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(kind("hosts: a.test, strategy: header, settings: { header_name: x-key }"), "header");
    assert_eq!(kind("provider: github"), "header");
    for (entry, want) in [
        ("hosts: a.test, settings: { header_name: x-key }", "`settings` are those of a `strategy`"),
        ("provider: github, hosts: a.test", "a `provider` says hosts and strategy itself"),
        ("strategy: oauth2", "`hosts` is missing"),
        ("owned: true", "`hosts` is missing"),
        ("hosts: 'a b'", "a b"),
    ] {
        let said = with(entry).unwrap_err();
        assert!(said.contains(want) && said.contains(":4:"), "{said}");
    }
}

#[test]
fn variables_make_one_the_source() {
    let config = load_with(
        "version: 1",
        &[
            ("NEXUS_SIDECAR__SOURCES__G__URL", "http://127.0.0.1:8090"),
            ("NEXUS_SIDECAR__SOURCES__G__DIALECT", "gateway"),
            ("NEXUS_SIDECAR__SOURCES__G__AUTH", "none"),
            ("NEXUS_SIDECAR__CONNECTIONS__JIRA__ID", ID),
            ("NEXUS_SIDECAR__CONNECTIONS__JIRA__HOSTS", "a.test,b.test"),
        ],
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(gateway(&config).auth.is_none());
    assert_eq!(jira(&config).id, ID);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let mut wrong = Vec::new();
    for (from, to, want) in [
        (
            "dialect: gateway",
            "dialect: gatway",
            ":3:56: this is nexus or gateway or broker, not \"gatway\": did you mean gateway?",
        ),
        ("dialect: gateway", "dialect: broker", ":3:85: with `dialect: broker` this is `api_key_file`"),
        ("bearer_file: /key", "api_key_file: /key", ":3:87: with `dialect: gateway` this is `bearer_file`"),
        ("bearer_file: /key", "client_cert_file: /c", ":3:71: `client_key_file` is missing"),
        ("bearer_file: /key", "client_key_file: /k", ":3:71: `client_cert_file` is missing"),
        ("bearer_file: /key", "", ":3:71: `bearer_file` is missing"),
        ("bearer_file: /key", "bearer: /key", "unknown key `bearer`"),
        (", auth: { bearer_file: /key }", "", ":3:15: `auth` is missing"),
        ("{ bearer_file: /key }", "nobody", ":3:71:"),
        ("ca_file: ca.pem", "unauthenticated: true", "`unauthenticated` has no meaning"),
        ("https://gw.test/nexus", "http://gw.test/nexus", ":3:22: over http, the key"),
        ("id: 2F1C0D2E6A7B4C1D9E0F3B5A7C9D1E2F, ", "", ":4:22: `id` is missing"),
        ("id: 2F1C0D2E6A7B4C1D9E0F3B5A7C9D1E2F", "id: ../x", ":4:39: this is no id of a connection"),
        ("id: 2F1C0D2E6A7B4C1D9E0F3B5A7C9D1E2F", "id: x, name: y", "by `id` alone"),
        ("hosts: ['*.jira.test', a.test]", "hosts: []", "this list is empty"),
        ("hosts: ['*.jira.test', a.test], ", "", ":4:22: `hosts` is missing"),
        ("hosts: [", "host: [", "unknown key `host`: did you mean `hosts`?"),
        ("owned: true", "owned: yes-sir", ":4:"),
    ] {
        let said = load(&GATEWAY.replace(from, to)).err().map(|error| error.to_string()).unwrap_or_default();
        if !said.contains(want) {
            wrong.push(format!("{to}: {want} is not in\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let over_http = GATEWAY.replace("https://gw.test/nexus", "http://127.0.0.1:1");
    let over_http = over_http.replace("bearer_file: /key", "client_cert_file: /c, client_key_file: /k");
    assert!(load(&over_http).unwrap_err().to_string().contains("over TLS alone"));
    let nexus = "version: 1\nsources: { f: { url: 'https://n.test', dialect: nexus, auth: none } }";
    assert!(load(nexus).unwrap_err().to_string().contains(":2:62: an Authority lends nothing"));
    let open = "version: 1\nsources: { f: { url: 'https://n.test', dialect: nexus, auth: { bearer_file: /k }, unauthenticated: true } }";
    assert!(load(open).unwrap_err().to_string().contains("`unauthenticated` is for a Gateway"));
    let rest = GATEWAY.replace("anonymous", "") + "policy: authority\n";
    assert!(load(&rest).unwrap_err().to_string().contains("`authority` needs one source with `dialect: nexus`"));
}

#[test]
fn a_uuid_has_one_spelling_here() {
    let usual = "2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f";
    for text in [
        usual,
        "2F1C0D2E-6A7B-4C1D-9E0F-3B5A7C9D1E2F",
        "2f1c0d2e6a7b4c1d9e0f3b5a7c9d1e2f",
        "{2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f}",
        "urn:uuid:2f1c0d2e-6a7b-4c1d-9e0f-3b5a7c9d1e2f",
    ] {
        assert_eq!(uuid(text).as_deref(), Some(usual), "{text}");
    }
    for text in ["", "2f1c0d2e", "2f1c0d2e-6a7b-4c1d-9e0f3b5a-7c9d1e2f", "zf1c0d2e6a7b4c1d9e0f3b5a7c9d1e2f", "é"] {
        assert_eq!(uuid(text), None, "{text}");
    }
    for (text, plain) in [("jira-1", true), ("A.b_c", true), ("", false), ("../x", false), ("a/b", false)] {
        assert_eq!(is_plain(text), plain, "{text}");
    }
}
