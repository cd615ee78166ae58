use std::time::Duration;

use super::backoff::Backoff;

/// So many questions in a row without an answer, and nobody asks for a while.
const TOLERATED: u32 = 3;

/// The shortest pause: what a stampede would fill is not asked at once again.
const SHORTEST: Duration = Duration::from_millis(200);

/// A probe that says nothing for this long was given up by whoever made it.
const PROBE: Duration = Duration::from_secs(30);

/// A circuit breaker of one source: closed it lets every question through, open none, and half
/// open one, whose answer decides. Pure: times are those since boot.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    pauses: Backoff,
    /// Whose questions had no answer since the last one: one, and whether there were others.
    failing: Option<(u64, bool)>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    HalfOpen { since: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Lets a question through, or says how long there is no use in asking.
    pub(super) fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        match self.wait(now) {
            Some(left) => Err(left),
            None => {
                if !matches!(self.state, State::Closed { .. }) {
                    self.state = State::HalfOpen { since: now };
                }
                Ok(())
            }
        }
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&mut self) {
        self.state = State::default();
        self.pauses.reset();
        self.failing = None;
    }

    /// It did not answer one of those who ask: it is not it as long as it is only that one.
    pub(super) fn failed_for(&mut self, asker: u64, now: Duration) {
        let several = match self.failing {
            None => false,
            Some((first, several)) => several || first != asker,
        };
        let first = self.failing.map_or(asker, |(first, _)| first);
        self.failing = Some((first, several));
        let probed = matches!(self.state, State::HalfOpen { .. });
        if several || probed {
            self.failed(now);
        }
    }

    /// It did not answer.
    pub(super) fn failed(&mut self, now: Duration) {
        let failures = match self.state {
            State::Closed { failures } if failures + 1 < TOLERATED => failures + 1,
            // Asked before the circuit opened: it says nothing new.
            State::Open { until } if now < until => return,
            _ => {
                let pause = self.pauses.next().max(SHORTEST);
                self.state = State::Open { until: now + pause };
                return;
            }
        };
        self.state = State::Closed { failures };
    }

    /// Whether nothing failed since the last answer.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0 })
    }

    /// How long there is no use in asking, if there is none now.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Open { until } => until.checked_sub(now).filter(|left| !left.is_zero()),
            State::HalfOpen { since } => (now < since + PROBE).then_some(SHORTEST),
            State::Closed { .. } => None,
        }
    }

    /// For `/status`.
    pub(super) fn word(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn three_failures_open_it_and_one_probe_decides() {
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            assert!(breaker.admit(at(0)).is_ok());
            breaker.failed(at(0));
        }
        assert_eq!((breaker.word(), breaker.wait(at(0))), ("closed", None));
        breaker.failed(at(0));
        let left = breaker.admit(at(0)).unwrap_err();
        assert!(left >= SHORTEST && Some(left) == breaker.wait(at(0)), "{left:?}");
        let then = at(0) + left;
        assert!(breaker.admit(then).is_ok(), "one probe");
        assert_eq!(breaker.admit(then), Err(SHORTEST), "and no second");
        breaker.failed(then);
        assert_eq!(breaker.word(), "open");
        let left = breaker.admit(then).unwrap_err();
        assert!(breaker.admit(then + left).is_ok());
        breaker.answered();
        assert_eq!((breaker.word(), breaker.admit(then + left)), ("closed", Ok(())));
    }

    #[test]
    fn one_that_fails_alone_is_not_the_sources_silence() {
        let mut breaker = Breaker::default();
        (0..100).for_each(|_| breaker.failed_for(1, at(0)));
        assert_eq!(breaker.word(), "closed");
        (2..5).for_each(|asker| breaker.failed_for(asker, at(0)));
        assert_eq!(breaker.word(), "open");
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_again() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(at(0));
            breaker.failed(at(0));
            breaker.answered();
        }
        assert_eq!(breaker.word(), "closed");
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_no_further_and_a_lost_probe_is_replaced() {
        let mut breaker = Breaker::default();
        let mut now = at(0);
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            match breaker.admit(now) {
                Ok(()) => breaker.failed(now),
                Err(left) => {
                    longest = longest.max(left);
                    now += left;
                }
            }
        }
        assert!(longest > at(3_000) && longest <= at(10_000), "{longest:?}");
        while breaker.admit(now).is_err() {
            now += at(100);
        }
        assert!(breaker.admit(now + at(29_999)).is_err() && breaker.admit(now + at(30_000)).is_ok());
    }

    #[test]
    fn what_was_asked_before_it_opened_does_not_open_it_longer() {
        let mut breaker = Breaker::default();
        (0..3).for_each(|_| breaker.failed(at(0)));
        let left = breaker.wait(at(0)).unwrap();
        (0..100).for_each(|_| breaker.failed(at(1)));
        assert_eq!(breaker.wait(at(0)), Some(left));
    }
}
