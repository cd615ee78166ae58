//! Who may use the Authority: keys, agents and grants on the command line, and what each opens over
//! HTTP.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nexus_sidecar::telemetry::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::process::{Ended, Home, Running};

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(words.iter().all(|word| ended.err.contains(word)), "{words:?} in {}", ended.err);
}

fn out(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    &ended.out
}

fn parsed(ended: &Ended) -> Value {
    serde_json::from_str(out(ended)).unwrap()
}

fn is_key(text: &str) -> bool {
    text.len() == 51 && text.starts_with("nx_live_")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_shown_once_and_told_apart_from_what_is_said_of_it() {
    let home = Home::new();
    let made = home.run(["authority", "key", "add", "--name", "ops", "--expires-in", "12h"]);
    let key = out(&made).trim_end();
    assert!(is_key(key) && made.out.lines().count() == 1, "standard output holds the key alone: {}", made.out);
    assert!(made.err.contains("made the key k_") && !made.err.contains(key), "{}", made.err);
    home.connect("github", "api.github.com", "canary-token");
    out(&home.run(["authority", "agent", "add", "triage bot"]));
    let sidecar = ["authority", "key", "add", "--scope", "sidecar", "--agent", "triage bot", "--out", "side.key"];
    let written = home.run(sidecar);
    assert!(out(&written).contains("sidecar for triage bot") && !written.out.contains("nx_live_"), "{written:?}");
    assert_eq!(mode(&home.path("side.key")), 0o600);
    let second = fs::read_to_string(home.path("side.key")).unwrap();
    assert!(is_key(second.trim_end()));
    says(&home.run(sidecar), 2, &["no file is written over"]);
    let lease = parsed(&home.run(["authority", "key", "add", "--scope", "lease", "--connection", "github", "--json"]));
    assert!(is_key(lease["key"].as_str().unwrap()) && lease["connections"][0].as_str().unwrap().len() == 36);
    let listed = home.run(["authority", "key", "list"]);
    assert_eq!(out(&listed).lines().count(), 4);
    let all = parsed(&home.run(["authority", "key", "list", "--json"]));
    let ops = all.as_array().unwrap().iter().find(|key| key["name"] == "ops").unwrap().clone();
    assert_eq!((&ops["scope"], &ops["state"]), (&json!("admin"), &json!("active")));
    let id = ops["id"].as_str().unwrap();
    assert_eq!(out(&home.run(["authority", "key", "revoke", id])), format!("key {id}: revoked\n"));
    let again = parsed(&home.run(["authority", "key", "revoke", id, "--json"]));
    assert_eq!(again["state"], "revoked");
    says(&home.run(["authority", "key", "revoke", "k_0"]), 1, &["there is no key"]);
    // Neither listings nor the store hold the text of a key.
    let texts = [key, second.trim_end(), lease["key"].as_str().unwrap()];
    for text in texts {
        assert!(!listed.out.contains(&text[8..]) && !all.to_string().contains(&text[8..]));
        for entry in fs::read_dir(home.path(".local/share/nexus-sidecar")).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(memchr::memmem::find(&bytes, &text.as_bytes()[8..]).is_none());
        }
    }
}

