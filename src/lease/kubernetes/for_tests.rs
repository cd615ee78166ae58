//! A FAKE of an API server: Secrets, watches and tokens in the shapes that its documentation has. It
//! checks the caller's token and what is asked for, and writes down what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::dial::for_tests::{LongBody, Served, json_answer, piped};
use crate::model::Url;

/// The server.
pub(super) struct FakeCluster {
    served: Served,
    state: Arc<Mutex<State>>,
}

/// Everything that it knows, in the namespace `apps`.
#[derive(Default)]
pub(super) struct State {
    /// A status to answer every call with.
    pub(super) down: Option<u16>,
    /// Watches from before this version are refused.
    pub(super) forgotten: u64,
    /// Answers such a watch within its stream, and not by a status.
    pub(super) late: bool,
    pub(super) asked: Vec<String>,
    secrets: BTreeMap<String, (Value, u64)>,
    watchers: Vec<UnboundedSender<Bytes>>,
    version: u64,
    made: u64,
}

impl FakeCluster {
    pub(super) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State { version: 100, ..State::default() }));
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

    /// Waits until somebody watches.
    pub(super) async fn is_watched(&self) {
        while self.state().watching() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

impl State {
    /// Writes a Secret; the data as an API server has it, in base64.
    pub(super) fn put(&mut self, name: &str, data: Value) {
        self.version += 1;
        let kind = if self.secrets.contains_key(name) { "MODIFIED" } else { "ADDED" };
        self.secrets.insert(name.to_owned(), (data, self.version));
        self.tell(kind, name);
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.version += 1;
        self.secrets.remove(name);
        self.tell("DELETED", name);
    }

    /// Sends an event as it is.
    pub(super) fn say(&mut self, text: &str) {
        self.watchers.retain(|watcher| watcher.send(Bytes::from(text.to_owned())).is_ok());
    }

    /// Ends every watch.
    pub(super) fn hang_up(&mut self) {
        self.watchers.clear();
    }

    pub(super) fn watching(&mut self) -> usize {
        self.watchers.retain(|watcher| !watcher.is_closed());
        self.watchers.len()
    }

    fn tell(&mut self, kind: &str, name: &str) {
        let metadata = json!({"name": name, "namespace": "apps", "resourceVersion": self.version.to_string()});
        let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
        self.say(&format!("{}\n", json!({"type": kind, "object": object})));
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Response<LongBody> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        self.asked.push(format!("{} {}", request.method(), request.uri()));
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if header("authorization") != "Bearer canary-pod" {
            return refused(401);
        }
        if let Some(status) = self.down {
            return refused(status);
        }
        let metadata_alone = header("accept").contains("as=PartialObjectMetadata");
        let below = path.strip_prefix("/api/v1/namespaces/apps/").unwrap_or_default();
        match below.split('/').collect::<Vec<_>>()[..] {
            ["secrets"] if metadata_alone && query.contains("watch=1") => self.watch(&query),
            ["secrets"] if metadata_alone => json_answer(
                200,
                &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": self.version.to_string()}, "items": []}),
            ),
            ["secrets", name] if self.secrets.contains_key(name) => {
                let (data, version) = &self.secrets[name];
                let metadata = json!({"name": name, "namespace": "apps", "resourceVersion": version.to_string()});
                json_answer(
                    200,
                    &json!({"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": data, "type": "Opaque"}),
                )
            }
            ["serviceaccounts", "bot", "token"] => self.token(&serde_json::from_slice(request.body()).unwrap()),
            _ => refused(404),
        }
    }

    fn watch(&mut self, query: &str) -> Response<LongBody> {
        let version = query.split('&').find_map(|part| part.strip_prefix("resourceVersion=")).unwrap();
        let gone = version.parse::<u64>().unwrap() < self.forgotten;
        if gone && !self.late {
            return refused(410);
        }
        let (sender, body) = piped();
        if gone {
            let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "canary"});
            sender.send(Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status})))).unwrap();
        } else {
            self.watchers.push(sender);
        }
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    }

    fn token(&mut self, body: &Value) -> Response<LongBody> {
        assert_eq!((&body["kind"], &body["spec"]["audiences"]), (&json!("TokenRequest"), &json!(["api"])));
        assert_eq!(body["spec"]["expirationSeconds"], 1200);
        self.made += 1;
        let status =
            json!({"token": format!("canary-token-{}", self.made), "expirationTimestamp": "2027-01-15T08:20:00Z"});
        json_answer(201, &json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "status": status}))
    }
}

/// What it says is quoted nowhere.
fn refused(status: u16) -> Response<LongBody> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "canary", "code": status});
    json_answer(status, &body)
}
