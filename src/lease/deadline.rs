use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::telemetry::Clock;

/// The longest that anything is lent without asking its source again.
const LONGEST: Duration = Duration::from_secs(300);

/// A moment by two clocks: past once either of them says so.
pub(super) struct Deadline {
    wall: SystemTime,
    boot: Duration,
    clock: Arc<dyn Clock>,
}

impl Deadline {
    /// The end of what was lent now: five minutes from now, or `expires_at` if that is sooner.
    /// `None` where it has passed.
    pub(super) fn of(expires_at: Option<SystemTime>, clock: &Arc<dyn Clock>) -> Option<Self> {
        let (wall, boot) = (clock.wall(), clock.boot());
        let left = match expires_at {
            Some(end) => end.duration_since(wall).ok().filter(|left| !left.is_zero())?.min(LONGEST),
            None => LONGEST,
        };
        Some(Self { wall: wall + left, boot: boot + left, clock: Arc::clone(clock) })
    }

    /// Tells whether neither clock has reached it.
    pub(super) fn is_ahead(&self) -> bool {
        self.clock.wall() < self.wall && self.clock.boot() < self.boot
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("wall", &self.wall).field("boot", &self.boot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TestClock;

    fn clocks() -> (Arc<TestClock>, Arc<dyn Clock>, SystemTime) {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(TestClock::at(start));
        (Arc::clone(&clock), clock, start)
    }

    #[test]
    fn five_minutes_or_sooner() {
        let (test, clock, start) = clocks();
        let none = Deadline::of(None, &clock).unwrap();
        let far = Deadline::of(Some(start + Duration::from_secs(86_400)), &clock).unwrap();
        let near = Deadline::of(Some(start + Duration::from_secs(60)), &clock).unwrap();
        test.advance(Duration::from_secs(59));
        assert!(near.is_ahead());
        test.advance(Duration::from_secs(1));
        assert!(!near.is_ahead() && none.is_ahead() && far.is_ahead());
        test.advance(Duration::from_secs(240));
        assert!(!none.is_ahead() && !far.is_ahead());
        assert!(Deadline::of(Some(start), &clock).is_none());
        assert!(Deadline::of(Some(start + Duration::from_secs(300)), &clock).is_none());
    }

    #[test]
    fn either_clock_ends_it() {
        let (test, clock, start) = clocks();
        let deadline = Deadline::of(None, &clock).unwrap();
        test.set_wall(start + LONGEST);
        assert!(!deadline.is_ahead(), "the wall clock was ignored");
        test.set_wall(start);
        assert!(deadline.is_ahead());
        test.advance(LONGEST);
        test.set_wall(start);
        assert!(!deadline.is_ahead(), "the time since boot was ignored");
    }
}