#[test]
fn agents_and_grants_are_managed_by_name() {
    let home = Home::new();
    says(&home.run(["authority", "agent", "list"]), 0, &["there are no agents yet"]);
    says(&home.run(["authority", "key", "list"]), 0, &["there are no keys yet"]);
    assert!(!home.path(".local").exists(), "who only looks makes no store");
    home.connect("github", "api.github.com", "canary-token");
    assert_eq!(out(&home.run(["authority", "agent", "add", "bot"])), "agent bot: added\n");
    says(&home.run(["authority", "agent", "add", "bot"]), 1, &["there is an agent \"bot\" already"]);
    says(&home.run(["authority", "agent", "add", "a:b"]), 2, &["no name for an agent"]);
    let allow = |more: &[&'static str]| home.run([&["authority", "allow", "bot", "github"][..], more].concat());
    assert_eq!(out(&allow(&[])), "agent bot may borrow github\n");
    assert_eq!(out(&allow(&[])), "agent bot may borrow already github\n");
    let listed = home.run(["authority", "agent", "ls"]);
    assert!(out(&listed).lines().nth(1).unwrap().starts_with("bot   active  github      20"), "{}", listed.out);
    assert_eq!(parsed(&allow(&["--remove", "--json"]))["changed"], true);
    assert_eq!(out(&allow(&["--remove"])), "agent bot was not allowed to borrow github\n");
    says(&home.run(["authority", "allow", "ghost", "github"]), 1, &["there is no agent \"ghost\""]);
    says(&home.run(["authority", "allow", "bot", "gitlab"]), 1, &["there is no connection \"gitlab\""]);
    says(&home.run(["authority", "agent", "list", "--workspace", "other"]), 0, &["there are no agents yet"]);
    says(&home.run(["authority", "agent", "list", "--workspace", "A B"]), 2, &["is not a name"]);
    assert_eq!(parsed(&home.run(["authority", "agent", "revoke", "bot", "--json"]))["state"], "revoked");
    says(&allow(&[]), 1, &["was revoked"]);
    says(&home.run(["authority", "key", "add", "--scope", "sidecar"]), 2, &["names the agents"]);
    says(&home.run(["authority", "key", "add", "--agent", "bot"]), 2, &["for the scopes sidecar and agent"]);
    says(&home.run(["authority", "key", "add", "--scope", "sidecar", "--agent", "x"]), 1, &["no agent \"x\""]);
}

fn serve(home: &Home, authority: &str) -> (Running, SocketAddr) {
    home.write("c.yaml", &format!("version: 1\nauthority:\n  listen: 127.0.0.1:0\n{authority}"));
    let running = Running::start(home.command(["authority", "serve", "--config", "c.yaml"]));
    let address = running.address("authority");
    (running, address)
}

/// The whole answer to `GET /metrics`, which is for administrators, with these headers.
fn metrics(address: SocketAddr, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> &str {
    &answer[9..12]
}

#[test]
fn the_first_start_makes_an_administrators_key() {
    let home = Home::new();
    let (authority, address) = serve(&home, "");
    let path = home.path(".local/share/nexus-sidecar/admin-key");
    authority.says(&format!("it is in {}", path.display()));
    assert_eq!(mode(&path), 0o600);
    let key = fs::read_to_string(&path).unwrap().trim_end().to_owned();
    let bearer = format!("Bearer {key}");
    let wrong = format!("nx_live_{}", "A".repeat(43));
    for (headers, want) in [
        (&[("authorization", bearer.as_str())][..], "200"),
        (&[("x-api-key", &format!(" {key} "))], "200"),
        (&[("x-api-key", &key), ("authorization", &bearer)], "200"),
        (&[], "401"),
        (&[("x-api-key", &wrong)], "401"),
        (&[("x-api-key", &wrong), ("authorization", &bearer)], "401"),
        (&[("authorization", "Basic eDp5")], "401"),
        (&[("authorization", "Bearer a.b.c")], "401"),
    ] {
        let answer = metrics(address, headers);
        assert_eq!(status(&answer), want, "{answer}");
        assert!(!answer.contains(&key[8..]) && !answer.contains(&wrong[8..]), "{answer}");
    }
    let config = ["authority", "--config", "c.yaml", "key"];
    let run = |more: &[&'static str]| home.run([&config[..], more].concat());
    let app = out(&run(&["add", "--scope", "app"])).trim_end().to_owned();
    assert_eq!(status(&metrics(address, &[("x-api-key", &app)])), "403");
    let all = parsed(&run(&["list", "--json"]));
    let id = all.as_array().unwrap().iter().find(|key| key["scope"] == "admin").unwrap()["id"].clone();
    out(&home.run(["authority", "--config", "c.yaml", "key", "revoke", id.as_str().unwrap()]));
    let gone = metrics(address, &[("authorization", &bearer)]);
    assert!(status(&gone) == "410" && gone.contains("KEY_REVOKED"), "{gone}");
    drop(authority);
    let (authority, _) = serve(&home, "");
    assert!(!authority.log().contains("the first key"), "{}", authority.log());
    for text in [&key, &app] {
        assert!(!authority.log().contains(&text[8..]));
    }
}

/// A signed token of the claims, by a key of the id `k`.
fn token(pair: &EcdsaKeyPair, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": "k"})), part(claims));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_of_an_issuer_opens_what_its_claims_say() {
    let home = Home::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let key = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y});
    home.write("jwks.json", &json!({"keys": [key]}).to_string());
    let entry = |claims: &str, scope: &str| {
        format!(
            "    - {{ issuer: 'https://i.test', audience: nexus, jwks_file: jwks.json, claims: {claims}, scope: {scope} }}\n"
        )
    };
    let issuers = [entry("{ sub: 'ops:*' }", "admin"), entry("{ sub: 'dev:*' }", "app")].concat();
    let (authority, address) = serve(&home, &format!("  issuers:\n{issuers}"));
    let now = SystemClock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = |subject: &str, audience: &str, end: u64| json!({"iss": "https://i.test", "aud": audience, "sub": subject, "exp": end, "iat": now});
    let good = token(&pair, &claims("ops:ann", "nexus", now + 600));
    let forged = token(
        &EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        &claims("ops:ann", "nexus", now + 600),
    );
    for (token, want, says) in [
        (good, "200", ""),
        (token(&pair, &claims("dev:bob", "nexus", now + 600)), "403", "PERMISSION_DENIED"),
        (token(&pair, &claims("eve", "nexus", now + 600)), "401", "nobody with its claims has access"),
        (token(&pair, &claims("ops:ann", "other", now + 600)), "401", "another audience"),
        (token(&pair, &claims("ops:ann", "nexus", now - 1)), "401", "it has expired"),
        (forged, "401", "its signature does not fit"),
    ] {
        let answer = metrics(address, &[("authorization", &format!("Bearer {token}"))]);
        assert!(status(&answer) == want && answer.contains(says), "{want} {says}: {answer}");
        assert!(!answer.contains(&token) && !authority.log().contains(&token));
    }
}
