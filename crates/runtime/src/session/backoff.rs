//! How long to wait before the next attempt: exponential with full jitter, so that a thousand workers that lost the
//! same broker do not come back in the same instant.

use std::time::Duration;

/// Exponential backoff with full jitter.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), failures: 0 }
    }

    /// The last attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Longest delay after the failures so far.
    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.min.saturating_mul(factor).min(self.max)
    }

    /// The delay before the next attempt: between `min` and twice as much as the last time.
    pub(crate) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.min + (self.ceiling() - self.min).mul_f64(fastrand::f64())
    }

    /// A delay for a peer that asked for patience: in the upper half of the longest one.
    pub(crate) fn longest(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.max.mul_f64(0.5 + 0.5 * fastrand::f64()).max(self.min)
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
}
