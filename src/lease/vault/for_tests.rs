//! A FAKE of Vault: the part of its HTTP API that is used here, after its public documentation. It
//! enforces tokens, namespaces and the ends of tokens and leases by the test's clock, and
//! writes down what it was asked. It is no Vault: no policies but allowed prefixes, no storage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::dial::for_tests::{LongBody, Served, json_answer};
use crate::model::Url;
use crate::telemetry::{Clock, TestClock};

/// The server.
pub(super) struct FakeVault {
    served: Served,
    state: Arc<Mutex<State>>,
}

/// Everything that it knows.
pub(super) struct State {
    clock: Arc<TestClock>,
    /// A status to answer every call with.
    pub(super) down: Option<u16>,
    /// The namespace that its engines are in.
    pub(super) namespace: Option<&'static str>,
    /// What may be read and written beside what every token may.
    pub(super) allowed: Vec<&'static str>,
    /// For how long a login is good, and how far it can be renewed.
    pub(super) token_ttl: u64,
    pub(super) token_max: u64,
    /// The same for dynamic secrets.
    pub(super) lease_ttl: u64,
    pub(super) lease_max: u64,
    pub(super) secrets: BTreeMap<String, Value>,
    pub(super) asked: Vec<String>,
    pub(super) tokens: BTreeMap<String, Life>,
    pub(super) leases: BTreeMap<String, (String, Life)>,
    made: u64,
}

/// By the clock since boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    end: Duration,
    last: Duration,
    renewable: bool,
}

type Answer = (u16, Value);

impl FakeVault {
    pub(super) async fn start(clock: &Arc<TestClock>) -> Self {
        let state = Arc::new(Mutex::new(State {
            clock: Arc::clone(clock),
            down: None,
            namespace: None,
            allowed: vec!["secret/", "kv/", "database/", "aws/", "sys/leases/revoke"],
            token_ttl: 3600,
            token_max: 100_000,
            lease_ttl: 3600,
            lease_max: 7200,
            secrets: BTreeMap::new(),
            asked: Vec::new(),
            tokens: BTreeMap::new(),
            leases: BTreeMap::new(),
            made: 0,
        }));
        let known = Arc::clone(&state);
        let served = Served::start(move |request| known.lock().unwrap().answer(&request)).await;
        Self { served, state }
    }

    pub(super) fn url(&self) -> Url {
        self.served.url()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What was asked since the last time that this was called.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }
}

impl State {
    /// A secret of the versioned engine at `secret/`.
    pub(super) fn put(&mut self, name: &str, version: u64, data: Value, more: Value) {
        let mut metadata = json!({"created_time": "2026-01-01T00:00:00Z", "custom_metadata": null, "deletion_time": "",
            "destroyed": false, "version": version});
        metadata.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.secrets.insert(format!("secret/data/{name}"), json!({"data": data, "metadata": metadata}));
    }

    /// A token as somebody else makes one.
    pub(super) fn token(&mut self, token: &str, ttl: u64) {
        let life = self.life(ttl, self.token_max);
        self.tokens.insert(token.to_owned(), life);
    }

    /// Ends a token, and with it every lease that was made with it.
    pub(super) fn end_token(&mut self, token: &str) {
        self.tokens.remove(token);
        self.leases.retain(|_, (of, _)| of != token);
    }

    /// The leases that are alive.
    pub(super) fn alive(&mut self) -> Vec<String> {
        self.tick();
        self.leases.keys().cloned().collect()
    }

    fn life(&self, ttl: u64, most: u64) -> Life {
        let now = self.clock.boot();
        Life { end: now + Duration::from_secs(ttl), last: now + Duration::from_secs(most), renewable: true }
    }

