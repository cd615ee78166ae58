mod faults;
mod heals;
mod scripted;
mod storm;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use super::*;
use crate::lease::{Ask, Asked, Borrowed, LeaseSource, MemoryConnection, MemorySource};
use crate::model::{Binding, Bindings, Code, Fields, HostPattern, Secret, Strategy};
use crate::telemetry::TestClock;

/// Counts questions, and answers when told.
struct Counting {
    inner: MemorySource,
    asked: AtomicUsize,
    gate: tokio::sync::Semaphore,
    seen: Mutex<Vec<Ask>>,
}

impl LeaseSource for Counting {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.seen.lock().unwrap().push(ask.clone());
            self.gate.acquire().await.unwrap().forget();
            self.inner.lend(ask).await
        })
    }

    fn still_there<'a>(&'a self, connection: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        self.inner.still_there(connection, id)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }
}

fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).unwrap()
}

fn connection(named: &str, token: &str, expires_at: Option<SystemTime>) -> MemoryConnection {
    let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
    let bindings = Bindings::new(vec![Binding { hosts, strategy: Strategy::OAuth2 }], false).unwrap();
    let mut fields = Fields::new();
    fields.insert("access_token", Secret::new(token));
    fields.insert("refresh_token", Secret::new("never lent"));
    MemoryConnection { name: name(named), bindings, fields, expires_at }
}

struct Bench {
    memory: MemorySource,
    source: Arc<Counting>,
    clock: Arc<TestClock>,
    leases: Arc<Leases>,
}

fn bench(permits: usize) -> Bench {
    let clock = Arc::new(TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    let memory = MemorySource::new([connection("jira", "t1", None)]);
    let gate = tokio::sync::Semaphore::new(permits);
    let source = Arc::new(Counting { inner: memory.clone(), asked: AtomicUsize::new(0), gate, seen: Mutex::default() });
    let sources = Sources::new().with("store", source.clone(), [(name("tickets"), name("jira"))]).rest_is_last();
    let leases = Arc::new(Leases::new(sources, &LeaseConfig::default(), Duration::from_secs(5), clock.clone()));
    Bench { memory, source, clock, leases }
}

impl Bench {
    async fn borrow(&self, named: &str) -> Result<Arc<Shared>, LendError> {
        let host = Host::parse("api.example.com").unwrap();
        self.leases.borrow_for(&"bot".into(), &name(named), None, &host).await
    }

    fn asked(&self) -> usize {
        self.source.asked.load(Ordering::SeqCst)
    }
}

fn token(shared: &Shared) -> String {
    shared.credentials().get("access_token").unwrap().expose_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_hundred_first_requests_ask_once() {
    let bench = Arc::new(bench(0));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.borrow("jira").await })
        })
        .collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    bench.source.gate.add_permits(100);
    for task in tasks {
        let shared = task.await.unwrap().unwrap();
        assert_eq!(token(&shared), "t1");
        assert!(shared.credentials().get("refresh_token").is_none());
    }
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_waited_and_not_kept() {
    let bench = Arc::new(bench(0));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.borrow("github").await })
        })
        .collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    bench.source.gate.add_permits(100);
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap_err(), LendError::NotFound(name("github")));
    }
    assert_eq!(bench.asked(), 1);
    bench.borrow("github").await.unwrap_err();
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn who_goes_away_while_asking_leaves_the_question_to_the_next() {
    let bench = bench(0);
    let gone = tokio::time::timeout(Duration::from_millis(5), bench.borrow("jira")).await;
    assert!(gone.is_err());
    bench.source.gate.add_permits(10);
    assert_eq!(token(&bench.borrow("jira").await.unwrap()), "t1");
}

#[tokio::test]
async fn a_change_is_followed_at_once() {
    let bench = bench(100);
    let first = bench.borrow("jira").await.unwrap();
    bench.borrow("jira").await.unwrap();
    assert_eq!(bench.asked(), 1);
    bench.memory.set(connection("jira", "t2", None));
    let second = bench.borrow("jira").await.unwrap();
    assert_eq!((token(&second).as_str(), second.version), ("t2", 2));
    assert_eq!(first.id, second.id);
    assert!(bench.memory.delete(&name("jira")));
    assert_eq!(bench.borrow("jira").await.unwrap_err(), LendError::NotFound(name("jira")));
}

