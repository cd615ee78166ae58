//! Tokens are renewed: by one process of all that share a store, ahead of their end, and on demand.

mod fleet;

use std::fs::File;
use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use crate::left_out;
use crate::support::issuer::{Consent, Issuer, Rules};
use crate::support::process::Home;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// How many `run`s share the store.
const RUNS: usize = 5;

/// Borrows each connection again and again until it is told to stop; prints what each answer was.
const ASK: &str = r#"
    while [ ! -e "$HOME/stop" ]; do
        for name in one two three; do
            exec 3<>"/dev/tcp/127.0.0.1/${HTTPS_PROXY##*:}"
            printf 'GET http://127.0.0.1:%s/resource?of=%s&run=%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' \
                "$ISSUER" "$name" "$RUN" "$ISSUER" >&3
            read -r version status rest <&3
            echo "$status"
            exec 3>&-
        done
        sleep 0.1
    done"#;

struct Scene {
    home: Home,
    issuer: Issuer,
    consents: Vec<Consent>,
}

/// A store with a provider at an issuer of ours, and a connection of it for each name.
fn scene() -> Scene {
    let (home, issuer) = (Home::new(), Issuer::plain(Rules::default()));
    let port = issuer.address().port();
    let rule = |name: &&str| {
        format!(
            "  - {{ host: 127.0.0.1, port: {port}, path: /resource, query: {{ of: {name} }}, connection: {name}, \
             plaintext: true, networks: [127.0.0.0/8] }}\n"
        )
    };
    let rules: String = NAMES.iter().map(rule).collect();
    home.write(".config/nexus-sidecar/policy.yaml", &format!("version: 1\nrules:\n{rules}"));
    let config = "version: 1\nauthority: { networks: [127.0.0.0/8] }\n";
    home.write(".config/nexus-sidecar/nexus-sidecar.yaml", config);
    home.secret("client-secret", "client-secret\n");
    home.write("acme.yaml", &provider(&issuer));
    good(&home, &["provider", "apply", "acme.yaml", "--yes"], "");
    let consents: Vec<Consent> = NAMES.iter().map(|_| issuer.consent()).collect();
    for (name, consent) in NAMES.iter().zip(&consents) {
        let fields = json!({
            "access_token": consent.access_token, "refresh_token": consent.refresh_token, "expires_in": "3600",
        });
        good(&home, &["connection", "add", name, "--provider", "acme", "--fields", "-"], &fields.to_string());
    }
    Scene { home, issuer, consents }
}

/// The file of a provider whose client the issuer knows; its secret lies beside it.
fn provider(issuer: &Issuer) -> String {
    let token_url = issuer.url("/token");
    format!(
        "version: 1\nprovider:\n  name: acme\n  title: Acme\n  contract:\n    - {{ hosts: [127.0.0.1], strategy: oauth2 }}\n  \
         oauth:\n    auth_url: {token_url}\n    token_url: {token_url}\n    client_id: client\n    \
         client_secret: {{ file: client-secret }}\n    client_auth: basic\n    scopes: [read]\n"
    )
}

fn good(home: &Home, args: &[&str], input: &str) -> String {
    let ended = home.run_with(args.iter().copied(), input);
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.err);
    ended.out
}

impl Scene {
    /// The next refresh of every connection is due now.
    fn due(&self) {
        let store = self.home.path(".local/share/nexus-sidecar/store.db");
        let store = rusqlite::Connection::open(store).unwrap();
        store.busy_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(store.execute("UPDATE connections SET refresh_at = 1", []).unwrap(), NAMES.len());
    }

    fn start(&self, run: usize) -> Child {
        let mut command = self.home.command(["run", "--", "bash", "-c", ASK]);
        command.env("ISSUER", self.issuer.address().port().to_string()).env("RUN", run.to_string());
        command.stdout(File::create(self.home.path(&format!("out-{run}"))).unwrap());
        command.stderr(File::create(self.home.path(&format!("err-{run}"))).unwrap()).spawn().unwrap()
    }

