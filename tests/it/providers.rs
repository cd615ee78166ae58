//! Providers of one's own: applied from files, shown before they are, and what becomes of their
//! connections.

use serde_json::{Value, json};

use crate::support::process::{Ended, Home};

const TICKETS: &str = "version: 1
provider:
  name: tickets
  title: Tickets
  contract:
    - { hosts: [api.tickets.example], strategy: oauth2 }
  oauth:
    auth_url: https://tickets.example/authorize
    token_url: https://tickets.example/token
    client_id: nexus
    client_secret: { env: TICKETS_SECRET }
    scopes: [read]
";

const FORGE: &str = "version: 1
provider:
  name: forge
  fields:
    - { name: token, about: a token of the forge }
  contract:
    - { hosts: [api.forge.example], strategy: header, settings: { credential_field: token } }
";

const SECRET: &str = "canary-client-secret";

fn apply(home: &Home, secret: &str, args: &[&str]) -> Ended {
    let all = [&["provider", "apply"], args].concat();
    Ended::of(&home.command(all).env("TICKETS_SECRET", secret).output().unwrap())
}

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let said = format!("{}{}", ended.out, ended.err);
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    assert!(!said.contains(SECRET), "{said}");
}

fn parsed(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out))
}

/// A home with both providers' files.
fn home() -> Home {
    let home = Home::new();
    home.write("tickets.yaml", TICKETS);
    home.write("forge.yaml", FORGE);
    home
}

#[test]
fn files_are_applied_once_and_shown_before() {
    let home = home();
    let files = ["tickets.yaml", "forge.yaml"];
    says(&apply(&home, SECRET, &[&files[..], &["--dry-run"]].concat()), 0, &["+ forge: ", "+ tickets: ", "dry run"]);
    assert!(!home.path(".local").exists(), "a dry run makes nothing");
    says(&apply(&home, SECRET, &files), 2, &["+ tickets: consent by OAuth, for api.tickets.example", "say --yes"]);
    assert!(!home.path(".local").exists(), "who was not asked made nothing");
    let told = parsed(&apply(&home, SECRET, &[&files[..], &["--yes", "--json"]].concat()));
    assert_eq!((&told["applied"], told["added"].as_array().unwrap().len()), (&json!(true), 2));
    assert!(!told.to_string().contains(SECRET));
    // A second time there is nothing to do, and nobody is asked.
    says(&apply(&home, SECRET, &files), 0, &["2 providers are as their files say"]);
    says(
        &apply(&home, "another", &files),
        2,
        &["~ tickets", "client_secret: changed", "1 provider is as its file says"],
    );
    // Without --prune, what no file says stays.
    says(&apply(&home, SECRET, &["forge.yaml", "--yes"]), 0, &["1 provider is as its file says"]);
    let told = parsed(&apply(&home, SECRET, &["forge.yaml", "--prune", "--yes", "--json"]));
    assert_eq!(told["removed"], json!([{ "name": "tickets", "attention": [] }]));
    let listed = parsed(&home.run(["provider", "list", "--json"]));
    let own: Vec<&Value> = listed.as_array().unwrap().iter().filter(|one| one["source"] == "own").collect();
    assert_eq!(own.len(), 1, "{listed}");
}

#[test]
fn what_is_wrong_is_told_at_its_place_and_changes_nothing() {
    let home = home();
    home.write("literal.yaml", &TICKETS.replace("{ env: TICKETS_SECRET }", SECRET));
    home.write("plain.yaml", &TICKETS.replace("https://tickets.example/token", "http://tickets.example/token"));
    home.write(
        "call.yaml",
        &format!("{TICKETS}    revocation: {{ method: POST, url: 'https://tickets.example/r' }}\n"),
    );
    home.write("gone.yaml", &TICKETS.replace("{ env: TICKETS_SECRET }", "{ file: nowhere }"));
    for (file, code, words) in [
        ("literal.yaml", 2, &["literal.yaml:11:20: a secret is never written here"][..]),
        ("plain.yaml", 2, &["plain.yaml:9:16: it must be https"]),
        ("call.yaml", 2, &["call.yaml:3:3", "revocation", "token"]),
        ("gone.yaml", 1, &["nowhere", "the client secret of tickets"]),
        ("none.yaml", 2, &["cannot read the provider's file none.yaml"]),
    ] {
        says(&apply(&home, SECRET, &["forge.yaml", file, "--yes"]), code, words);
    }
    says(&home.run(["provider", "apply", "tickets.yaml", "--yes"]), 2, &["TICKETS_SECRET", "is not set"]);
    says(&apply(&home, "two\nlines", &["tickets.yaml", "--yes"]), 2, &["must be one line"]);
    says(&apply(&home, SECRET, &["tickets.yaml", "tickets.yaml"]), 2, &["stands at tickets.yaml:"]);
    assert!(!home.path(".local").exists(), "nothing was made");
}

