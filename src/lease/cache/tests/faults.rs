//! Sources that fail in every way, clocks that jump, and changes that race with answers.

use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Step, Trial};
use crate::lease::LendError;
use crate::telemetry::Clock;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test]
async fn each_bad_answer_is_told_and_not_kept() {
    let trial = Trial::new(Step::Lend(1, HOUR));
    trial.script([Step::Garbage, Step::Ended, Step::Fail]);
    assert!(matches!(trial.borrow().await, Err(LendError::Unusable { .. })));
    assert!(matches!(trial.borrow().await, Err(LendError::Expired(_))));
    assert!(matches!(trial.borrow().await, Err(LendError::Unavailable { .. })));
    assert_eq!(trial.borrow().await, Ok(1));
}

#[tokio::test]
async fn while_the_source_is_away_what_is_fresh_serves_and_what_ended_never_does() {
    let trial = Trial::new(Step::Fail);
    trial.script([Step::Lend(1, MINUTE)]);
    let began = trial.now();
    assert_eq!(trial.borrow().await, Ok(1));
    let mut refused_at = None;
    while (trial.now() - began) < Duration::from_secs(300) {
        match trial.borrow().await {
            Ok(version) => assert_eq!((version, refused_at), (1, None), "at {:?}", (trial.now() - began)),
            Err(error) => {
                assert!(error.is_passing(), "{error:?}");
                refused_at.get_or_insert(trial.now() - began);
            }
        }
        trial.sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(refused_at.unwrap().as_secs(), 60);
    let asked = trial.asked();
    assert!(asked < 120, "{asked} questions in five minutes to a source that is away");
    trial.then(Step::Lend(2, HOUR));
    let back = trial.now();
    while trial.borrow().await.is_err() {
        trial.sleep(Duration::from_millis(100)).await;
    }
    assert!((trial.now() - back) <= Duration::from_secs(11), "{:?}: the pause is 10 s at most", (trial.now() - back));
}

#[tokio::test]
async fn an_open_circuit_answers_at_once_and_says_when_to_come_back() {
    let trial = Trial::new(Step::Fail);
    for _ in 0..3 {
        trial.borrow().await.unwrap_err();
    }
    let asked = trial.asked();
    let error = trial.borrow().await.unwrap_err();
    assert_eq!(trial.asked(), asked, "it was asked though its circuit is open");
    let refusal = trial.leases.inner.refusal(&"bot".into(), &super::name("jira"), None, error);
    assert!(refusal.retry_after().is_some_and(|wait| !wait.is_zero()), "{refusal:?}");
    assert!(refusal.log().contains("is asked again in"), "{}", refusal.log());
}

#[tokio::test]
async fn a_source_that_is_silent_shortens_and_one_that_speaks_does_not_lengthen() {
    let trial = Trial::with(Step::Fail, false, true);
    trial.script([Step::Lend(1, HOUR)]);
    assert_eq!(trial.borrow().await, Ok(1));
    trial.sleep(Duration::from_secs(299)).await;
    assert_eq!(trial.borrow().await, Ok(1));
    trial.sleep(Duration::from_secs(1)).await;
    assert!(trial.borrow().await.unwrap_err().is_passing(), "five minutes after its last word");
    let heard = trial.source.heard.as_ref().unwrap();
    heard.note(trial.clock.boot());
    assert_eq!(trial.borrow().await, Ok(1), "it is heard of again, and said nothing of a change");
    for _ in 0..40 {
        trial.sleep(Duration::from_secs(10)).await;
        heard.note(trial.clock.boot());
    }
    assert!(trial.borrow().await.unwrap_err().is_passing(), "ten minutes after it was lent");
}

#[tokio::test]
async fn clocks_that_jump_end_leases_and_lengthen_none() {
    let trial = Trial::new(Step::Lend(1, HOUR));
    assert_eq!(trial.borrow().await, Ok(1));
    trial.then(Step::Lend(2, HOUR));
    trial.clock.jump(true, Duration::from_secs(601));
    assert_eq!(trial.borrow().await, Ok(2), "the wall went past its end");
    trial.clock.jump(false, Duration::from_secs(86_400));
    trial.then(Step::Fail);
    trial.sleep(Duration::from_secs(599)).await;
    assert_eq!(trial.borrow().await, Ok(2));
    trial.sleep(Duration::from_secs(1)).await;
    assert!(trial.borrow().await.is_err(), "a wall clock that was set back lengthens nothing");
}

#[tokio::test]
async fn an_answer_that_a_revocation_overtakes_is_thrown_away() {
    let trial = Arc::new(Trial::new(Step::Revoked));
    trial.script([Step::Later(Duration::from_secs(1), Box::new(Step::Lend(1, HOUR)))]);
    let waiting = tokio::spawn({
        let trial = Arc::clone(&trial);
        async move { trial.borrow().await }
    });
    trial.sleep(Duration::from_millis(500)).await;
    // It commits between the read of the answer and its arrival.
    trial.source.moved.send_modify(|moved| *moved += 1);
    assert!(matches!(waiting.await.unwrap(), Err(LendError::Revoked(_))));
    assert_eq!(trial.asked(), 2);
    assert!(matches!(trial.borrow().await, Err(LendError::Revoked(_))));
}

#[tokio::test]
async fn a_renewal_that_is_refused_ends_what_is_held() {
    let trial = Trial::new(Step::Revoked);
    trial.script([Step::Lend(1, MINUTE)]);
    assert_eq!(trial.borrow().await, Ok(1));
    trial.sleep(Duration::from_secs(30)).await;
    assert_eq!(trial.borrow().await, Ok(1));
    trial.sleep(Duration::from_secs(25)).await;
    let asked = trial.asked();
    assert_eq!(asked, 2, "the renewal");
    trial.sleep(Duration::from_secs(600)).await;
    assert_eq!(trial.asked(), asked, "a refusal is not tried again by itself");
    assert!(matches!(trial.borrow().await, Err(LendError::Revoked(_))));
}

/// The state machine alone, for half an hour of every fault by turns: whoever asks gets credentials
/// exactly where some are live, or where they could be asked for.
#[tokio::test]
async fn half_an_hour_of_faults() {
    let trial = Trial::with(Step::Lend(1, Some(Duration::from_secs(45))), false, true);
    let heard = trial.source.heard.clone().unwrap();
    let began = trial.now();
    let (mut served, mut refused, mut version) = (0, 0, 1);
    while (trial.now() - began) < Duration::from_secs(1800) {
        let second = (trial.now() - began).as_secs();
        version += 1;
        let life = Some(Duration::from_secs(45));
        // Twenty seconds each, and none of them twice in a row.
        trial.then(match second / 20 % 6 {
            0 | 2 | 4 => Step::Lend(version, life),
            1 => Step::Fail,
            3 => Step::Hang,
            _ => Step::Later(Duration::from_secs(3), Box::new(Step::Lend(version, life))),
        });
        heard.note(trial.clock.boot());
        // `borrow` itself refuses to see one that has ended.
        match trial.borrow().await {
            Ok(_) => served += 1,
            Err(error) => {
                assert!(error.is_passing(), "{error:?}");
                let until = *trial.source.live_until.lock().unwrap();
                assert!(trial.now() >= until, "refused in second {second} though a lease was live: {error:?}");
                refused += 1;
            }
        }
        trial.sleep(Duration::from_millis(250)).await;
    }
    assert!(served > 6000 && refused > 0 && refused < 200, "{served} served, {refused} refused");
}