    fn tick(&mut self) {
        let now = self.clock.boot();
        let ended: Vec<_> =
            self.tokens.iter().filter(|(_, life)| life.end <= now).map(|(token, _)| token.clone()).collect();
        ended.iter().for_each(|token| self.end_token(token));
        self.leases.retain(|_, (_, life)| life.end > now);
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Response<LongBody> {
        self.tick();
        let path = request.uri().path().strip_prefix("/v1/").unwrap_or_default().to_owned();
        self.asked.push(format!("{} {path}", request.method()));
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let (status, answer) = match self.down {
            _ if header("x-vault-request") != Some("true") => denied(400),
            Some(status) => denied(status),
            None if header("x-vault-namespace") != self.namespace => denied(404),
            None => self.routed(&path, request.uri().query(), header("x-vault-token"), &body),
        };
        json_answer(status, &answer)
    }

    fn routed(&mut self, path: &str, query: Option<&str>, token: Option<&str>, body: &Value) -> Answer {
        match path {
            "auth/approle/login" if body["role_id"] == "role" && body["secret_id"] == "canary-id" => self.log_in(),
            "auth/approle/login" => denied(400),
            "auth/kubernetes/login" if body["role"] == "app" && body["jwt"] == "canary-jwt" => self.log_in(),
            "auth/kubernetes/login" => denied(403),
            _ if path.starts_with("auth/") && path.ends_with("/login") => denied(404),
            _ => match token.filter(|token| self.tokens.contains_key(*token)).map(str::to_owned) {
                Some(token) => self.known(path, query, &token, body),
                None => denied(403),
            },
        }
    }

    fn log_in(&mut self) -> Answer {
        self.made += 1;
        let token = format!("hvs.canary-{}", self.made);
        let life = self.life(self.token_ttl, self.token_max);
        self.tokens.insert(token.clone(), life);
        (
            200,
            json!({"auth": {"client_token": token, "accessor": "a", "policies": ["default"],
            "lease_duration": self.token_ttl, "renewable": true, "token_type": "service"}, "data": null}),
        )
    }

    fn known(&mut self, path: &str, query: Option<&str>, token: &str, body: &Value) -> Answer {
        match path {
            "auth/token/lookup-self" => {
                let left = (self.tokens[token].end - self.clock.boot()).as_secs();
                (200, json!({"data": {"ttl": left, "renewable": true, "id": token}}))
            }
            "auth/token/renew-self" => {
                let life = self.renewed(self.tokens[token], self.token_ttl);
                self.tokens.insert(token.to_owned(), life);
                let left = (life.end - self.clock.boot()).as_secs();
                (200, json!({"auth": {"client_token": token, "lease_duration": left, "renewable": true}}))
            }
            "auth/token/revoke-self" => {
                self.end_token(token);
                (204, Value::Null)
            }
            "sys/leases/renew" => self.renew(body),
            _ if !self.allowed.iter().any(|prefix| path.starts_with(prefix)) => denied(403),
            "sys/leases/revoke" => {
                self.leases.remove(body["lease_id"].as_str().unwrap_or_default());
                (204, Value::Null)
            }
            "database/creds/app" => self.lease(path, token, true, |n| {
                json!({"username": format!("v-app-{n}"), "password": format!("canary-password-{n}")})
            }),
            "aws/sts/deploy" => self.lease(path, token, false, |n| {
                json!({"access_key": format!("ASIA{n}"), "secret_key": "canary-key", "security_token": "canary-session"})
            }),
            _ => self.secret(path, query),
        }
    }

    fn secret(&self, path: &str, query: Option<&str>) -> Answer {
        let missing = (404, json!({"errors": []}));
        let Some(data) = self.secrets.get(path) else {
            let hint = json!({"errors": [], "warnings": ["Invalid path for a versioned K/V secrets engine."]});
            return if path.starts_with("secret/") && !path.starts_with("secret/data/") {
                (404, hint)
            } else {
                missing
            };
        };
        let version = query.and_then(|query| query.strip_prefix("version="));
        let own = data["metadata"]["version"].as_u64();
        if version.is_some_and(|version| own.is_some_and(|own| own.to_string() != version)) {
            return missing;
        }
        let gone = data["metadata"].is_object() && data["data"].is_null();
        let status = if gone { 404 } else { 200 };
        (
            status,
            json!({"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 2_764_800, "data": data}),
        )
    }

    fn lease(&mut self, path: &str, token: &str, renewable: bool, data: impl Fn(u64) -> Value) -> Answer {
        self.made += 1;
        let id = format!("{path}/canary-lease-{}", self.made);
        let life = Life { renewable, ..self.life(self.lease_ttl, self.lease_max) };
        self.leases.insert(id.clone(), (token.to_owned(), life));
        let data = data(self.made);
        (200, json!({"lease_id": id, "lease_duration": self.lease_ttl, "renewable": renewable, "data": data}))
    }

    fn renew(&mut self, body: &Value) -> Answer {
        let id = body["lease_id"].as_str().unwrap_or_default().to_owned();
        let Some((token, life)) = self.leases.get(&id).cloned().filter(|(_, life)| life.renewable) else {
            return denied(400);
        };
        let life = self.renewed(life, self.lease_ttl);
        self.leases.insert(id.clone(), (token, life));
        let left = (life.end - self.clock.boot()).as_secs();
        (200, json!({"lease_id": id, "lease_duration": left, "renewable": true}))
    }

    fn renewed(&self, life: Life, ttl: u64) -> Life {
        Life { end: (self.clock.boot() + Duration::from_secs(ttl)).min(life.last), ..life }
    }
}

/// What it says is quoted nowhere.
fn denied(status: u16) -> Answer {
    (status, json!({"errors": ["canary of an error"]}))
}