#[test]
fn a_connection_of_an_applied_provider_pins_what_it_says() {
    let home = home();
    says(&apply(&home, SECRET, &["tickets.yaml", "forge.yaml", "--yes"]), 0, &["applied"]);
    let tokens = r#"{"access_token": "canary-at", "refresh_token": "canary-rt", "expires_in": "3600"}"#;
    let made = home.run_with(["connection", "add", "work", "--provider", "tickets", "--fields", "-"], tokens);
    says(&made, 0, &["connection work"]);
    says(&home.run_with(["connection", "add", "forge"], "canary-token"), 0, &["connection forge"]);
    let wrong = r#"{"access_token": "a", "expires_in": "soon"}"#;
    let refused = home.run_with(["connection", "add", "x", "--provider", "tickets", "--fields", "-"], wrong);
    says(&refused, 2, &["expires_in must be a number of seconds"]);
    let store = rusqlite::Connection::open(home.path(".local/share/nexus-sidecar/store.db")).unwrap();
    let life = |name: &str| -> (String, Option<i64>, Option<i64>) {
        let sql = "SELECT state, refresh_at - created_at, expires_at - created_at FROM connections WHERE name = ?1";
        store.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    let (state, renewed, ends) = life("work");
    assert_eq!((state.as_str(), ends), ("active", Some(3600)));
    // A fifth of the life ahead, and up to half of that earlier.
    assert!((2520..=2880).contains(&renewed.unwrap()), "{renewed:?}");
    assert_eq!(life("forge"), ("active".to_owned(), None, None));
    // What leaves endpoints and hosts alone leaves the connection alone.
    home.write("tickets.yaml", &TICKETS.replace("[read]", "[read, write]"));
    says(&apply(&home, SECRET, &["tickets.yaml", "--yes"]), 0, &[r#"scopes: ["read"] -> ["read","write"]"#, "applied"]);
    assert_eq!(life("work").0, "active");
    home.write("tickets.yaml", &TICKETS.replace("api.tickets.example", "api2.tickets.example"));
    let told = ["~ tickets", "bindings: ", "needs attention: the connection work"];
    says(&apply(&home, SECRET, &["tickets.yaml"]), 2, &told);
    assert_eq!(life("work").0, "active", "said before it is asked");
    says(&apply(&home, SECRET, &["tickets.yaml", "--yes"]), 0, &told);
    assert_eq!((life("work").0.as_str(), life("work").1, life("forge").0.as_str()), ("attention", None, "active"));
    says(&home.run(["provider", "delete", "forge"]), 2, &["needs attention: the connection forge", "say --yes"]);
    says(&home.run(["provider", "delete", "forge", "--yes"]), 0, &["provider forge: deleted"]);
    assert_eq!(life("forge").0, "attention");
    says(&home.run(["provider", "delete", "forge", "--yes"]), 1, &["there is no provider forge"]);
}

#[test]
fn a_provider_of_ones_own_stands_for_the_one_that_is_built_in() {
    let home = home();
    home.write("github.yaml", &FORGE.replace("forge", "github").replace("api.github.example", "ghe.example.com"));
    says(&apply(&home, "", &["github.yaml", "--yes"]), 0, &["+ github: ", "instead of the one that is built in"]);
    says(&home.run(["provider", "list"]), 0, &["own, instead of built in", "ghe.example.com", "built in"]);
    says(&home.run(["provider", "show", "github"]), 0, &["ghe.example.com", "version 1 of the store's own document"]);
    says(&home.run(["provider", "show", "github/read@1"]), 0, &["api.github.com"]);
    says(&home.run_with(["connection", "add", "github"], "canary-token"), 0, &["ghe.example.com"]);
    says(&home.run(["provider", "delete", "github", "--yes"]), 0, &["needs attention: the connection github"]);
    let shown = parsed(&home.run(["provider", "show", "github", "--json"]));
    assert_eq!(shown["bindings"][0]["hosts"][0], "api.github.com");
    says(&home.run(["provider", "delete", "github", "--yes"]), 1, &["is built in, and stays"]);
}

#[test]
fn a_secret_may_lie_in_a_file_beside_the_providers() {
    let home = Home::new();
    home.secret("providers/secret", &format!("{SECRET}\n"));
    home.write("providers/tickets.yaml", &TICKETS.replace("{ env: TICKETS_SECRET }", "{ file: secret }"));
    says(&home.run(["provider", "apply", "providers/tickets.yaml", "--yes"]), 0, &["applied"]);
    let shown = parsed(&home.run(["provider", "show", "tickets", "--json"]));
    assert_eq!((&shown["client_secret_set"], &shown["client_secret"]), (&json!(true), &Value::Null));
    says(&home.run(["provider", "show", "tickets"]), 0, &["client_secret", "set", "https://tickets.example/token"]);
    for entry in std::fs::read_dir(home.path(".local/share/nexus-sidecar")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    }
}