    fn shown(&self, name: &str) -> Value {
        serde_json::from_str(&good(&self.home, &["connection", "show", name, "--json"], "")).unwrap()
    }
}

/// Tells whether each run has asked for each connection after the first `from` requests, and the last
/// time with a token that is `new`, or is not.
fn all_ask(issuer: &Issuer, consents: &[Consent], from: usize, new: bool) -> bool {
    let seen = issuer.requests_at("/resource").split_off(from);
    (0..RUNS).all(|run| {
        NAMES.iter().zip(consents).all(|(name, consent)| {
            let target = format!("/resource?of={name}&run={run}");
            let last = seen.iter().rfind(|seen| seen.target == target);
            let bearer = last.and_then(|seen| seen.headers.get("authorization")?.to_str().ok());
            bearer.is_some_and(|bearer| (bearer != format!("Bearer {}", consent.access_token)) == new)
        })
    })
}

#[test]
fn five_runs_over_one_store_make_one_refresh_of_each_connection_and_all_use_it() {
    if left_out::lacks(&["bash"]) {
        return;
    }
    let scene = scene();
    let mut runs: Vec<Child> = (0..RUNS).map(|run| scene.start(run)).collect();
    scene.issuer.wait_until("each run borrows each connection", |issuer| all_ask(issuer, &scene.consents, 0, false));
    scene.due();
    scene.issuer.wait_until("each run uses the new tokens", |issuer| all_ask(issuer, &scene.consents, 0, true));
    scene.home.write("stop", "");
    for (number, run) in runs.iter_mut().enumerate() {
        let read = |what: &str| std::fs::read_to_string(scene.home.path(&format!("{what}-{number}"))).unwrap();
        assert!(run.wait().unwrap().success(), "{}", read("err"));
        let out = read("out");
        assert!(out.lines().all(|status| status == "200"), "{out}\n{}", read("err"));
    }
    assert_eq!(scene.issuer.all_refreshes(), [1, 1, 1]);
    assert!((0..NAMES.len()).all(|family| scene.issuer.most_at_once(family) == 1));
    assert!(scene.issuer.reuses().is_empty(), "{:?}", scene.issuer.reuses());
    assert!(scene.issuer.stale_uses().is_empty(), "{:?}", scene.issuer.stale_uses());
    for name in NAMES {
        let shown = scene.shown(name);
        assert_eq!(
            (&shown["state"], &shown["version"], &shown["refresh_tries"]),
            (&json!("active"), &json!(2), &json!(0))
        );
    }
}

#[test]
fn a_refresh_is_forced_once_a_minute_and_says_what_it_came_to() {
    let scene = scene();
    let said = good(&scene.home, &["connection", "refresh", "one"], "");
    assert!(said.starts_with("connection one: refreshed, version 2, expires 20"), "{said}");
    let again = good(&scene.home, &["connection", "refresh", "one", "--json"], "");
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["refreshed"], &again["connection"]["version"]), (&json!(false), &json!(2)));
    assert_eq!(scene.issuer.all_refreshes(), [1, 0, 0]);

    scene.issuer.withdraw(scene.consents[1].family);
    let ended = scene.home.run(["connection", "refresh", "two"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("needs attention (invalid_grant)"), "{}", ended.err);
    let listed = good(&scene.home, &["connection", "list"], "");
    assert!(listed.contains("attention: invalid_grant"), "{listed}");
    assert!(good(&scene.home, &["connection", "show", "two"], "").contains("its provider refuses the refresh token"));

    let client = scene.issuer.requests_at("/token");
    assert!(
        client.iter().all(|seen| seen.headers.contains_key("authorization") && seen.field("client_secret").is_none())
    );
    let unknown = scene.home.run(["connection", "refresh", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("there is no connection nobody"), "{unknown:?}");
}
