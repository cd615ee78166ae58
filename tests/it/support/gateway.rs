//! A FAKE of the reference's Gateway and Broker: their documented answers over one table of
//! connections, and of the issuer behind them as much as refreshes need. It keeps the reference's
//! faults that a client meets: two refreshes at once cost the connection, nothing is renewed by
//! itself, and refresh tokens are handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nexus_sidecar::config::{
    ClientFiles, Config, ConnectionAt, ConnectionConfig, Dialect, GatewayConfig, GatewayConnection, GatewayContract,
    SourceAuth, SourceConfig, SourceKind,
};
use nexus_sidecar::model::{ConnectionName, Host, HostPattern, Url};
use nexus_sidecar::telemetry::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::pki::Pki;

/// One question, and what was shown with it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub what: String,
    pub authorization: Option<String>,
    pub api_key: Option<String>,
    pub certificate: bool,
}

/// A connection as it is kept there.
#[derive(Clone)]
pub struct Kept {
    /// `active`, `pending`, `attention`.
    pub state: &'static str,
    /// What the payload says; OAuth where it is null.
    pub strategy: Value,
    /// The credentials, without what is computed.
    pub stored: Value,
    /// When they were issued.
    pub issued: SystemTime,
    /// What is answered to a refresh instead of renewing.
    pub refresh: Option<(u16, String)>,
    /// What is answered instead of the token.
    pub instead: Option<(u16, String)>,
    /// Whether times are written with an offset.
    pub offset: bool,
}

impl Kept {
    /// OAuth, issued so long ago for an hour, with a refresh token that rotates.
    pub fn oauth(token: &str, age: Duration) -> Self {
        let refresh = format!("{token}.refresh");
        let stored = json!({
            "access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": "read",
            "refresh_token": refresh, "id_token": format!("{token}.id"),
        });
        Self { issued: SystemClock.wall() - age, ..Self::fixed(Value::Null, stored) }
    }

    /// Static credentials.
    pub fn fixed(strategy: Value, stored: Value) -> Self {
        let issued = SystemClock.wall();
        Self { state: "active", strategy, stored, issued, refresh: None, instead: None, offset: false }
    }

    /// What `GET token` of the Broker says.
    fn payload(&self) -> Value {
        let mut credentials = self.stored.clone();
        if let Some(life) = self.stored["expires_in"].as_u64() {
            let ends = self.issued + Duration::from_secs(life);
            let mut moment = OffsetDateTime::from(ends).replace_nanosecond(0).unwrap();
            if self.offset {
                moment = moment.to_offset(time::UtcOffset::from_hms(5, 30, 0).unwrap());
            }
            credentials["expires_at"] = json!(moment.format(&Rfc3339).unwrap());
            credentials["expired"] = json!(ends <= SystemClock.wall());
        }
        if !self.strategy.is_null() {
            return json!({ "strategy": self.strategy, "credentials": credentials });
        }
        let mut payload = credentials.clone();
        payload["strategy"] = json!({ "type": "oauth2" });
        payload["credentials"] = credentials;
        payload
    }
}

