//! The Authority as a service: the binary, as its operator and strangers meet it. What needs a
//! handler of the test's own stands in `src/authority/api/tests`.

use serde_json::Value;

use crate::health::get;
use crate::support::process::{Home, Running};

fn serve(home: &Home, authority: &str) -> Running {
    home.write("c.yaml", &format!("version: 1\nauthority: {{ listen: '127.0.0.1:0'{authority} }}\n"));
    Running::start(home.command(["authority", "serve", "--config", "c.yaml"]))
}

#[tokio::test]
async fn it_says_where_answers_and_drains() {
    let home = Home::new();
    let mut authority = serve(&home, "");
    let address = authority.address("authority");
    authority.says("made the store");
    let health = get(address, "/health").await;
    assert_eq!(health.status, 200);
    assert_eq!(&health.body[..], b"{\"status\":\"healthy\"}\n");
    assert_eq!(health.headers["nexus-protocol-version"], "2026.1");
    assert_eq!(health.headers["x-ratelimit-limit"], "600");
    let document: Value = serde_json::from_slice(&get(address, "/openapi.json").await.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let metrics = get(address, "/metrics").await;
    assert_eq!(metrics.status, 401, "its numbers are for those who look after it");
    authority.signal("TERM");
    assert_eq!(authority.ended(), Some(0));
    assert!(authority.log().contains("draining") && authority.log().contains("stopped"), "{}", authority.log());
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_health() {
    let home = Home::new();
    let authority = serve(&home, "");
    let address = authority.address("authority");
    assert_eq!(get(address, "/health").await.status, 200);
    let store = home.path(".local/share/nexus-sidecar/store.db");
    rusqlite::Connection::open(store).unwrap().execute_batch("DROP TABLE meta").unwrap();
    let health = get(address, "/health").await;
    assert_eq!(health.status, 503);
    assert!(String::from_utf8_lossy(&health.body).contains("\"UNAVAILABLE\""), "{health:?}");
}

#[test]
fn a_configuration_that_would_send_credentials_in_the_clear_is_refused() {
    let home = Home::new();
    for (authority, words) in [
        ("listen: '0.0.0.0:0'", &["in the clear on 0.0.0.0:0", "authority.tls", "authority.cleartext: true"][..]),
        ("tls: { cert_file: a.pem }", &["c.yaml:2:19", "`key_file` is missing"]),
        ("tls: { cert_file: a.pem, key_file: b.pem }", &["a.pem for TLS"]),
        ("limits: { rate: 600 }", &["c.yaml:2:30", "100/second"]),
        ("lissten: x", &["did you mean `listen`?"]),
    ] {
        home.write("c.yaml", &format!("version: 1\nauthority: {{ {authority} }}\n"));
        let ended = home.run(["authority", "serve", "--config", "c.yaml"]);
        assert_ne!(ended.code, Some(0));
        for word in words {
            assert!(ended.err.contains(word), "no {word:?} in {}", ended.err);
        }
        assert!(!home.path(".local").exists(), "nothing was made");
    }
}

#[test]
fn an_address_in_use_is_said_before_anything_is_made() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    home.write("c.yaml", &format!("version: 1\nauthority: {{ listen: '{address}' }}\n"));
    let ended = home.run(["authority", "serve", "--config", "c.yaml"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&format!("cannot listen on {address}")), "{}", ended.err);
    assert!(!home.path(".local").exists());
}
