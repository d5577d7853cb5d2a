//! How much is let through: so many per time, and how many at once.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

/// How many attempts are let through in a time.
///
/// `burst` is how many may go at once after a quiet time; beside that they are spaced evenly. Unless it is set it is a
/// twentieth of a second's worth, and at least 1. Timers are exact to a millisecond: what lets one through a millisecond
/// late makes up for it only with some burst, so a smaller one costs a fast rate some of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    period: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// So many a second; 0 counts as 1.
    #[must_use]
    pub const fn per_second(attempts: u32) -> Self {
        Self::spread(attempts, Duration::from_secs(1))
    }

    /// So many a minute; 0 counts as 1.
    #[must_use]
    pub const fn per_minute(attempts: u32) -> Self {
        Self::spread(attempts, Duration::from_secs(60))
    }

    /// So many an hour; 0 counts as 1.
    #[must_use]
    pub const fn per_hour(attempts: u32) -> Self {
        Self::spread(attempts, Duration::from_secs(3600))
    }

    /// How many may go at once after a quiet time; 0 counts as 1.
    #[must_use]
    pub const fn burst(mut self, attempts: u32) -> Self {
        self.burst = at_least_one(attempts);
        self
    }

    const fn spread(attempts: u32, over: Duration) -> Self {
        // Below a nanosecond only with billions a second, which is no limit.
        let period = match over.checked_div(attempts) {
            None => over,
            Some(period) if period.is_zero() => Duration::from_nanos(1),
            Some(period) => period,
        };
        let per_second = Duration::from_secs(1).as_nanos() / period.as_nanos();
        #[expect(clippy::cast_possible_truncation, reason = "at most ten to the eighth")]
        let burst = at_least_one((per_second / 20) as u32);
        Self { period, burst }
    }

    pub(super) fn quota(self) -> Quota {
        // governor computes with nanoseconds in 64 bits: a burst that takes longer than a century to fill is cut.
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let longest = u32::try_from(century.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        let burst = self.burst.min(at_least_one(longest));
        Quota::with_period(self.period).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst)
    }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_of_a_slow_rate_is_one_and_grows_with_fast_ones() {
        assert_eq!(Rate::per_second(10).burst.get(), 1);
        assert_eq!(Rate::per_second(20_000).burst.get(), 1000);
        assert_eq!(Rate::per_minute(30).period, Duration::from_secs(2));
    }

    #[test]
    fn no_rate_is_refused_however_odd() {
        for attempts in [0, 1, 3, u32::MAX] {
            for rate in [Rate::per_second(attempts), Rate::per_minute(attempts), Rate::per_hour(attempts)] {
                for burst in [0, 1, u32::MAX] {
                    let quota = rate.burst(burst).quota();
                    let limiter = governor::RateLimiter::direct_with_clock(quota, super::super::gate::TokioClock);
                    assert!(limiter.check().is_ok());
                }
            }
        }
    }
}
