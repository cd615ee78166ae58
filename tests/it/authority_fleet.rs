//! A sidecar and the Authority together, over HTTP: what is said there happens here.

mod faults;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nexus_sidecar::authority::api::{Service, ServiceGround};
use nexus_sidecar::authority::{Authority, MasterKey, NewConnection, NewKey, Scope, Target};
use nexus_sidecar::config::{AuthorityConfig, KeySource, RemoteConfig, ServiceConfig, SourceAuth, StoreConfig};
use nexus_sidecar::model::{Binding, ConnectionName, Fields, HostPattern, Secret, Strategy, Url};
use nexus_sidecar::telemetry::{Clock as _, SystemClock};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::sidecar::Builder;
use crate::support::{Agent, Answer, ByHand, Home, Origin, Sidecar};

/// As long as a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(40);

fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).unwrap()
}

fn token(text: &str) -> Fields {
    let mut fields = Fields::new();
    fields.insert("access_token", Secret::new(text));
    fields
}

/// An Authority that serves: `bot` and whoever is anonymous may borrow `jira` and `mail`; `github`
/// is for `other` alone, whom the sidecar's key does not name.
struct Fleet {
    authority: Authority,
    address: SocketAddr,
    key: String,
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    folder: tempfile::TempDir,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, key) = (folder.path().join("data"), KeySource::File(folder.path().join("master")));
        let config = AuthorityConfig { data_dir, key, store: StoreConfig::Sqlite, other_keys: vec![] };
        let master = MasterKey::new(Secret::new([7; 32]));
        let authority = Authority::open(&config, &master, Arc::new(SystemClock)).unwrap();
        for connection in ["jira", "mail", "github"] {
            let strategy = Strategy::from_json(&json!({ "type": "oauth2" })).unwrap();
            let bindings = vec![Binding { hosts: vec![HostPattern::parse("127.0.0.1").unwrap()], strategy }];
            let fields = token(&format!("canary-{connection}"));
            let connection = name(connection);
            let new =
                NewConnection { name: connection, provider: None, bindings, owned: false, fields, expires_at: None };
            authority.add(new).unwrap();
        }
        for agent in ["bot", "anonymous", "other"] {
            authority.add_agent(agent).unwrap();
            let may = if agent == "other" { &["github"][..] } else { &["jira", "mail"] };
            may.iter().for_each(|connection| drop(authority.allow(agent, connection).unwrap()));
        }
        let agents = BTreeSet::from(["bot".to_owned(), "anonymous".to_owned()]);
        let (key, listed) = authority.add_key(of(Scope::Sidecar { agents })).unwrap();
        key.write_to(&folder.path().join("sidecar.key")).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut fleet = Self { authority, address, key: listed.id, serving: None, folder };
        fleet.serves();
        fleet
    }

    /// Serves, where it served before.
    fn serves(&mut self) {
        let config = ServiceConfig { listen: vec![self.address], ..ServiceConfig::default() };
        let ground = ServiceGround::open(&config).unwrap();
        let service = Service::new(ground, self.authority.clone(), &|_| unreachable!("there is no issuer")).unwrap();
        self.address = service.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { service.run(async { drop(stopped.await) }).await.unwrap() });
        self.serving = Some((stop, task));
    }

    async fn stops(&mut self) {
        let (stop, task) = self.serving.take().unwrap();
        drop(stop);
        task.await.unwrap();
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("sidecar.key")
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// An administrator's call.
    async fn post(&self, path: &str) -> Answer {
        let (key, _) = self.authority.add_key(of(Scope::Admin)).unwrap();
        let key = key.text().unwrap();
        let caller = Agent { proxy: self.address, trust: String::new(), credentials: None };
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nConnection: close\r\n");
        caller.raw(format!("{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes()).await
    }

    /// The records of this event.
    fn recorded(&self, event: &str) -> Vec<String> {
        let store = rusqlite::Connection::open(self.folder.path().join("data/store.db")).unwrap();
        let mut rows = store.prepare("SELECT CAST(body AS TEXT) FROM audit ORDER BY sequence").unwrap();
        let bodies = rows.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
        bodies.filter(|body| body.contains(&format!("\"{event}\""))).collect()
    }
}

fn of(scope: Scope) -> NewKey {
    NewKey { name: String::new(), scope, expires_at: None }
}

/// A sidecar of the fleet, whose agent `bot` reaches an origin that answers and one driven by hand.
struct Scene {
    fleet: Fleet,
    sidecar: Sidecar,
    origin: Origin,
    held: ByHand,
}

impl Scene {
    async fn new() -> Self {
        Self::of(Fleet::new(), |builder| builder).await
    }

    async fn of(fleet: Fleet, more: impl FnOnce(Builder) -> Builder) -> Self {
        let (origin, held) = (Origin::plain().await, ByHand::new().await);
        let rule = |port: u16, path: &str, connection: &str| {
            format!(
                "  - {{ host: 127.0.0.1, port: {port}, path: {path}, connection: {connection}, plaintext: true, \
                 networks: [127.0.0.0/8] }}\n"
            )
        };
        let of_origin = ["jira", "mail", "github"].map(|name| rule(origin.port(), &format!("/{name}"), name)).concat();
        let url = Url::parse(&fleet.url()).unwrap();
        let auth = SourceAuth { key_file: Some(fleet.key_file()), client: None };
        let remote = RemoteConfig { name: "fleet".into(), url, auth, ca_file: None };
        let builder = Sidecar::builder()
            .policy(format!("rules:\n{of_origin}{}", rule(held.port(), "/jira", "jira")))
            .agent("bot", "pw")
            .configure(move |config| {
                config.remote = Some(remote);
                config.timeouts.body = PATIENCE;
            });
        let sidecar = more(builder).start().await;
        let scene = Self { fleet, sidecar, origin, held };
        scene.stream("open").await;
        scene
    }

    async fn stream(&self, state: &str) {
        let started = Instant::now();
        while self.sidecar.status().await["sources"][0]["stream"] != state {
            assert!(started.elapsed() < PATIENCE, "the stream is not {state}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The credential that was used, or the refusal.
    async fn asks(&self, connection: &str) -> String {
        let answer = self.sidecar.agent.get_plain(&format!("http://{}/{connection}", self.origin.address)).await;
        match answer.status.as_u16() {
            200 => self.origin.received().last().unwrap().header("authorization").to_owned(),
            status => format!("{status} {}", answer.code()),
        }
    }

    /// Asks until it is so.
    async fn says(&self, connection: &str, want: &str) {
        let started = Instant::now();
        loop {
            let said = self.asks(connection).await;
            if said == want {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{connection}: {said}, not {want}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the sidecar's audit says why something was refused.
    async fn recorded(&self, why: &str) {
        let started = Instant::now();
        while !self.sidecar.audit().iter().any(|line| line.to_string().contains(why)) {
            assert!(started.elapsed() < PATIENCE, "no {why:?} in {:#?}", self.sidecar.audit());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_authority_lends_is_used_and_recorded_there() {
    let scene = Scene::new().await;
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    let lent = scene.fleet.recorded("lease.lent");
    assert!(lent.len() == 1 && lent[0].contains("\"bot\"") && lent[0].contains(&scene.fleet.key), "{lent:?}");
    assert!(!lent[0].contains("canary"), "{lent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_there_is_refused_and_closed_here() {
    let scene = Scene::new().await;
    let open = scene.held.answering(&scene.sidecar.agent, "/jira").await;
    assert_eq!(scene.fleet.post("/api/v2/connections/jira/revoke").await.status, 200);
    open.gets_cut().await;
    scene.says("jira", "410 CONNECTION_REVOKED").await;
    assert_eq!(scene.asks("mail").await, "Bearer canary-mail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_or_whatever_is_revoked_there_is_cut_off_here() {
    for target in [Target::All, Target::Agent("bot".into())] {
        let scene = Scene::new().await;
        let open = scene.held.answering(&scene.sidecar.agent, "/jira").await;
        scene.fleet.authority.revoke(&target).unwrap();
        open.gets_cut().await;
        // An agent without grants is told 404 once what its event said is not remembered any more.
        let said = scene.asks("jira").await;
        assert!(said == "410 CONNECTION_REVOKED" || said == "404 CONNECTION_NOT_FOUND", "{target:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_frozen_there_is_lent_to_nobody_until_it_thaws() {
    let fleet = Fleet::new();
    fleet.authority.freeze().unwrap();
    let scene = Scene::of(fleet, |builder| builder).await;
    assert_eq!(scene.asks("jira").await, "503 AUTHORITY_UNAVAILABLE");
    scene.recorded("the workspace is frozen").await;
    assert_eq!(scene.fleet.post("/api/v2/unfreeze").await.status, 200);
    scene.says("jira", "Bearer canary-jira").await;
    assert_eq!(scene.fleet.post("/api/v2/freeze").await.status, 200);
    scene.says("jira", "503 AUTHORITY_UNAVAILABLE").await;
    scene.fleet.authority.unfreeze().unwrap();
    scene.says("jira", "Bearer canary-jira").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_there_is_used_here() {
    let scene = Scene::new().await;
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    scene.fleet.authority.set(&name("jira"), token("canary-next"), None).unwrap();
    scene.says("jira", "Bearer canary-next").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_may_not_borrow_does_not_exist_for_it() {
    let scene = Scene::new().await;
    assert_eq!(scene.asks("github").await, "404 CONNECTION_NOT_FOUND");
    let open = scene.held.answering(&scene.sidecar.agent, "/jira").await;
    scene.fleet.authority.disallow("bot", "jira").unwrap();
    open.gets_cut().await;
    scene.says("jira", "404 CONNECTION_NOT_FOUND").await;
    scene.fleet.authority.allow("bot", "jira").unwrap();
    scene.says("jira", "Bearer canary-jira").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_stopped_leaves_what_was_lent_until_its_end() {
    let mut scene = Scene::of(Fleet::new(), |builder| builder.at(SystemClock.wall())).await;
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    scene.fleet.stops().await;
    scene.stream("cut off").await;
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    assert_eq!(scene.asks("mail").await, "503 AUTHORITY_UNAVAILABLE");
    scene.sidecar.advance(Duration::from_secs(601));
    assert_eq!(scene.asks("jira").await, "503 AUTHORITY_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_while_nobody_heard_is_noticed_afterwards() {
    let mut scene = Scene::new().await;
    let open = scene.held.answering(&scene.sidecar.agent, "/jira").await;
    assert_eq!(scene.asks("mail").await, "Bearer canary-mail");
    scene.fleet.stops().await;
    scene.stream("cut off").await;
    scene.fleet.authority.revoke(&Target::Connection("jira".into())).unwrap();
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    scene.fleet.serves();
    scene.says("jira", "410 CONNECTION_REVOKED").await;
    open.gets_cut().await;
    scene.says("mail", "Bearer canary-mail").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_revoked_gets_nothing_new() {
    let scene = Scene::new().await;
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    scene.fleet.authority.revoke_key(&scene.fleet.key).unwrap();
    scene.stream("cut off").await;
    assert_eq!(scene.asks("jira").await, "Bearer canary-jira");
    assert_eq!(scene.asks("mail").await, "503 AUTHORITY_UNAVAILABLE");
    scene.recorded("KEY_REVOKED: the key in auth.bearer_file is no longer good").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_set_there_holds_here() {
    let (fleet, origin, home) = (Fleet::new(), Origin::plain().await, Home::new());
    let rules =
        |action: &str| format!("version: 1\nrules:\n  - {{ host: 127.0.0.1, port: {}, {action} }}\n", origin.port());
    fleet.authority.set_policy(&rules("connection: jira, plaintext: true, networks: [127.0.0.0/8]"), None).unwrap();
    let auth = format!("auth: {{ bearer_file: '{}' }}", fleet.key_file().display());
    home.write(
        "nexus-sidecar.yaml",
        &format!(
            "version: 1\nlisten: {{ proxy: '127.0.0.1:0', admin: '127.0.0.1:0' }}\nanonymous: allow\npolicy: [authority]\n\
             sources: {{ fleet: {{ url: '{}', dialect: nexus, {auth} }} }}\n",
            fleet.url()
        ),
    );
    let mut proxy = home.serve();
    let url = format!("http://{}/", origin.address);
    assert_eq!(proxy.agent.get_plain(&url).await.status, 200);
    assert_eq!(origin.only().header("authorization"), "Bearer canary-jira");
    proxy.says("the stream of events is open");
    assert!(fleet.authority.set_policy("version: 1\nrules: 7\n", None).is_err());
    fleet.authority.set_policy(&rules("action: deny"), None).unwrap();
    proxy.says("policy was taken number=2 policy=2:");
    assert_eq!(proxy.agent.get_plain(&url).await.code(), "POLICY_DENIED");
    fleet.authority.revoke_key(&fleet.key).unwrap();
    proxy.says("the key in auth.bearer_file is no longer good");
    proxy.signal("TERM");
    assert_eq!(proxy.ended(), Some(0));
    let audit = home.run(["audit", "query", "--json"]).out;
    assert!(audit.contains("\"policy\":\"1:") && audit.contains("\"policy\":\"2:"), "{audit}");
}
