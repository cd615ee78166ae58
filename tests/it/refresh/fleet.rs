//! Two replicas of the service over one PostgreSQL, one of them killed, the database restarted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nexus_sidecar::authority::{Authority, KeyReader, NewConnection, State, read_key};
use nexus_sidecar::config::{AuthorityConfig, KeySource, PostgresConfig, PostgresPlace, StoreConfig};
use nexus_sidecar::lease::{Ask, Borrowed};
use nexus_sidecar::model::{Binding, ConnectionName, Fields, Host, HostPattern, Secret, Strategy, Workspace};
use nexus_sidecar::telemetry::{Clock as _, SystemClock};

use crate::support::issuer::{Consent, Issuer, Rules, Turn};
use crate::support::postgres::{Server, Stop, USER};
use crate::support::process::{Home, Running};

const COUNT: usize = 1000;

/// How long their credentials live: all end together.
const LIFE: Duration = Duration::from_secs(40);

/// Refreshes of one provider that one replica has under way at most.
const OF_ONE: usize = 24;

struct Fleet {
    home: Home,
    server: Server,
    issuer: Issuer,
    config: AuthorityConfig,
}

fn fleet() -> Option<Fleet> {
    let server = Server::start()?;
    let (home, issuer) = (Home::new(), Issuer::plain(Rules::default()));
    let (folder, port) = server.place();
    let database = server.database();
    home.write(
        "c.yaml",
        &format!(
            "version: 1\nauthority:\n  listen: 127.0.0.1:0\n  networks: [127.0.0.0/8]\n  \
             store: {{ postgres: {{ host: '{}:{port}', database: {database}, user: {USER} }} }}\n",
            folder.display()
        ),
    );
    home.secret("client-secret", "client-secret\n");
    home.write("acme.yaml", &super::provider(&issuer));
    super::good(&home, &["provider", "apply", "acme.yaml", "--yes", "--config", "c.yaml"], "");
    let data_dir = home.path(".local/share/nexus-sidecar");
    let postgres = PostgresConfig {
        place: PostgresPlace::Socket(folder.to_owned(), port),
        database,
        user: USER.to_owned(),
        password: None,
        tls: false,
        ca_file: None,
        connections: 4,
    };
    let key = KeySource::File(data_dir.join("key"));
    let config =
        AuthorityConfig { data_dir, key, store: StoreConfig::Postgres(Box::new(postgres)), other_keys: vec![] };
    Some(Fleet { home, server, issuer, config })
}

impl Fleet {
    /// A handle of the test's own, which renews nothing.
    fn handle(&self) -> Authority {
        let ask = |_: &str| Err(std::io::Error::other("nobody is there"));
        let key = read_key(&self.config, &KeyReader { environment: &|_| None, ask: &ask }).unwrap();
        Authority::open(&self.config, &key, Arc::new(SystemClock)).unwrap()
    }

    fn replica(&self) -> Running {
        let replica = Running::start(self.home.command(["authority", "serve", "--config", "c.yaml"]));
        replica.says("listening");
        replica
    }

    /// How many refreshes were made, and how many are under way.
    fn so_far(&self) -> (usize, usize) {
        let under_way = (0..COUNT).map(|family| self.issuer.under_way(family)).sum();
        (self.issuer.all_refreshes().iter().sum(), under_way)
    }
}

fn name(number: usize) -> ConnectionName {
    ConnectionName::parse(&format!("c-{number}")).unwrap()
}

