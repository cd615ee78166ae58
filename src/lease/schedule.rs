//! When a lease is renewed: ahead of its end, and not with all others.

use std::time::Duration;

/// The shortest time ahead of the end.
const LEAST: Duration = Duration::from_secs(5);

/// The longest.
const MOST: Duration = Duration::from_secs(300);

/// What ends at a fixed moment, and is given again until then, is asked for no more often than this.
const SOONEST: Duration = Duration::from_secs(1);

/// How long after it was lent a lease with `life` left is renewed: a fifth of its life ahead of its
/// end, give or take a quarter of that by `share` (from 0 to 1), from 5 s to 5 min; of a life that
/// is shorter than that, half.
pub(super) fn renewed_after(life: Duration, share: f64) -> Duration {
    let ahead = (life / 5).mul_f64(0.75 + share.clamp(0.0, 1.0) / 2.0).clamp(LEAST, MOST).min(life / 2);
    life.saturating_sub(ahead).max(SOONEST.min(life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_ahead_within_bounds() {
        let ahead = |life: u64, share| {
            let life = Duration::from_secs(life);
            (life - renewed_after(life, share)).as_secs_f64()
        };
        for (life, share, want) in [
            (600, 0.5, 120.0),
            (600, 0.0, 90.0),
            (600, 1.0, 150.0),
            (3600, 0.5, 300.0),
            (20, 0.5, 5.0),
            (4, 0.5, 2.0),
            (0, 0.5, 0.0),
        ] {
            assert!((ahead(life, share) - want).abs() < 1e-6, "{life} {share}: {}", ahead(life, share));
        }
    }

    #[test]
    fn neighbours_are_not_renewed_at_once() {
        let all: std::collections::BTreeSet<_> =
            (0..100).map(|n| renewed_after(Duration::from_secs(600), f64::from(n) / 100.0)).collect();
        assert_eq!(all.len(), 100);
    }
}
