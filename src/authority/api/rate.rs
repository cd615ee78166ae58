//! Rate limits: a token bucket for each caller, and for each address that does not say who it is.
//!
//! A caller that proved who it is never pays for others behind the same address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::endpoint::Bucket;
use super::problem::{ApiCode, Problem};
use crate::config::{Rate, ServiceLimits};

/// Buckets kept for one limit; the fullest go first, since a full one says nothing.
const MOST: usize = 16_384;

/// The buckets of one Authority.
pub(super) struct Limits {
    requests: Buckets<String>,
    leases: Buckets<String>,
    strangers: Buckets<IpAddr>,
}

impl Limits {
    pub(super) fn new(limits: &ServiceLimits) -> Self {
        Self {
            requests: Buckets::new(limits.rate),
            leases: Buckets::new(limits.leases),
            strangers: Buckets::new(limits.unauthenticated),
        }
    }

    /// Takes one call of a caller.
    pub(super) fn known(&self, caller: &str, bucket: Bucket, now: Duration) -> Standing {
        match bucket {
            Bucket::Requests => self.requests.take(&caller.to_owned(), now),
            Bucket::Leases => self.leases.take(&caller.to_owned(), now),
        }
    }

    /// Takes one call of an address. Of IPv6 a network of 64 bits counts as one: who has an address has
    /// them all.
    pub(super) fn stranger(&self, address: IpAddr, now: Duration) -> Standing {
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::from((v6.to_bits() >> 64 << 64).to_be_bytes()),
            v4 => v4,
        };
        self.strangers.take(&address, now)
    }
}

/// Where a caller stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until all of it is there again.
    reset: u64,
    /// Seconds until the next call passes, where this one does not.
    wait: Option<u64>,
}

impl Standing {
    /// The refusal of a call that came too early.
    pub(super) fn check(self) -> Result<(), Problem> {
        let Some(seconds) = self.wait else { return Ok(()) };
        let message = format!("there were more requests than the limit allows: try again in {seconds} s");
        Err(Problem::new(ApiCode::RateLimited, message).with("retry_after", seconds).retry_after(seconds))
    }

    /// The Exchange Protocol's headers.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
        const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
        const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset));
    }
}

struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Level>>,
}

/// How much was in a bucket, and when. A call costs the nanoseconds of the rate's time, and each
/// nanosecond fills in as many as the rate's count: nothing is ever rounded.
#[derive(Clone, Copy)]
struct Level {
    filled: u128,
    at: Duration,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    fn take(&self, key: &K, now: Duration) -> Standing {
        let (cost, count) = (self.rate.per.as_nanos(), u128::from(self.rate.count));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(key) {
            self.make_room(&mut buckets, now);
        }
        let level = buckets.entry(key.clone()).or_insert(Level { filled: cost * count, at: now });
        *level = Level { filled: self.filled(*level, now), at: now };
        let passes = level.filled >= cost;
        if passes {
            level.filled -= cost;
        }
        let seconds = |missing: u128| u64::try_from(missing.div_ceil(count * 1_000_000_000)).unwrap_or(u64::MAX);
        Standing {
            limit: self.rate.count,
            remaining: u32::try_from(level.filled / cost).unwrap_or(u32::MAX),
            reset: seconds(cost * count - level.filled),
            wait: (!passes).then(|| seconds(cost - level.filled)),
        }
    }

    fn filled(&self, level: Level, now: Duration) -> u128 {
        let count = u128::from(self.rate.count);
        let gained = now.saturating_sub(level.at).as_nanos() * count;
        (level.filled + gained).min(self.rate.per.as_nanos() * count)
    }

    /// Forgets the fullest half: whoever is refused stays refused.
    fn make_room(&self, buckets: &mut HashMap<K, Level>, now: Duration) {
        let mut levels: Vec<u128> = buckets.values().map(|level| self.filled(*level, now)).collect();
        levels.sort_unstable();
        let Some(median) = levels.get(levels.len() / 2).copied() else { return };
        let mut spare = levels.len() / 2;
        buckets.retain(|_, level| {
            let goes = spare > 0 && self.filled(*level, now) >= median;
            spare -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn buckets(count: u32) -> Buckets<u32> {
        Buckets::new(Rate { count, per: SECOND * 60 })
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = buckets(60);
        let start = SECOND * 1000;
        for left in (0..60).rev() {
            let standing = buckets.take(&1, start);
            assert_eq!((standing.remaining, standing.wait), (left, None));
            assert_eq!(standing.reset, u64::from(60 - left));
        }
        let refused = buckets.take(&1, start);
        assert_eq!((refused.remaining, refused.wait), (0, Some(1)));
        assert_eq!(refused.check().unwrap_err().seconds(), Some(1));
        assert_eq!(buckets.take(&2, start).wait, None, "another caller has its own");
        assert_eq!(buckets.take(&1, start + SECOND).wait, None);
        assert!(buckets.take(&1, start + SECOND).wait.is_some());
        assert_eq!(buckets.take(&1, start + SECOND * 3600).remaining, 59, "it never holds more than its limit");
        assert_eq!(buckets.take(&1, start).remaining, 58, "a clock that went back gives nothing");
    }

    #[test]
    fn a_slow_rate_says_how_long_to_wait() {
        let buckets = buckets(2);
        buckets.take(&1, SECOND);
        buckets.take(&1, SECOND);
        assert_eq!(buckets.take(&1, SECOND).wait, Some(30));
        assert_eq!(buckets.take(&1, SECOND * 21).wait, Some(10));
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_the_refused_stay_refused() {
        let buckets = buckets(2);
        buckets.take(&0, SECOND);
        buckets.take(&0, SECOND);
        for key in 1..50_000 {
            buckets.take(&key, SECOND);
        }
        assert!(buckets.buckets.lock().unwrap().len() <= MOST);
        assert!(buckets.take(&0, SECOND).wait.is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger() {
        let per = SECOND * 60;
        let rate = Rate { count: 1, per };
        let limits =
            Limits::new(&ServiceLimits { rate, leases: rate, unauthenticated: rate, ..ServiceLimits::default() });
        let take = |address: &str| limits.stranger(address.parse().unwrap(), SECOND).wait.is_none();
        assert!(take("2001:db8::1") && !take("2001:db8::ffff") && take("2001:db8:0:1::1"));
        assert!(take("192.0.2.1") && !take("::ffff:192.0.2.1") && take("192.0.2.2"));
    }
}