/// Connections that all end at the same moment.
fn connect(authority: &Authority, consents: &[Consent]) {
    let registered = authority.provider_named("acme").unwrap().unwrap();
    let end = SystemClock.wall() + LIFE;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(consent) = consents.get(number) else { return };
                    let mut fields = Fields::new();
                    fields.insert("access_token", Secret::new(consent.access_token.as_bytes()));
                    fields.insert("refresh_token", Secret::new(consent.refresh_token.as_bytes()));
                    let hosts = vec![HostPattern::parse("127.0.0.1").unwrap()];
                    let bindings = vec![Binding { hosts, strategy: Strategy::OAuth2 }];
                    let provider = Some(ConnectionName::parse("acme").unwrap());
                    let expires_at = Some(end);
                    let new =
                        NewConnection { name: name(number), provider, bindings, owned: false, fields, expires_at };
                    authority.add_of(new, Some(registered.clone())).unwrap();
                }
            });
        }
    });
}

/// Borrows one connection after the other and uses what it gets, until it is told to stop; answers how
/// often.
async fn use_them(authority: Authority, issuer: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let source = authority.source();
    let host = Host::parse("127.0.0.1").unwrap();
    let mut used = 0;
    for number in (0..COUNT).cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let ask = Ask {
            workspace: Workspace::local(),
            agent: "bot".into(),
            connection: name(number),
            host: host.clone(),
            scope: None,
            held: None,
        };
        // While the database is away, or the credentials have ended, there are none.
        let Some(loan) = source.lend(&ask).await.ok().and_then(Borrowed::loan) else { continue };
        let left = loan.expires_at.map(|end| end.duration_since(SystemClock.wall()).unwrap_or_default());
        if left.is_some_and(|left| left < Duration::from_secs(5)) {
            continue;
        }
        let token = loan.credentials.get("access_token").unwrap().expose_str().unwrap().to_owned();
        tokio::task::spawn_blocking(move || get(issuer, &token)).await.unwrap();
        used += 1;
    }
    used
}

fn get(issuer: SocketAddr, token: &str) {
    let mut stream = TcpStream::connect(issuer).unwrap();
    write!(stream, "GET /resource HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_each_renewed_once_though_a_replica_dies_and_the_database_restarts() {
    let Some(fleet) = fleet() else { return };
    let consents: Vec<Consent> = (0..COUNT).map(|_| fleet.issuer.consent_for(LIFE * 2)).collect();
    let authority = fleet.handle();
    fleet.issuer.always(Turn::Hold);
    let (one, other) = (fleet.replica(), fleet.replica());
    connect(&authority, &consents);
    let stop = Arc::new(AtomicBool::new(false));
    let user = tokio::spawn(use_them(authority.clone(), fleet.issuer.address(), Arc::clone(&stop)));

    // Both are in the middle of refreshes, and the issuer has changed nothing yet.
    fleet.issuer.until("both replicas ask", |_| fleet.so_far().1 == 2 * OF_ONE).await;
    one.signal("KILL");
    fleet.issuer.until("the calls of the one end", |_| fleet.so_far().1 <= OF_ONE).await;
    fleet.issuer.always(Turn::Plain);
    fleet.issuer.release();
    fleet.issuer.until("some are renewed", |_| fleet.so_far().0 > COUNT / 4).await;
    fleet.server.stop(Stop::Fast);
    fleet.server.run();
    fleet.issuer.until("most are renewed", |_| fleet.so_far().0 >= COUNT - OF_ONE).await;
    // What the one had claimed is free again a minute after that, and is then renewed too.
    let renewed = async {
        loop {
            let reader = authority.clone();
            let listed = tokio::task::spawn_blocking(move || reader.list()).await.unwrap();
            if listed.is_ok_and(|all| all.iter().all(|one| one.version == 2 && one.state == State::Active)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), renewed).await.expect("not all tokens were kept");
    stop.store(true, Ordering::SeqCst);
    assert!(user.await.unwrap() > 0, "nothing was lent");
    assert_eq!(fleet.issuer.all_refreshes(), vec![1; COUNT], "{}", other.log());
    assert!(fleet.issuer.reuses().is_empty() && fleet.issuer.stale_uses().is_empty());
    assert!((0..COUNT).all(|family| fleet.issuer.most_at_once(family) == 1));
}
