//! A gate that lets through at a rate, in the order in which they came: attempts, records of a sink, publications.
//!
//! governor tells whether one may go now, and favours whoever asks at the right moment. So there is a queue in front:
//! only its first asks, and the others wait for their place.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// tokio's clock, which tests can pause.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Gate {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>,
    burst: NonZeroU32,
    queue: Semaphore,
}

impl Gate {
    pub(super) fn new(quota: Quota) -> Self {
        let limiter = RateLimiter::direct_with_clock(quota, TokioClock);
        Self { limiter, burst: quota.burst_size(), queue: Semaphore::new(1) }
    }

    /// Lets so many through each second, and so many at once after a quiet time. `None` without a rate or a burst.
    pub(crate) fn per_second(rate: u32, burst: u32) -> Option<Self> {
        Some(Self::new(Quota::per_second(NonZeroU32::new(rate)?).allow_burst(NonZeroU32::new(burst)?)))
    }

    /// Waits for its turn. Cancel-safe: one that goes away takes nothing, and the next moves up.
    pub(super) async fn pass(&self) {
        self.pass_many(1).await;
    }

    /// Waits until so many may go together. Cancel-safe as well. More than a burst never may, and are let through.
    pub(crate) async fn pass_many(&self, count: usize) {
        let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) else { return };
        let _first = self.queue.acquire().await;
        while let Ok(Err(early)) = self.limiter.check_n(count) {
            sleep(early.wait_time_from(TokioClock.now())).await;
        }
    }

    /// Whether it is as good as new. Takes what it finds: ask only of a gate that is to be thrown away.
    pub(super) fn is_unused(&self) -> bool {
        matches!(self.limiter.check_n(self.burst), Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn they_pass_at_the_rate_after_the_first_burst() {
        let gate = Gate::per_second(100, 50).unwrap();
        let start = Instant::now();
        for _ in 0..30 {
            gate.pass_many(10).await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(2490)..Duration::from_millis(2600)).contains(&took), "{took:?}");
    }

    #[test]
    fn without_a_rate_there_is_no_gate() {
        assert!(Gate::per_second(0, 10).is_none());
    }
}
