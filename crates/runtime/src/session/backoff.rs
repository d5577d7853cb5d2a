//! How long to wait before the next attempt: exponential, with jitter of two kinds. Attempts at one event or batch keep a
//! least distance. Connections have none: a thousand workers that lost the same broker must not come back in the same
//! instant, and without a least wait they come back evenly.

use std::time::Duration;

/// Exponential backoff with jitter.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// Least wait.
    least: Duration,
    /// Longest first wait.
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of at least `min`: at most twice that the first time, then doubled up to `max`.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { least: min, first: min.saturating_mul(2), max: max.max(min), failures: 0 }
    }

    /// Full jitter: waits between nothing and `first`, which is doubled each time up to `max`.
    pub(crate) fn full_jitter(first: Duration, max: Duration) -> Self {
        Self { least: Duration::ZERO, first, max: max.max(first), failures: 0 }
    }

    /// The last attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Longest delay before the next attempt.
    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The delay before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        self.least + (ceiling - self.least).mul_f64(fastrand::f64())
    }

    /// A delay for a peer that asked for patience: in the upper half of the longest one.
    pub(crate) fn longest(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.max.mul_f64(0.5 + 0.5 * fastrand::f64()).max(self.least)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delays_stay_between_the_limits_and_grow(min in 1_u64..5_000, more in 0_u64..100_000, failures in 0_usize..80) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(min + more));
            let mut backoff = Backoff::new(min, max);
            for failure in 0..failures {
                let delay = backoff.next();
                prop_assert!(delay >= min && delay <= max);
                let ceiling = min.saturating_mul(2_u32.saturating_pow(u32::try_from(failure + 1).unwrap()));
                prop_assert!(delay <= ceiling);
            }
            prop_assert!(backoff.longest() <= max.max(min));
            backoff.reset();
            prop_assert!(backoff.next() <= min * 2);
        }
    }

    /// A thousand connections that are lost together come back evenly over the whole of the first wait.
    #[test]
    fn with_full_jitter_a_herd_comes_back_spread_from_nothing_to_the_ceiling() {
        fastrand::seed(7);
        let (first, max) = (Duration::from_secs(1), Duration::from_secs(30));
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            let delay = Backoff::full_jitter(first, max).next();
            tenths[usize::try_from(delay.as_millis() / 100).unwrap().min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| (50..=150).contains(count)), "{tenths:?}");
        let mut backoff = Backoff::full_jitter(first, max);
        for ceiling in [1, 2, 4, 8, 16, 30, 30] {
            assert!(backoff.next() <= Duration::from_secs(ceiling));
        }
    }
}
