use std::time::Duration;

use aws_lc_rs::rand;

/// The waits before one try after the other: none, then anything up to a bound that doubles, so
/// that a fleet that was cut off at once does not come back at once ("full jitter").
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

/// The longest wait before the second try.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait before any try.
const LONGEST: Duration = Duration::from_secs(10);

impl Backoff {
    /// The wait before the next try.
    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound();
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(share())
    }

    /// It went well: the next failure is tried again at once.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    fn bound(&self) -> Duration {
        match self.tries.checked_sub(1) {
            None => Duration::ZERO,
            Some(doubled) => FIRST.saturating_mul(1_u32.checked_shl(doubled).unwrap_or(u32::MAX)).min(LONGEST),
        }
    }
}

/// A random share of the whole. Without random bytes the whole: slower, and never a stampede.
pub(super) fn share() -> f64 {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).map_or(1.0, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_then_up_to_a_bound_that_doubles() {
        let mut backoff = Backoff::default();
        let mut bounds = Vec::new();
        for _ in 0..40 {
            let bound = backoff.bound();
            assert!(backoff.next() <= bound);
            bounds.push(bound.as_millis());
        }
        assert_eq!(bounds[..8], [0, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert!(bounds[8..].iter().all(|bound| *bound == 10_000), "{bounds:?}");
        backoff.reset();
        assert_eq!(backoff.next(), Duration::ZERO);
    }

    #[test]
    fn two_that_were_cut_off_at_once_do_not_come_back_at_once() {
        let drawn: std::collections::BTreeSet<Duration> = (0..50).map(|_| Backoff { tries: 7 }.next()).collect();
        assert!(drawn.len() > 40, "{drawn:?}");
    }
}
