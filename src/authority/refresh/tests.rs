use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::sync::{Notify, watch};

use super::issuer::Busy;
use super::*;
use crate::authority::connections::time;
use crate::authority::for_tests::{Fixture, START, bearer, fields, name};
use crate::authority::oauth2::{self, RevokeError, TokenHint, Tokens};
use crate::authority::providers::Profile;
use crate::authority::rows::State;
use crate::authority::{Actor, Authority, NewConnection};
use crate::model::Fields;

mod error;
mod fleet;
mod forced;
mod once;

/// An issuer that does as it is told, and by default gives tokens.
#[derive(Default)]
struct Script {
    does: Mutex<VecDeque<Does>>,
    /// The refresh tokens that it was shown.
    asked: Mutex<Vec<String>>,
    revoked: Mutex<Vec<String>>,
    /// It hangs for refresh tokens that begin so.
    stuck: Option<&'static str>,
    begun: Notify,
    let_go: Notify,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

enum Does {
    /// An access token, perhaps a refresh token and a life.
    Give(&'static str, Option<&'static str>, Option<u64>),
    Fail(oauth2::RefreshError),
    /// Says nothing until it is let go.
    Wait(Box<Does>),
    Hang,
}

impl Script {
    fn new(does: impl IntoIterator<Item = Does>) -> Arc<Self> {
        Arc::new(Self { does: Mutex::new(does.into_iter().collect()), ..Self::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn revoked(&self) -> Vec<String> {
        self.revoked.lock().unwrap().clone()
    }

    async fn answer(&self) -> Result<Tokens, oauth2::RefreshError> {
        let mut does = self.does.lock().unwrap().pop_front().unwrap_or(Does::Give("at-next", None, Some(3600)));
        loop {
            match does {
                Does::Give(access, refresh, life) => return Ok(tokens(access, refresh, life)),
                Does::Fail(error) => return Err(error),
                Does::Wait(then) => {
                    self.let_go.notified().await;
                    does = *then;
                }
                Does::Hang => std::future::pending().await,
            }
        }
    }
}

fn tokens(access: &str, refresh: Option<&str>, life: Option<u64>) -> Tokens {
    Tokens {
        access_token: Secret::new(access),
        refresh_token: refresh.map(Secret::new),
        token_type: Some("Bearer".to_owned()),
        scope: None,
        expires_in: life.map(Duration::from_secs),
        expires_at: life.map(|life| time(START) + Duration::from_secs(life)),
    }
}

impl Issuer for Script {
    fn refresh<'a>(&'a self, _: &'a TokenEndpoint, token: &'a Secret) -> Busy<'a, Tokens, oauth2::RefreshError> {
        let token = token.expose_str().unwrap().to_owned();
        let stuck = self.stuck.is_some_and(|stuck| token.starts_with(stuck));
        self.asked.lock().unwrap().push(token);
        Box::pin(async move {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.begun.notify_one();
            let answer = if stuck { std::future::pending().await } else { self.answer().await };
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }

    fn revoke<'a>(&'a self, _: &'a TokenEndpoint, token: &'a Secret, _: TokenHint) -> Busy<'a, (), RevokeError> {
        self.revoked.lock().unwrap().push(token.expose_str().unwrap().to_owned());
        Box::pin(async { Ok(()) })
    }
}

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A connection `c` that ends in an hour, with an access token `at` and a refresh token `r`.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    renewable(&fixture, "c", "acme");
    fixture
}

/// Makes a connection of a provider that ends in an hour.
fn renewable(fixture: &Fixture, named: &str, provider: &str) {
    let profile = json!({
        "name": provider, "client_id": "nexus", "client_secret": "hunter2", "scopes": ["read"],
        "auth_url": "https://acme.example/authorize", "token_url": "https://acme.example/token",
    });
    let registered = match fixture.authority.provider_named(provider).unwrap() {
        Some(registered) => registered,
        None => fixture.authority.create_provider(Profile::read(profile).unwrap()).unwrap(),
    };
    let expires_at = Some(time(START + 3600));
    let new = NewConnection { provider: Some(name(provider)), expires_at, ..bearer(named, "at") };
    fixture.authority.add_of(new, Some(registered)).unwrap();
}

/// An Authority that refreshes through a script.
fn with(authority: &Authority, script: &Arc<Script>) -> Authority {
    Authority { issuer: Some(Arc::<Script>::clone(script)), ..authority.detached() }
}

/// The worker of a process.
struct Working {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Working {
    fn on(fixture: &Fixture, script: &Arc<Script>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(work(fixture.authority.detached(), Arc::<Script>::clone(script), stopped));
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

/// Claims a connection as the worker of a process does, and renews it.
async fn renew(fixture: &Fixture, script: &Arc<Script>, named: &str) {
    let id = fixture.row(named).id;
    let issuer: Arc<dyn Issuer> = Arc::<Script>::clone(script);
    worker::renew(&fixture.authority.acting_as(Actor::Worker), &issuer, id, "by-a-test".to_owned()).await.unwrap();
}

/// Lets the worker work until something is so, moving the clock by a second at a time.
async fn until(fixture: &Fixture, so: impl Fn() -> bool) {
    let work = async {
        while !so() {
            fixture.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, work).await.expect("it took too long");
}

fn value(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).map(|value| value.expose_str().unwrap().to_owned())
}

fn at(seconds: i64) -> Option<SystemTime> {
    Some(time(seconds))
}

/// Lines of the audit about refreshes and states.
fn said(fixture: &Fixture) -> Vec<String> {
    let word = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let why = line.get("why").and_then(|why| why.as_str()).map(|why| format!(" {why}")).unwrap_or_default();
        format!("{}{why}", line["event"].as_str().unwrap())
    };
    let lines: Vec<String> = fixture.lines().iter().map(word).collect();
    lines.into_iter().filter(|line| line.starts_with("connection.") && line != "connection.added").collect()
}