/// What stays at the top of an answer that goes through the Gateway.
fn narrowed(payload: &Value) -> Value {
    const STAY: [&str; 7] =
        ["access_token", "token_type", "refresh_token", "id_token", "expiry", "strategy", "credentials"];
    let Value::Object(all) = payload else { return payload.clone() };
    let stay = all.iter().filter(|(name, value)| STAY.contains(&name.as_str()) && !value.is_null());
    Value::Object(stay.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[derive(Default)]
struct State {
    connections: BTreeMap<String, Kept>,
    /// The issuer's: refresh tokens that were used.
    spent: BTreeSet<String>,
    asked: Vec<Asked>,
    gate: Option<Arc<Semaphore>>,
}

/// One of the two, on a port of its own; dropping it stops it.
pub struct FakeGateway {
    pub address: SocketAddr,
    dialect: Dialect,
    secure: bool,
    folder: TempDir,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeGateway {
    /// In cleartext.
    pub async fn plain(dialect: Dialect) -> Self {
        Self::on(dialect, None).await
    }

    /// Over TLS for `gw.test`; with `clients`, no other certificate's owner gets in.
    pub async fn tls(dialect: Dialect, pki: &Pki, clients: Option<&Pki>) -> Self {
        let config = match clients {
            None => pki.server(&["gw.test"], &[b"http/1.1"]),
            Some(clients) => pki.server_for(&["gw.test"], clients),
        };
        Self::on(dialect, Some(TlsAcceptor::from(config))).await
    }

    async fn on(dialect: Dialect, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let (served, secure) = (Arc::clone(&state), tls.is_some());
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&served), tls.clone());
                tasks.spawn(async move {
                    match tls {
                        None => serve(stream, state, dialect, false).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let shown = stream.get_ref().1.peer_certificates().is_some();
                            serve(stream, state, dialect, shown).await;
                        }
                    }
                });
            }
        });
        Self { address, dialect, secure, folder: TempDir::new().unwrap(), state, task }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Keeps a connection under this id.
    pub fn keeps(&self, id: &str, kept: Kept) {
        self.state().connections.insert(id.to_owned(), kept);
    }

    /// Changes one.
    pub fn changes(&self, id: &str, change: impl FnOnce(&mut Kept)) {
        change(self.state().connections.get_mut(id).unwrap());
    }

    /// In which state one is now.
    pub fn finds(&self, id: &str) -> &'static str {
        self.state().connections[id].state
    }

    /// Holds every refresh between the issuer's reading and its answer, until permits are added.
    pub fn holds_refreshes(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// Everything that was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How often something with these words was asked.
    pub fn count(&self, words: &str) -> usize {
        self.asked().iter().filter(|asked| asked.what.contains(words)).count()
    }

    /// Waits until it was.
    pub async fn is_asked(&self, words: &str, times: usize) {
        for _ in 0..1000 {
            if self.count(words) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{words} x {times}: {:#?}", self.asked());
    }

    /// A file of the sidecar's, for its eyes alone.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let (path, next) = (self.folder.path().join(name), self.folder.path().join("next"));
        std::fs::write(&next, text).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(next, &path).unwrap();
        path
    }

    /// Files of a client's certificate that this authority signed.
    pub fn certificate(&self, clients: &Pki) -> ClientFiles {
        let (cert, key) = clients.client("sidecar.test");
        ClientFiles { cert_file: self.file("client.crt", &cert), key_file: self.file("client.key", &key) }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        match self.secure {
            true => format!("https://gw.test:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// Makes it the only source of a configuration, with these connections (name and id) bound to
    /// `127.0.0.1`.
    pub fn source(
        &self,
        auth: SourceAuth,
        ca_file: Option<PathBuf>,
        ids: &[(&str, &str)],
    ) -> impl FnOnce(&mut Config) + use<> {
        let url = Url::parse(&self.url()).unwrap();
        let gateway = GatewayConfig { name: "g".into(), url, dialect: self.dialect, auth, ca_file };
        let at = |id: &str| {
            let hosts = vec![HostPattern::parse("127.0.0.1").unwrap()];
            let contract = GatewayContract::OfSource { hosts, owned: false };
            ConnectionAt::Gateway(GatewayConnection { id: id.to_owned(), contract })
        };
        let connections: Vec<_> = ids
            .iter()
            .map(|(name, id)| {
                (ConnectionName::parse(name).unwrap(), ConnectionConfig { source: "g".into(), at: at(id) })
            })
            .collect();
        move |config| {
            config.sources = vec![SourceConfig { name: "g".into(), kind: SourceKind::Gateway(gateway) }];
            config.upstream.hosts.insert(Host::parse("gw.test").unwrap(), "127.0.0.1".parse().unwrap());
            config.connections.extend(connections);
        }
    }
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(stream: S, state: Arc<Mutex<State>>, dialect: Dialect, certificate: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
            let what = format!("{} {}", request.method(), request.uri().path());
            state.lock().unwrap().asked.push(Asked {
                what: what.clone(),
                authorization: header("authorization").map(str::to_owned),
                api_key: header("x-api-key").map(str::to_owned),
                certificate,
            });
            let (status, body) = answer(&state, dialect, &what).await;
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(state: &Mutex<State>, dialect: Dialect, what: &str) -> (u16, String) {
    if what == "GET /health" {
        return (200, r#"{"status":"healthy"}"#.to_owned());
    }
    let of_broker = match (dialect, what.split_once(' ').unwrap_or_default()) {
        (Dialect::Broker, ("GET", path)) => {
            path.strip_prefix("/connections/").and_then(|path| path.strip_suffix("/token")).map(|id| token(state, id))
        }
        (Dialect::Broker, (_, path)) => {
            let id = path.strip_prefix("/connections/").and_then(|path| path.strip_suffix("/refresh"));
            match id {
                Some(id) => Some(refresh(state, id).await),
                None => None,
            }
        }
        (_, ("GET", path)) => path.strip_prefix("/v1/token/").map(|id| token(state, id)),
        (_, (_, path)) => match path.strip_prefix("/v1/refresh/") {
            Some(id) => Some(refresh(state, id).await),
            None => None,
        },
    };
    let Some((status, body)) = of_broker else { return (404, "404 page not found".to_owned()) };
    match (dialect, status) {
        (Dialect::Broker, _) => (status, body),
        (_, 200) => match serde_json::from_str::<Value>(&body) {
            Ok(payload) => (200, narrowed(&payload).to_string()),
            Err(_) => (200, body),
        },
        // Whatever the Broker said of it.
        _ => (status, String::new()),
    }
}

fn flat(status: u16, code: &str) -> (u16, String) {
    (status, json!({ "error": code, "message": "m" }).to_string())
}

fn token(state: &Mutex<State>, id: &str) -> (u16, String) {
    let state = state.lock().unwrap();
    let Some(kept) = state.connections.get(id) else { return flat(404, "connection_not_found") };
    match (&kept.instead, kept.state) {
        (Some(instead), _) => instead.clone(),
        (None, "active") => (200, kept.payload().to_string()),
        (None, "attention") => flat(409, "attention_required"),
        (None, _) => flat(403, "connection_not_active"),
    }
}

async fn refresh(state: &Mutex<State>, id: &str) -> (u16, String) {
    let (shown, gate) = {
        let state = state.lock().unwrap();
        let Some(kept) = state.connections.get(id).filter(|kept| kept.state == "active") else {
            return flat(404, "connection_not_found");
        };
        if let Some(instead) = &kept.refresh {
            return instead.clone();
        }
        if !kept.strategy.is_null() {
            return flat(400, "static_token");
        }
        let Some(shown) = kept.stored["refresh_token"].as_str() else { return flat(400, "no_refresh_token") };
        (shown.to_owned(), state.gate.clone())
    };
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    let mut state = state.lock().unwrap();
    let number = state.spent.len() + 1;
    let is_new = state.spent.insert(shown);
    let kept = state.connections.get_mut(id).unwrap();
    if !is_new {
        kept.state = "attention";
        return flat(409, "attention_required");
    }
    let token = format!("{}+{number}", kept.stored["access_token"].as_str().unwrap());
    *kept = Kept { offset: kept.offset, ..Kept::oauth(&token, Duration::ZERO) };
    (200, kept.stored.to_string())
}
