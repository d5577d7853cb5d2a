//! The rate of a sink: so many records a second, in the order in which batches ask.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::layer::TokioClock;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>,
    /// governor favours whoever asks at the right moment; so only the first asks.
    queue: Semaphore,
}

impl Pace {
    /// `None` without a rate. A batch must not be larger than `burst`.
    pub(crate) fn new(per_second: u32, burst: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(NonZeroU32::new(burst)?);
        let limiter = RateLimiter::direct_with_clock(quota, TokioClock);
        Some(Self { limiter, queue: Semaphore::new(1) })
    }

    /// Waits until so many records may be written. Cancel-safe: what is cancelled takes nothing.
    pub(crate) async fn pass(&self, records: usize) {
        let Some(records) = u32::try_from(records).ok().and_then(NonZeroU32::new) else { return };
        let _first = self.queue.acquire().await;
        // More than a burst is never let through by governor; batches are cut below it, so this is the exception.
        while let Ok(Err(early)) = self.limiter.check_n(records) {
            sleep(early.wait_time_from(TokioClock.now())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_pass_at_the_rate_after_the_first_burst() {
        let pace = Pace::new(100, 50).unwrap();
        let start = Instant::now();
        for _ in 0..30 {
            pace.pass(10).await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(2490)..Duration::from_millis(2600)).contains(&took), "{took:?}");
    }

    #[test]
    fn without_a_rate_there_is_no_pace() {
        assert!(Pace::new(0, 10).is_none());
    }
}
