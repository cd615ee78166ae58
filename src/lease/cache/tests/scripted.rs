//! A source that does what a script says, and a clock that goes with paused time.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};

use super::super::*;
use super::name;
use crate::config::LeaseConfig;
use crate::lease::{Ask, Asked, Borrowed, Heard, LeaseSource, Loan};
use crate::model::{Binding, Bindings, Fields, HostPattern, Secret, Strategy};

/// What an answer is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A token of this version, for this long.
    Lend(u64, Option<Duration>),
    /// It ended before it was lent.
    Ended,
    Unchanged(Duration),
    Fail,
    Garbage,
    Hang,
    Revoked,
    Later(Duration, Box<Step>),
}

pub(super) struct Scripted {
    pub(super) steps: Mutex<VecDeque<Step>>,
    pub(super) then: Mutex<Step>,
    pub(super) asked: AtomicUsize,
    pub(super) asks: Mutex<Vec<Ask>>,
    pub(super) moved: watch::Sender<u64>,
    pub(super) heard: Option<Arc<Heard>>,
    pub(super) refreshable: bool,
    /// Until when the last that was lent is live, since boot.
    pub(super) live_until: Mutex<Duration>,
    clock: Arc<PausedClock>,
}

/// Simulated time: it goes on by itself, to the next moment that somebody sleeps until, once nothing
/// else is left to do. The wall jumps when told.
pub(super) struct PausedClock {
    now: Mutex<Duration>,
    sleepers: Mutex<BTreeMap<(Duration, u64), oneshot::Sender<()>>>,
    jumped: Mutex<(bool, Duration)>,
}

impl PausedClock {
    /// Starts it, on a runtime of one thread.
    fn start() -> Arc<Self> {
        let (now, sleepers) = (Mutex::new(Duration::from_secs(3600)), Mutex::default());
        let clock = Arc::new(Self { now, sleepers, jumped: Mutex::default() });
        let weak = Arc::downgrade(&clock);
        tokio::spawn(async move {
            loop {
                // Whatever was woken runs, and whatever that wakes.
                for _ in 0..40 {
                    tokio::task::yield_now().await;
                }
                let Some(clock) = weak.upgrade() else { return };
                let next = clock.sleepers.lock().unwrap().pop_first();
                if let Some(((at, _), sleeper)) = next {
                    let mut now = clock.now.lock().unwrap();
                    *now = at.max(*now);
                    drop(now);
                    let _ = sleeper.send(());
                }
            }
        });
        clock
    }

    pub(super) fn jump(&self, ahead: bool, by: Duration) {
        *self.jumped.lock().unwrap() = (ahead, by);
    }
}

impl Clock for PausedClock {
    fn wall(&self) -> SystemTime {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.boot();
        let (ahead, by) = *self.jumped.lock().unwrap();
        if ahead { now + by } else { now - by }
    }

    fn boot(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (sender, woken) = oneshot::channel();
        let key = (self.boot() + time, NUMBER.fetch_add(1, Ordering::SeqCst));
        self.sleepers.lock().unwrap().insert(key, sender);
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}

pub(super) struct Trial {
    pub(super) source: Arc<Scripted>,
    pub(super) clock: Arc<PausedClock>,
    pub(super) leases: Leases,
}

impl Trial {
    pub(super) fn new(then: Step) -> Self {
        Self::with(then, false, false)
    }

    pub(super) fn with(then: Step, refreshable: bool, speaks: bool) -> Self {
        let clock = PausedClock::start();
        let source = Arc::new(Scripted {
            steps: Mutex::default(),
            then: Mutex::new(then),
            asked: AtomicUsize::new(0),
            asks: Mutex::default(),
            moved: watch::Sender::new(0),
            heard: speaks.then(Arc::default),
            refreshable,
            live_until: Mutex::default(),
            clock: Arc::clone(&clock),
        });
        let sources = Sources::only(Arc::<Scripted>::clone(&source));
        let leases =
            Leases::new(sources, &LeaseConfig::default(), Duration::from_secs(10), Arc::<PausedClock>::clone(&clock));
        Self { source, clock, leases }
    }

    pub(super) async fn borrow(&self) -> Result<u64, LendError> {
        let host = Host::parse("api.example.com").unwrap();
        let shared = self.leases.borrow_for(&"bot".into(), &name("jira"), None, &host).await?;
        assert!(shared.deadline.is_ahead(), "it was lent past its end");
        let token = shared.credentials().get("access_token").unwrap().expose_str().unwrap().to_owned();
        assert_eq!(token, format!("t{}", shared.version), "the token is another version's");
        Ok(shared.version)
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.boot()
    }

    pub(super) fn asked(&self) -> usize {
        self.source.asked.load(Ordering::SeqCst)
    }

    pub(super) fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.source.steps.lock().unwrap().extend(steps);
    }

    pub(super) fn then(&self, step: Step) {
        *self.source.then.lock().unwrap() = step;
    }
}

impl Scripted {
    fn next(&self) -> Step {
        let step = self.steps.lock().unwrap().pop_front();
        step.unwrap_or_else(|| self.then.lock().unwrap().clone())
    }

    async fn perform(&self, ask: &Ask) -> Result<Borrowed, LendError> {
        let connection = || ask.connection.clone();
        let mut step = self.next();
        loop {
            return match step {
                Step::Lend(version, life) => Ok(self.loan(version, life).into()),
                Step::Ended => Ok(self.loan(1, Some(Duration::ZERO)).into()),
                Step::Unchanged(life) => Ok(Borrowed::Unchanged(Some(self.clock.wall() + life))),
                Step::Fail => Err(LendError::Unavailable { name: connection(), why: "no route".into() }),
                Step::Garbage => Err(LendError::Unusable { name: connection(), why: "no JSON".into() }),
                Step::Hang => std::future::pending().await,
                Step::Revoked => Err(LendError::Revoked(connection())),
                Step::Later(time, then) => {
                    self.clock.sleep(time).await;
                    step = *then;
                    continue;
                }
            };
        }
    }

    fn loan(&self, version: u64, life: Option<Duration>) -> Loan {
        if let Some(life) = life {
            *self.live_until.lock().unwrap() = self.clock.boot() + life;
        }
        let hosts = vec![HostPattern::parse("api.example.com").unwrap()];
        let mut credentials = Fields::new();
        credentials.insert("access_token", Secret::new(format!("t{version}")));
        Loan {
            id: "c1".into(),
            version,
            bindings: Bindings::new(vec![Binding { hosts, strategy: Strategy::OAuth2 }], false).unwrap(),
            credentials,
            expires_at: life.map(|life| self.clock.wall() + life),
            refreshable: self.refreshable,
        }
    }
}

impl LeaseSource for Scripted {
    fn lend<'a>(&'a self, ask: &'a Ask) -> Asked<'a, Borrowed> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.asks.lock().unwrap().push(ask.clone());
        Box::pin(self.perform(ask))
    }

    fn still_there<'a>(&'a self, _: &'a ConnectionName, id: &'a str) -> Asked<'a, bool> {
        Box::pin(async move { Ok(id == "c1") })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn heard(&self) -> Option<Arc<Heard>> {
        self.heard.clone()
    }
}
