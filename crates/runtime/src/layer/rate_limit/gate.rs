//! A gate that lets attempts through at a rate, in the order they came.
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
pub(crate) struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Gate {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>,
    burst: NonZeroU32,
    queue: Semaphore,
}

impl Gate {
    pub(super) fn new(quota: Quota) -> Self {
        let limiter = RateLimiter::direct_with_clock(quota, TokioClock);
        Self { limiter, burst: quota.burst_size(), queue: Semaphore::new(1) }
    }

    /// Waits for its turn. Cancel-safe: one that goes away takes nothing, and the next moves up.
    pub(super) async fn pass(&self) {
        let _first = self.queue.acquire().await;
        while let Err(early) = self.limiter.check() {
            sleep(early.wait_time_from(TokioClock.now())).await;
        }
    }

    /// Whether it is as good as new. Takes what it finds: ask only of a gate that is to be thrown away.
    pub(super) fn is_unused(&self) -> bool {
        matches!(self.limiter.check_n(self.burst), Ok(Ok(())))
    }
}
