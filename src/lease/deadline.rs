use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Heard;
use crate::telemetry::Clock;

/// How long anything is lent for, whatever its source says.
#[derive(Clone)]
pub(super) struct Bounds {
    /// Without asking its source again.
    pub(super) max_age: Duration,
    /// After a source that says by itself what changed was last heard of.
    pub(super) max_stale: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// A moment by two clocks: past once either of them says so, and earlier where its source is silent.
pub(super) struct Deadline {
    wall: SystemTime,
    boot: Duration,
    silence: Option<Silence>,
    clock: Arc<dyn Clock>,
}

/// Of a source that speaks every few seconds: what it lent is good for a while after its last word.
struct Silence {
    heard: Arc<Heard>,
    asked: Duration,
    longest: Duration,
}

impl Deadline {
    /// The end of what was lent now: `max_age` from now, or `expires_at` if that is sooner.
    /// `None` where it has passed.
    pub(super) fn of(expires_at: Option<SystemTime>, heard: Option<Arc<Heard>>, bounds: &Bounds) -> Option<Self> {
        let clock = &bounds.clock;
        let (wall, boot) = (clock.wall(), clock.boot());
        let left = match expires_at {
            Some(end) => end.duration_since(wall).ok().filter(|left| !left.is_zero())?.min(bounds.max_age),
            None => bounds.max_age,
        };
        let silence = heard.map(|heard| Silence { heard, asked: boot, longest: bounds.max_stale });
        Some(Self { wall: wall + left, boot: boot + left, silence, clock: Arc::clone(clock) })
    }

    /// Tells whether neither clock has reached it, and its source is not silent for too long.
    pub(super) fn is_ahead(&self) -> bool {
        let boot = self.clock.boot();
        let spoken = |silence: &Silence| boot < silence.heard.last().max(silence.asked) + silence.longest;
        boot < self.boot && self.silence.as_ref().is_none_or(spoken) && self.clock.wall() < self.wall
    }

    /// How long until then by the clock since boot, silence aside.
    pub(super) fn left(&self) -> Duration {
        self.boot.saturating_sub(self.clock.boot())
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

    const AGE: Duration = Duration::from_secs(600);

    fn clocks() -> (Arc<TestClock>, Bounds, SystemTime) {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(TestClock::at(start));
        let bounds =
            Bounds { max_age: AGE, max_stale: Duration::from_secs(300), clock: Arc::<TestClock>::clone(&clock) };
        (clock, bounds, start)
    }

    #[test]
    fn ten_minutes_or_sooner() {
        let (test, bounds, start) = clocks();
        let none = Deadline::of(None, None, &bounds).unwrap();
        let far = Deadline::of(Some(start + Duration::from_secs(86_400)), None, &bounds).unwrap();
        let near = Deadline::of(Some(start + Duration::from_secs(60)), None, &bounds).unwrap();
        test.advance(Duration::from_secs(59));
        assert!(near.is_ahead());
        test.advance(Duration::from_secs(1));
        assert!(!near.is_ahead() && none.is_ahead() && far.is_ahead());
        test.advance(Duration::from_secs(540));
        assert!(!none.is_ahead() && !far.is_ahead());
        assert!(Deadline::of(Some(start), None, &bounds).is_none());
        assert!(Deadline::of(Some(start + AGE), None, &bounds).is_none());
    }

    #[test]
    fn either_clock_ends_it() {
        let (test, bounds, start) = clocks();
        let deadline = Deadline::of(None, None, &bounds).unwrap();
        test.set_wall(start + AGE);
        assert!(!deadline.is_ahead(), "the wall clock was ignored");
        test.set_wall(start);
        assert!(deadline.is_ahead());
        test.advance(AGE);
        test.set_wall(start);
        assert!(!deadline.is_ahead(), "the time since boot was ignored");
    }

    #[test]
    fn silence_shortens_and_never_lengthens() {
        let (test, bounds, _) = clocks();
        let heard = Arc::new(Heard::default());
        let deadline = Deadline::of(None, Some(Arc::clone(&heard)), &bounds).unwrap();
        test.advance(Duration::from_secs(299));
        assert!(deadline.is_ahead(), "an answer counts as its word");
        test.advance(Duration::from_secs(1));
        assert!(!deadline.is_ahead());
        heard.note(bounds.clock.boot());
        assert!(deadline.is_ahead());
        test.advance(Duration::from_secs(299));
        heard.note(bounds.clock.boot());
        assert!(deadline.is_ahead());
        test.advance(Duration::from_secs(1));
        assert!(!deadline.is_ahead(), "a word does not lengthen it");
    }
}
