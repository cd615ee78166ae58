//! An OAuth issuer of the tests' own: a real HTTP server on loopback, on a thread and a runtime of its
//! own, so that whatever a test does to its processes or its runtime, the issuer goes on.
//!
//! It knows nothing of the sidecar and needs nothing else of the harness: a benchmark or a unit test
//! may include this folder by its path. What it serves:
//!
//! | call | what it does |
//! |---|---|
//! | `POST /token` | `grant_type=refresh_token`: new tokens of the same family |
//! | `POST /revoke` | RFC 7009: a refresh token takes its family along, an access token goes alone |
//! | `GET /resource` | 200 for an access token that is alive; each use of one that is not is counted |
//! | `GET /userinfo` | the same, and says whose it is |
//!
//! A *family* is what one consent gave: its refresh tokens follow one another, and a refresh token
//! that was replaced and comes again is a *reuse*, which ends the family as RFC 9700 advises.
//!
//! ```ignore
//! let issuer = Issuer::plain(Rules { lifetime: Duration::from_secs(60), ..Rules::default() });
//! let consent = issuer.consent();                      // consent.refresh_token, consent.access_token
//! issuer.next(Turn::fail(503, "retry-after: 1\r\n", ""));   // for the next refresh, whosever it is
//! // … the Authority refreshes at issuer.url("/token") …
//! issuer.until("one refresh", |issuer| issuer.refreshes(consent.family) == 1).await;
//! assert!(issuer.reuses().is_empty() && issuer.stale_uses().is_empty());
//! ```

mod serve;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::{oneshot, watch};

/// How long a test waits for something that is about to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an issuer works when nothing else is said.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long an access token is good; what is told is its whole seconds.
    pub lifetime: Duration,
    /// Whether each refresh gives a new refresh token, and ends the old one.
    pub rotates: bool,
    /// The client that may ask, by Basic or in the body.
    pub client_id: String,
    /// Its secret; none for a public client.
    pub client_secret: Option<String>,
    /// Stands in every token, for a search through logs.
    pub mark: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3600),
            rotates: true,
            client_id: "client".to_owned(),
            client_secret: Some("client-secret".to_owned()),
            mark: "tok".to_owned(),
        }
    }
}

/// What one consent gave. Its number is good for [`Issuer::refreshes`] and its kin.
#[derive(Clone, Debug)]
pub struct Consent {
    pub family: usize,
    pub access_token: String,
    pub refresh_token: String,
    /// The access token's end.
    pub ends: Instant,
}

/// How one call of the token endpoint goes.
#[derive(Clone, Debug)]
pub enum Turn {
    /// As the rules say.
    Plain,
    /// This answer instead; nothing changes.
    Fail { status: u16, headers: String, body: String },
    /// As the rules say, after this long.
    Delay(Duration),
    /// Waits for [`Issuer::release`] before anything changes, then as the rules say.
    Hold,
    /// Changes what the rules say, then waits for [`Issuer::release`] before it tells.
    HoldAnswer,
    /// No answer ever, and nothing changes.
    Hang,
    /// Changes what the rules say, then closes the connection without an answer.
    Lose,
    /// New access token, and not a word of a refresh token: the old one stays good.
    NoRefreshToken,
    /// 200 with something that is no JSON; nothing changes.
    Garbage,
}

impl Turn {
    /// An answer of the test's own; each header with its line end, as in `"retry-after: 1\r\n"`.
    pub fn fail(status: u16, headers: &str, body: &str) -> Self {
        Self::Fail { status, headers: headers.to_owned(), body: body.to_owned() }
    }