#[tokio::test]
async fn what_is_past_its_deadline_is_asked_again() {
    let bench = bench(100);
    let shared = bench.borrow("jira").await.unwrap();
    bench.clock.advance(Duration::from_secs(600));
    assert!(!shared.deadline.is_ahead());
    bench.borrow("jira").await.unwrap();
    assert_eq!(bench.asked(), 2);
    let soon = bench.clock.wall() + Duration::from_secs(10);
    bench.memory.set(connection("jira", "t2", Some(soon)));
    let shared = bench.borrow("jira").await.unwrap();
    bench.clock.set_wall(soon);
    assert!(!shared.deadline.is_ahead());
    assert_eq!(bench.borrow("jira").await.unwrap_err(), LendError::Expired(name("jira")));
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_unavailable() {
    let bench = Arc::new(bench(0));
    let task = tokio::spawn({
        let bench = bench.clone();
        async move { bench.borrow("jira").await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    bench.clock.advance(Duration::from_secs(5));
    assert!(matches!(task.await.unwrap(), Err(LendError::Unavailable { .. })));
}

#[tokio::test]
async fn credentials_are_lent_for_a_bound_host_alone() {
    let bench = bench(100);
    let verdict = |url| Verdict::Inject(Grant::for_tests("GET", url, "tickets", &[]));
    let Ok(Lent::Lease(lease)) = bench.leases.lend(&verdict("https://api.example.com/x")).await else {
        panic!("nothing was lent")
    };
    assert_eq!((lease.strategy(), lease.version()), (&Strategy::OAuth2, 1));
    assert!(lease.is_live());
    bench.clock.advance(Duration::from_secs(600));
    assert!(!lease.is_live());
    for url in ["https://example.com/x", "https://api.example.com.evil.example/x", "https://127.0.0.1/x"] {
        let refusal = bench.leases.lend(&verdict(url)).await.unwrap_err();
        assert_eq!(refusal.code(), Code::PolicyDenied, "{url}");
        assert!(refusal.message().contains("\"tickets\" is not bound to the host"), "{}", refusal.message());
    }
    let permit = Verdict::Forward(crate::policy::Permit::for_tests("GET", "https://example.com/x"));
    assert!(matches!(bench.leases.lend(&permit).await, Ok(lent @ Lent::Nothing(_)) if lent.is_live()));
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn a_route_leads_to_the_stores_name_and_agents_share_nothing() {
    let bench = bench(100);
    let shared = bench.borrow("tickets").await.unwrap();
    assert_eq!(token(&shared), "t1");
    let host = Host::parse("api.example.com").unwrap();
    bench.leases.borrow_for(&"other".into(), &name("jira"), None, &host).await.unwrap();
    let seen = bench.source.seen.lock().unwrap();
    let asked: Vec<_> = seen.iter().map(|ask| (&*ask.agent, ask.connection.as_str())).collect();
    assert_eq!(asked, [("bot", "jira"), ("other", "jira")]);
}

#[tokio::test]
async fn deleted_or_revoked_is_no_longer_lent_and_a_new_version_is() {
    let bench = bench(100);
    let id = bench.borrow("jira").await.unwrap().id.clone();
    bench.memory.set(connection("jira", "t2", None));
    assert!(bench.leases.still_lent(&"bot".into(), &name("tickets"), &id).await);
    assert!(bench.memory.revoke(&name("jira")));
    assert!(!bench.leases.still_lent(&"bot".into(), &name("tickets"), &id).await);
    assert_eq!(bench.borrow("jira").await.unwrap_err(), LendError::Revoked(name("jira")));
    bench.memory.set(connection("jira", "t3", None));
    assert!(!bench.leases.still_lent(&"bot".into(), &name("jira"), &id).await, "another connection took the name");
    assert!(bench.memory.delete(&name("jira")));
    assert!(!bench.leases.still_lent(&"bot".into(), &name("jira"), &id).await);
    assert!(bench.leases.inner.slots.is_empty(), "what was lent is forgotten");
}
