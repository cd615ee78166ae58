//! Many who wait, and one question.

use std::time::Duration;

use tokio::task::JoinSet;

use super::scripted::{Step, Trial};
use crate::lease::LendError;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

#[tokio::test]
async fn ten_thousand_who_find_an_ended_lease_ask_once() {
    let trial = std::sync::Arc::new(Trial::new(Step::Lend(1, Some(Duration::from_secs(4)))));
    assert_eq!(trial.borrow().await, Ok(1));
    // Nobody wants it, so that it ends unrenewed.
    trial.sleep(Duration::from_secs(60)).await;
    let before = trial.asked();
    trial.then(Step::Later(Duration::from_secs(1), Box::new(Step::Lend(2, HOUR))));
    let mut all = JoinSet::new();
    for _ in 0..10_000 {
        let trial = trial.clone();
        all.spawn(async move { trial.borrow().await });
    }
    while let Some(one) = all.join_next().await {
        assert_eq!(one.unwrap(), Ok(2));
    }
    assert_eq!(trial.asked() - before, 1);
}

#[tokio::test]
async fn who_waits_has_a_deadline_and_the_next_asks_anew() {
    let trial = Trial::new(Step::Lend(1, HOUR));
    trial.script([Step::Hang]);
    let began = trial.now();
    assert!(matches!(trial.borrow().await, Err(LendError::Unavailable { .. })));
    assert_eq!((trial.now() - began), Duration::from_secs(10));
    trial.sleep(Duration::from_millis(1)).await;
    assert_eq!(trial.borrow().await, Ok(1));
}

#[tokio::test]
async fn who_goes_away_takes_no_question_along() {
    let trial = Trial::new(Step::Later(Duration::from_secs(2), Box::new(Step::Lend(1, HOUR))));
    tokio::select! {
        _ = trial.borrow() => panic!("it was answered already"),
        () = trial.sleep(Duration::from_secs(1)) => {}
    }
    assert_eq!(trial.borrow().await, Ok(1));
    assert_eq!(trial.asked(), 1);
}

#[tokio::test]
async fn a_warm_agent_never_waits() {
    // Each answer takes three seconds; who asks once a second has waited for the first alone.
    let slow =
        |version| Step::Later(Duration::from_secs(3), Box::new(Step::Lend(version, Some(Duration::from_secs(60)))));
    let trial = Trial::new(slow(1));
    assert_eq!(trial.borrow().await, Ok(1));
    for second in 0..1800_u64 {
        trial.then(slow(2 + second / 60));
        let began = trial.now();
        assert!(trial.borrow().await.is_ok());
        assert_eq!((trial.now() - began), Duration::ZERO, "second {second}");
        trial.sleep(Duration::from_secs(1)).await;
    }
    let asked = trial.asked();
    assert!((35..=45).contains(&asked), "{asked}: a lease of 60 s is renewed 9 to 15 s ahead");
}

#[tokio::test]
async fn what_nobody_wants_ends_and_is_forgotten() {
    let trial = Trial::new(Step::Lend(1, None));
    assert_eq!(trial.borrow().await, Ok(1));
    trial.sleep(Duration::from_secs(599)).await;
    assert_eq!(trial.leases.inner.slots.len(), 1);
    trial.sleep(Duration::from_secs(2)).await;
    assert!(trial.leases.inner.slots.is_empty());
    assert_eq!(trial.asked(), 1, "nobody wanted it after the first");
}

#[tokio::test]
async fn an_unchanged_version_is_not_sent_again() {
    let trial = Trial::new(Step::Unchanged(Duration::from_secs(600)));
    trial.script([Step::Lend(7, Some(Duration::from_secs(600)))]);
    for _ in 0..60 {
        assert_eq!(trial.borrow().await, Ok(7));
        trial.sleep(Duration::from_secs(60)).await;
    }
    let asks = trial.source.asks.lock().unwrap();
    assert!(asks[0].held.is_none() && asks.len() > 5);
    assert!(asks[1..].iter().all(|ask| ask.held.as_ref().is_some_and(|held| held.version == 7 && !held.refused)));
}