    /// `error` as RFC 6749 writes it.
    pub fn error(status: u16, code: &str) -> Self {
        Self::fail(status, "content-type: application/json\r\n", &format!(r#"{{"error":"{code}"}}"#))
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    /// The form, decoded, in its order.
    pub form: Vec<(String, String)>,
    pub body: Bytes,
}

impl Seen {
    /// A field of the form that stands there once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = found.next();
        assert!(found.next().is_none(), "{name} stands twice in {:?}", self.form);
        first
    }
}

/// A use of an access token that was not good.
#[derive(Clone, Debug)]
pub struct Stale {
    pub family: usize,
    /// How long ago it had ended.
    pub late: Duration,
    /// It was revoked; else it had expired.
    pub revoked: bool,
}

/// The server; dropping it stops it and closes its connections.
pub struct Issuer {
    address: SocketAddr,
    secure: bool,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    rules: Rules,
    state: Mutex<State>,
    moved: watch::Sender<u64>,
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    families: Vec<FamilyState>,
    /// Refresh token -> family, and access token -> family with its end; nothing is forgotten.
    refresh: BTreeMap<String, usize>,
    access: BTreeMap<String, Access>,
    always: Option<Turn>,
    next: VecDeque<Turn>,
    next_of: BTreeMap<usize, VecDeque<Turn>>,
    seen: Vec<Seen>,
    reuses: Vec<usize>,
    stale: Vec<Stale>,
    made: u64,
}

struct FamilyState {
    refresh_token: String,
    refreshes: usize,
    under_way: usize,
    most_at_once: usize,
    ended: Option<Instant>,
}

struct Access {
    family: usize,
    ends: Instant,
    revoked: Option<Instant>,
}

impl Issuer {
    /// Over plain HTTP.
    pub fn plain(rules: Rules) -> Self {
        Self::start(rules, None)
    }

    /// Over TLS; the configuration offers `http/1.1`, as `Pki::server(&[name], &[b"http/1.1"])` does.
    pub fn tls(rules: Rules, config: Arc<rustls::ServerConfig>) -> Self {
        Self::start(rules, Some(config))
    }

    fn start(rules: Rules, config: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, secure) = (listener.local_addr().unwrap(), config.is_some());
        let (moved, released) = (watch::Sender::new(0), watch::Sender::new(0));
        let shared = Arc::new(Shared { rules, state: Mutex::default(), moved, released });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("issuer".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! { () = serve::accept(listener, config, serving) => {}, _ = stopped => {} }
            });
        });
        Self { address, secure, shared, stop: Some(stop), thread: Some(thread.unwrap()) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An address of it, such as `/token`, by its number; [`Issuer::url_as`] for a name.
    pub fn url(&self, path: &str) -> String {
        self.url_as("127.0.0.1", path)
    }

    /// An address of it by a name that the client knows as 127.0.0.1.
    pub fn url_as(&self, host: &str, path: &str) -> String {
        format!("http{}://{host}:{}{path}", if self.secure { "s" } else { "" }, self.address.port())
    }

    /// A person consents: the first tokens of a new family, good as long as the rules say.
    pub fn consent(&self) -> Consent {
        self.consent_for(self.shared.rules.lifetime)
    }

    /// The same with an access token that ends after this long.
    pub fn consent_for(&self, lifetime: Duration) -> Consent {
        let mut state = self.shared.lock();
        let family = state.families.len();
        let refresh_token = state.make("rt", &self.shared.rules);
        state.families.push(FamilyState {
            refresh_token: refresh_token.clone(),
            refreshes: 0,
            under_way: 0,
            most_at_once: 0,
            ended: None,
        });
        state.refresh.insert(refresh_token.clone(), family);
        let (access_token, ends) = state.access_for(family, lifetime, &self.shared.rules);
        Consent { family, access_token, refresh_token, ends }
    }

    /// How every call of the token endpoint goes from now on.
    pub fn always(&self, turn: Turn) {
        self.shared.lock().always = Some(turn);
    }

    /// How the next call of the token endpoint goes; several are taken in their order.
    pub fn next(&self, turn: Turn) {
        self.shared.lock().next.push_back(turn);
    }

    /// How the next call for one family goes; it comes before [`Issuer::next`].
    pub fn next_of(&self, family: usize, turn: Turn) {
        self.shared.lock().next_of.entry(family).or_default().push_back(turn);
    }

    /// Lets go all that is held now ([`Turn::Hold`], [`Turn::HoldAnswer`]).
    pub fn release(&self) {
        self.shared.released.send_modify(|number| *number += 1);
    }

    /// The user ends a consent at the issuer: its refresh token is `invalid_grant` from now on.
    pub fn withdraw(&self, family: usize) {
        self.shared.lock().end(family);
        self.shared.announce();
    }

    /// How often new tokens were made for a family after its first ones.
    pub fn refreshes(&self, family: usize) -> usize {
        self.shared.lock().families[family].refreshes
    }

    /// The same for all families, by their number.
    pub fn all_refreshes(&self) -> Vec<usize> {
        self.shared.lock().families.iter().map(|family| family.refreshes).collect()
    }

    /// The most token calls of one family that were under way at the same time.
    pub fn most_at_once(&self, family: usize) -> usize {
        self.shared.lock().families[family].most_at_once
    }

    /// The token calls of a family that are under way, held ones too.
    pub fn under_way(&self, family: usize) -> usize {
        self.shared.lock().families[family].under_way
    }

    /// The families of which a replaced refresh token came again, once for each time.
    pub fn reuses(&self) -> Vec<usize> {
        self.shared.lock().reuses.clone()
    }

    /// Every use of an access token that had expired or was revoked.
    pub fn stale_uses(&self) -> Vec<Stale> {
        self.shared.lock().stale.clone()
    }

    /// Whether a family is over: revoked, withdrawn, or ended by a reuse.
    pub fn is_over(&self, family: usize) -> bool {
        self.shared.lock().families[family].ended.is_some()
    }

    /// The refresh token that is good now.
    pub fn refresh_token(&self, family: usize) -> String {
        self.shared.lock().families[family].refresh_token.clone()
    }

    /// The family of an access token, whether or not it is still good.
    pub fn family_of(&self, access_token: &str) -> Option<usize> {
        self.shared.lock().access.get(access_token).map(|access| access.family)
    }

    /// Everything that arrived so far, at every address.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// What arrived at one address, such as `/token`.
    pub fn requests_at(&self, path: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.target.split('?').next() == Some(path)).collect()
    }

    /// Waits until something holds, for a minute at most.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut moved = self.shared.moved.subscribe();
        let waiting = async {
            while !holds(self) {
                moved.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("the issuer waits for: {what}"));
    }

    /// The same on a thread that may block.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.until(what, holds));
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the issuer panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.moved.send_modify(|number| *number += 1);
    }
}

impl State {
    fn make(&mut self, kind: &str, rules: &Rules) -> String {
        use std::hash::{BuildHasher, RandomState};
        self.made += 1;
        format!("{kind}-{}-{}-{:016x}", rules.mark, self.made, RandomState::new().hash_one(self.made))
    }

    fn access_for(&mut self, family: usize, lifetime: Duration, rules: &Rules) -> (String, Instant) {
        let (token, ends) = (self.make("at", rules), Instant::now() + lifetime);
        self.access.insert(token.clone(), Access { family, ends, revoked: None });
        (token, ends)
    }

    fn end(&mut self, family: usize) {
        let now = Instant::now();
        self.families[family].ended.get_or_insert(now);
        for access in self.access.values_mut().filter(|access| access.family == family) {
            access.revoked.get_or_insert(now);
        }
    }

    fn turn(&mut self, family: Option<usize>) -> Turn {
        let own = family.and_then(|family| self.next_of.get_mut(&family)?.pop_front());
        own.or_else(|| self.next.pop_front()).or_else(|| self.always.clone()).unwrap_or(Turn::Plain)
    }
}
