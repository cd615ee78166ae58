//! One refresh at a time for each connection.
//!
//! Once begun it goes on to its end, whoever waits: a second one beside it would cost the
//! connection at an issuer whose refresh tokens rotate.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

/// What came of a refresh. It holds no token: that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is a new token; until when, where the answer said so.
    Renewed(Option<SystemTime>),
    /// The connection is not active; asking for the token tells why.
    NotActive,
    /// There is nothing to renew it with.
    Cannot,
    /// A person has to look.
    Attention,
    /// It was answered with 200 and no token.
    Empty(String),
    /// It was not answered, or with what is no answer: worth another try.
    Failed(String),
}

/// The refreshes of one source, by the ids of its connections.
#[derive(Default)]
pub(super) struct Refreshes(Mutex<BTreeMap<Arc<str>, Course>>);

#[derive(Default)]
struct Course {
    /// How many have ended.
    ended: u64,
    last: Option<Outcome>,
    running: Option<watch::Receiver<Option<Outcome>>>,
}

impl Refreshes {
    /// How many refreshes of a connection have ended: asked before its token is.
    pub(super) fn ended(&self, id: &Arc<str>) -> u64 {
        self.courses().get(id).map(|course| course.ended).unwrap_or_default()
    }

    /// What comes of the refresh that is under way, or of this one where none is. Where one has
    /// ended since there were `before` of them, it was meant for the same token, and what came of it
    /// is the answer.
    pub(super) async fn once<F>(self: &Arc<Self>, id: &Arc<str>, before: u64, refresh: F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut waiting = {
            let mut courses = self.courses();
            let course = courses.entry(Arc::clone(id)).or_default();
            match (course.under_way(), &course.last) {
                (Some(running), _) => running,
                (None, Some(last)) if course.ended != before => return last.clone(),
                _ => {
                    let (tell, waiting) = watch::channel(None);
                    course.running = Some(waiting.clone());
                    let (all, id) = (Arc::clone(self), Arc::clone(id));
                    tokio::spawn(async move {
                        let outcome = refresh.await;
                        all.end(&id, outcome.clone());
                        tell.send_replace(Some(outcome));
                    });
                    waiting
                }
            }
        };
        let outcome = waiting.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Outcome::Failed("the refresh was broken off".to_owned()))
    }

    fn end(&self, id: &Arc<str>, outcome: Outcome) {
        let mut courses = self.courses();
        let course = courses.entry(Arc::clone(id)).or_default();
        *course = Course { ended: course.ended + 1, last: Some(outcome), running: None };
    }

    fn courses(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Course>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course {
    /// The one under way, unless whoever did it is gone.
    fn under_way(&self) -> Option<watch::Receiver<Option<Outcome>>> {
        self.running.clone().filter(|running| running.has_changed().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn many_who_want_it_at_once_or_late_cause_one() {
        let (all, count, gate) =
            (Arc::<Refreshes>::default(), Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
        let id: Arc<str> = "1".into();
        let refresh = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Outcome::Renewed(None)
            }
        };
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let (all, id, refresh) = (Arc::clone(&all), Arc::clone(&id), refresh());
                tokio::spawn(async move { all.once(&id, 0, refresh).await })
            })
            .collect();
        // Whoever began it goes away.
        waiting[0].abort();
        tokio::task::yield_now().await;
        gate.add_permits(1);
        for (number, one) in waiting.into_iter().enumerate() {
            if let Ok(outcome) = one.await {
                assert_eq!(outcome, Outcome::Renewed(None), "{number}");
            }
        }
        assert_eq!((count.load(Ordering::SeqCst), all.ended(&id)), (1, 1));
        // One who read the token before it ended is told of that one; one who read it later is not.
        assert_eq!(all.once(&id, 0, refresh()).await, Outcome::Renewed(None));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        gate.add_permits(1);
        all.once(&id, 1, refresh()).await;
        let other: Arc<str> = "2".into();
        gate.add_permits(1);
        all.once(&other, 0, refresh()).await;
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn one_that_broke_off_keeps_no_other_from_running() {
        let (all, id) = (Arc::<Refreshes>::default(), Arc::<str>::from("1"));
        let broken = all.once(&id, 0, async { panic!("the test's own") }).await;
        assert!(matches!(broken, Outcome::Failed(_)));
        assert_eq!(all.once(&id, 0, async { Outcome::Cannot }).await, Outcome::Cannot);
    }
}
