//! When a refresh is wanted: the reference renews nothing by itself. Pure.

use std::time::{Duration, SystemTime};

/// What ends this soon is not worth sending.
const EDGE: Duration = Duration::from_secs(5);

/// Whoever holds something already is given the next one this long before its end, or a fifth of
/// its life where that is longer.
const AHEAD: Duration = Duration::from_secs(60);

/// Why a refresh is wanted, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is not.
    Not,
    /// The end comes near for somebody who renews ahead of it.
    Ahead,
    /// The end is seconds away.
    Edge,
    /// They have ended.
    Past,
    /// A destination refused them.
    Refused,
}

/// The life of what was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// When it ends.
    pub(super) ends: Option<SystemTime>,
    /// How long it was good for when it was issued.
    pub(super) lifetime: Option<Duration>,
    /// Its source says that it has ended.
    pub(super) expired: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// One that holds nothing, or another version.
    New,
    /// One that holds this version.
    Holds,
    /// One that holds this version, which a destination refused.
    Refused,
}

impl Life {
    /// Whether it is over.
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.expired || self.ends.is_some_and(|ends| ends <= now)
    }

    /// Why another one is wanted for this asker.
    pub(super) fn due(&self, asker: Asker, now: SystemTime) -> Due {
        if self.is_over(now) {
            return Due::Past;
        }
        let left = self.ends.and_then(|ends| ends.duration_since(now).ok());
        match (asker, left) {
            (Asker::Refused, _) => Due::Refused,
            (_, Some(left)) if left <= EDGE => Due::Edge,
            (Asker::Holds, Some(left)) if left < self.ahead() => Due::Ahead,
            _ => Due::Not,
        }
    }

    /// What lives for a short time only is not renewed all the time.
    fn ahead(&self) -> Duration {
        self.lifetime.map_or(AHEAD, |life| (life / 5).max(AHEAD.min(life / 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_wanted_by_who_asks_and_what_is_left() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let due = |left: Option<i64>, life: Option<u64>, asker| {
            let ends = left.map(|left| match u64::try_from(left) {
                Ok(left) => now + Duration::from_secs(left),
                Err(_) => now - Duration::from_secs(left.unsigned_abs()),
            });
            Life { ends, lifetime: life.map(Duration::from_secs), expired: false }.due(asker, now)
        };
        for (left, life, new, holds) in [
            (None, None, Due::Not, Due::Not),
            (None, Some(3600), Due::Not, Due::Not),
            (Some(-1), None, Due::Past, Due::Past),
            (Some(0), None, Due::Past, Due::Past),
            (Some(5), None, Due::Edge, Due::Edge),
            (Some(6), None, Due::Not, Due::Ahead),
            (Some(59), None, Due::Not, Due::Ahead),
            (Some(60), None, Due::Not, Due::Not),
            (Some(719), Some(3600), Due::Not, Due::Ahead),
            (Some(720), Some(3600), Due::Not, Due::Not),
            (Some(59), Some(120), Due::Not, Due::Ahead),
            (Some(29), Some(60), Due::Not, Due::Ahead),
            (Some(31), Some(60), Due::Not, Due::Not),
        ] {
            assert_eq!((due(left, life, Asker::New), due(left, life, Asker::Holds)), (new, holds), "{left:?} {life:?}");
        }
        assert_eq!(due(None, None, Asker::Refused), Due::Refused);
        assert_eq!(due(Some(3), None, Asker::Refused), Due::Refused);
        assert_eq!(due(Some(-3), None, Asker::Refused), Due::Past);
        let said = Life { ends: Some(now + Duration::from_secs(900)), lifetime: None, expired: true };
        assert_eq!(said.due(Asker::New, now), Due::Past);
    }
}
