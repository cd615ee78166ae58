//! A look-alike of a cloud's endpoint: it records what it is sent and answers what a test says. A
//! fake: its answers have the shapes that the vendors document, and nothing behind them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Calls;
use crate::dial::Caller;
use crate::dial::for_tests::{LONG, plain_dialer};
use crate::lease::{Ask, Fetch, Fetched, LendError};
use crate::model::{ConnectionName, Host, Scope, Url, Workspace, decode_form};
use crate::sign::verifier::Received;
use crate::telemetry::TestClock;

/// 2026-01-02T03:04:05Z, by every clock of these tests.
pub(super) const NOW: u64 = 1_767_323_045;

/// Never to be seen in an error or in what prints.
pub(super) const CANARY: &str = "c4n4ry-53cr37";

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| std::str::from_utf8(value).unwrap())
    }

    pub(super) fn bearer(&self) -> &str {
        self.header("authorization").unwrap().strip_prefix("Bearer ").unwrap()
    }

    pub(super) fn form(&self) -> BTreeMap<String, String> {
        assert_eq!(self.header("content-type"), Some("application/x-www-form-urlencoded"));
        let text = std::str::from_utf8(&self.body).unwrap();
        let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (decode_form(name).into_owned(), decode_form(value).into_owned())).collect()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As the verifier of SigV4 takes it.
    pub(super) fn received(&self) -> Received<'_> {
        Received { method: &self.method, target: &self.target, headers: self.headers.clone(), body: &self.body }
    }
}

/// An answer: status, further headers with their line ends, body.
pub(super) type Says = (u16, &'static str, String);

pub(super) fn says(status: u16, body: impl Into<String>) -> Says {
    (status, "", body.into())
}

/// A server that answers as it is told.
pub(super) struct LookAlike {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl LookAlike {
    pub(super) async fn start(answer: impl Fn(&Seen) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                let (status, headers, body) = answer(&request);
                kept.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(body.as_bytes()).await;
            }
        });
        Self { address, seen }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        Url::parse(&self.text(path)).unwrap()
    }

    pub(super) fn text(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let headers = lines.map(|line| line.split_once(": ").unwrap());
            let headers: Vec<_> =
                headers.map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec())).collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize =
                length.map_or(0, |(_, value)| String::from_utf8(value.clone()).unwrap().parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
                return Some(Seen { method, target, headers, body: bytes[end + 4..].to_vec() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Calls on loopback, at [`NOW`].
pub(super) fn calls() -> Calls {
    calls_with_clock().0
}

/// The same, with the clock that they go by.
pub(super) fn calls_with_clock() -> (Calls, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)));
    let calls = Calls::new(Caller::for_operator(plain_dialer()).within(LONG), Arc::<TestClock>::clone(&clock));
    (calls, clock)
}

pub(super) fn ask(agent: &str, scope: Option<serde_json::Value>) -> Ask {
    Ask {
        workspace: Workspace::local(),
        agent: agent.into(),
        connection: ConnectionName::parse("cloud").unwrap(),
        host: Host::parse("api.example.com").unwrap(),
        scope: scope.map(|scope| Scope::of(scope.as_object().unwrap())),
        held: None,
    }
}

pub(super) fn object(value: &serde_json::Value) -> &serde_json::Map<String, serde_json::Value> {
    value.as_object().unwrap()
}

/// A file that only its owner reads.
pub(super) fn private(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A field of what was fetched.
pub(super) fn field<'f>(fetched: &'f Fetched, name: &str) -> &'f str {
    fetched.fields.get(name).unwrap().expose_str().unwrap()
}

/// Seconds that it lives.
pub(super) fn life(fetched: &Fetched) -> u64 {
    let end = fetched.expires_at.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    end.as_secs() - NOW
}

/// What a fetch fails with, as one word and the reason; no secret is in it.
pub(super) async fn fails<F: Fetch>(fetch: &F, place: &F::Place, ask: &Ask) -> (String, String) {
    let error = fetch.fetch(place, ask).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(CANARY), "{text}");
    let why = match &error {
        LendError::Unusable { why, .. } | LendError::Unavailable { why, .. } => why.clone(),
        _ => String::new(),
    };
    (error.word().to_owned(), why)
}
