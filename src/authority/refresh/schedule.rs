//! When. Pure: moments are seconds since 1970, and `chance` is any number, at random.

use std::time::Duration;

/// The least and the most that credentials are renewed ahead of their end.
const AHEAD: (i64, i64) = (5, 3600);

/// How long to leave alone what was dead on arrival.
const DEAD: i64 = 60;

/// The longest pause between two tries that nobody asked for.
const PAUSE: i64 = 300;

/// When to renew credentials that end then: a fifth of their life ahead, and up to half of that
/// earlier, so that what was made together is not renewed together.
pub(in crate::authority) fn due(now: i64, end: i64, chance: u32) -> i64 {
    let life = end.saturating_sub(now);
    if life <= 0 {
        return now.saturating_add(DEAD);
    }
    let ahead = (life / 5).clamp(AHEAD.0, AHEAD.1).min(life / 2);
    (end - ahead - part(ahead / 2 + 1, chance)).max(now + 1)
}

/// When to try again after so many tries in a row, this one included, that gave nothing: later each
/// time, anywhere up to there, and not before `after`, which the endpoint asked for.
pub(super) fn again(now: i64, tries: i64, after: Option<Duration>, chance: u32) -> i64 {
    let ceiling = (1_i64 << tries.clamp(0, 30)).min(PAUSE);
    let after = after.map_or(0, |after| i64::try_from(after.as_secs()).unwrap_or(i64::MAX));
    now.saturating_add((1 + part(ceiling, chance)).max(after))
}

/// Anything from nothing up to `whole`, that excluded.
fn part(whole: i64, chance: u32) -> i64 {
    let share = (i128::from(whole) * i128::from(chance)) >> 32;
    i64::try_from(share).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_renewed_a_fifth_of_their_life_ahead() {
        for (life, latest, earliest) in [
            (3600, 2880, 2520),
            (60, 48, 42),
            (20, 15, 13),
            (6, 3, 2),
            (1, 1, 1),
            (86_400, 82_800, 81_000),
            (0, 60, 60),
            (-9, 60, 60),
        ] {
            assert_eq!(due(1000, 1000 + life, 0), 1000 + latest, "{life}");
            assert_eq!(due(1000, 1000 + life, u32::MAX), 1000 + earliest, "{life}");
        }
        assert!(due(1000, i64::MAX, 7) > 1000);
    }

    #[test]
    fn tries_come_later_each_time_within_bounds_and_not_before_they_may() {
        let seconds = |after| Some(Duration::from_secs(after));
        for (tries, longest) in [(1, 2), (2, 4), (5, 32), (8, 256), (9, 300), (63, 300), (64, 300), (i64::MAX, 300)] {
            assert_eq!(again(1000, tries, None, 0), 1001);
            assert_eq!(again(1000, tries, None, u32::MAX), 1000 + longest, "{tries}");
        }
        assert_eq!(again(1000, 1, seconds(86_400), u32::MAX), 87_400);
        assert_eq!(again(1000, 9, seconds(7), u32::MAX), 1300);
        assert_eq!(again(i64::MAX - 1, 9, seconds(u64::MAX), 0), i64::MAX);
    }

    proptest! {
        #[test]
        fn what_lives_long_enough_is_renewed_before_its_end(life in 2_i64..10_000_000, chance: u32) {
            let at = due(1000, 1000 + life, chance);
            prop_assert!(at > 1000 && at < 1000 + life);
        }
    }
}
