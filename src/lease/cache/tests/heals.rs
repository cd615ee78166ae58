//! What a destination refuses: others once for all, and ever more seldom where they do not help.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::*;
use super::scripted::{Step, Trial};
use crate::telemetry::Clock;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

async fn lease(trial: &Trial) -> Lease {
    let grant = Grant::for_tests("GET", "https://api.example.com/x", "jira", &[]);
    match trial.leases.lend(&Verdict::Inject(grant)).await {
        Ok(Lent::Lease(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

async fn heal(trial: &Trial, lease: &Lease) -> Result<u64, Blame> {
    match trial.leases.heal(lease).await {
        Healed::Again(lease) => Ok(lease.version()),
        Healed::Not(blame) => Err(blame),
    }
}

async fn later(trial: &Trial, seconds: u64) {
    trial.sleep(Duration::from_secs(seconds)).await;
}

fn refreshes(trial: &Trial) -> usize {
    trial.source.asks.lock().unwrap().iter().filter(|ask| ask.held.as_ref().is_some_and(|held| held.refused)).count()
}

#[tokio::test]
async fn a_thousand_refused_at_once_make_others_once() {
    let trial = Arc::new(Trial::with(Step::Lend(1, HOUR), true, false));
    let old = Arc::new(lease(&trial).await);
    later(&trial, 31).await;
    trial.then(Step::Later(Duration::from_secs(1), Box::new(Step::Lend(2, HOUR))));
    let mut all = JoinSet::new();
    for _ in 0..1000 {
        let (trial, old) = (Arc::clone(&trial), Arc::clone(&old));
        all.spawn(async move { heal(&trial, &old).await });
    }
    while let Some(one) = all.join_next().await {
        assert_eq!(one.unwrap(), Ok(2));
    }
    assert_eq!((refreshes(&trial), trial.asked()), (1, 2));
    assert_eq!(lease(&trial).await.version(), 2);
    assert_eq!(heal(&trial, &old).await, Ok(2), "who comes later takes what is there");
    assert_eq!(trial.asked(), 2);
}

#[tokio::test]
async fn young_credentials_have_not_gone_bad() {
    let trial = Trial::with(Step::Lend(1, HOUR), true, false);
    let young = lease(&trial).await;
    later(&trial, 29).await;
    assert_eq!(heal(&trial, &young).await, Err(Blame::Request));
    assert_eq!(trial.asked(), 1);
}

#[tokio::test]
async fn a_renewal_makes_no_version_young_again() {
    let trial = Trial::with(Step::Lend(1, Some(Duration::from_secs(60))), true, false);
    let first = lease(&trial).await;
    later(&trial, 55).await;
    let renewed = lease(&trial).await;
    assert_eq!((first.version(), renewed.version()), (1, 1));
    trial.then(Step::Lend(2, HOUR));
    assert_eq!(heal(&trial, &renewed).await, Ok(2));
}

#[tokio::test]
async fn what_is_kept_cannot_be_made_again() {
    let trial = Trial::new(Step::Lend(1, HOUR));
    let kept = lease(&trial).await;
    later(&trial, 60).await;
    assert_eq!(heal(&trial, &kept).await, Err(Blame::Credential));
    kept.accepted(trial.clock.boot());
    assert_eq!(heal(&trial, &kept).await, Err(Blame::Request), "another destination takes it");
    assert_eq!(trial.asked(), 1);
}

#[tokio::test]
async fn an_agent_that_asks_for_what_is_forbidden_in_a_loop_burns_few() {
    let trial = Trial::with(Step::Lend(1, HOUR), true, false);
    let mut version = 1;
    let began = trial.now();
    while (trial.now() - began) < Duration::from_secs(6 * 3600) {
        version += 1;
        trial.then(Step::Lend(version, HOUR));
        let refused = lease(&trial).await;
        if let Healed::Again(replay) = trial.leases.heal(&refused).await {
            trial.leases.replayed(&replay, true);
        }
        later(&trial, 1).await;
    }
    let burnt = refreshes(&trial);
    assert!((5..=13).contains(&burnt), "{burnt} in six hours: one a minute, then half as often, then one an hour");
}

#[tokio::test]
async fn credentials_that_are_taken_elsewhere_are_good() {
    let trial = Trial::with(Step::Lend(1, HOUR), true, false);
    let used = lease(&trial).await;
    later(&trial, 60).await;
    trial.then(Step::Lend(2, HOUR));
    assert_eq!(heal(&trial, &used).await, Ok(2), "the first refusal of a version is believed");
    let second = lease(&trial).await;
    trial.leases.replayed(&second, true);
    later(&trial, 1).await;
    second.accepted(trial.clock.boot());
    later(&trial, 3600).await;
    second.accepted(trial.clock.boot());
    assert_eq!(heal(&trial, &second).await, Err(Blame::Request));
    later(&trial, 61).await;
    trial.then(Step::Lend(3, HOUR));
    assert_eq!(heal(&trial, &second).await.ok(), Some(3), "not taken for a minute, it may have gone bad");
}

#[tokio::test]
async fn where_the_source_is_away_the_others_keep_what_they_have() {
    let trial = Trial::with(Step::Lend(1, HOUR), true, false);
    let old = lease(&trial).await;
    later(&trial, 31).await;
    trial.then(Step::Fail);
    assert_eq!(heal(&trial, &old).await, Err(Blame::Credential));
    assert_eq!(lease(&trial).await.version(), 1, "it may be good elsewhere");
}

#[tokio::test]
async fn others_that_a_revocation_overtakes_are_not_lent() {
    let trial = Arc::new(Trial::with(Step::Revoked, true, false));
    trial.script([Step::Lend(1, HOUR)]);
    let old = Arc::new(lease(&trial).await);
    later(&trial, 31).await;
    trial.script([Step::Later(Duration::from_secs(1), Box::new(Step::Lend(2, HOUR)))]);
    let healing = tokio::spawn({
        let (trial, old) = (Arc::clone(&trial), Arc::clone(&old));
        async move { heal(&trial, &old).await }
    });
    trial.sleep(Duration::from_millis(500)).await;
    // It commits while the others are on their way.
    trial.source.moved.send_modify(|moved| *moved += 1);
    assert_eq!(healing.await.unwrap(), Err(Blame::Credential));
    assert_eq!(trial.asked(), 3, "what is so by then was asked for");
}

#[tokio::test]
async fn a_source_without_others_is_not_asked_for_them_in_a_loop() {
    let trial = Trial::with(Step::Lend(1, HOUR), true, false);
    let old = lease(&trial).await;
    later(&trial, 31).await;
    for _ in 0..50 {
        assert!(heal(&trial, &old).await.is_err());
        later(&trial, 1).await;
    }
    assert_eq!(refreshes(&trial), 1);
}

#[tokio::test]
async fn one_agents_refusals_are_no_business_of_anothers() {
    let trial = Trial::with(Step::Lend(1, HOUR), true, false);
    let host = Host::parse("api.example.com").unwrap();
    let others = trial.leases.borrow_for(&"other".into(), &super::name("jira"), None, &host).await.unwrap();
    let old = lease(&trial).await;
    later(&trial, 31).await;
    trial.then(Step::Lend(2, HOUR));
    assert_eq!(heal(&trial, &old).await, Ok(2));
    let still = trial.leases.borrow_for(&"other".into(), &super::name("jira"), None, &host).await.unwrap();
    assert!(Arc::ptr_eq(&others, &still), "its lease was taken from it");
}
