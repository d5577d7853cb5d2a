//! The circuit breaker of a sink: after failures in a row, one write at a time is tried, seldom, until one succeeds.
//!
//! INVARIANT: while the breaker is open, only the holder of the turn writes. It keeps the turn until the sink has
//! answered it, and an answer closes the breaker; so whoever waits for the turn finds it closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
struct Failing {
    failures: u32,
    /// When the first of the failed writes began.
    since: Option<Instant>,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Breaker {
    /// 0: no limit.
    max_failures: u32,
    /// Zero: no limit.
    max_time: Duration,
    failing: Mutex<Failing>,
    open: AtomicBool,
    turn: Semaphore,
}

impl Breaker {
    pub(super) fn new(max_failures: u32, max_time: Duration) -> Self {
        Self {
            max_failures,
            max_time,
            failing: Mutex::default(),
            open: AtomicBool::new(false),
            turn: Semaphore::new(1),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until a write may begin: at once while closed, else for the turn to try, which is given back. Cancel-safe.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if !self.is_open() {
            return None;
        }
        // Never closed, so this is always a permit.
        let permit = self.turn.acquire().await.ok();
        permit.filter(|_| self.is_open())
    }

    /// A write that began then has failed. `true` when the breaker opens for it.
    pub(super) fn failed(&self, began: Instant) -> bool {
        let mut failing = self.lock();
        failing.failures = failing.failures.saturating_add(1);
        let since = failing.since.map_or(began, |since| since.min(began));
        failing.since = Some(since);
        let many = self.max_failures > 0 && failing.failures >= self.max_failures;
        let long = !self.max_time.is_zero() && since.elapsed() >= self.max_time;
        (many || long) && !self.open.swap(true, Ordering::AcqRel)
    }

    /// Opens at once. `true` when it was closed.
    pub(super) fn trip(&self) -> bool {
        !self.open.swap(true, Ordering::AcqRel)
    }

    /// The sink has answered. `true` when the breaker closes for it.
    pub(super) fn answered(&self) -> bool {
        *self.lock() = Failing::default();
        self.open.load(Ordering::Acquire) && self.open.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_an_answer_closes_it() {
        let breaker = Breaker::new(3, Duration::ZERO);
        let now = Instant::now();
        assert!(!breaker.failed(now) && !breaker.failed(now));
        assert!(!breaker.answered(), "it was not open");
        assert!(!breaker.failed(now) && !breaker.failed(now), "the row was broken");
        assert!(breaker.failed(now) && breaker.is_open());
        assert!(!breaker.failed(now), "it is open already");
        assert!(breaker.answered() && !breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn failing_for_long_opens_it_even_by_one_write() {
        let breaker = Breaker::new(0, Duration::from_secs(30));
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!breaker.failed(Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(breaker.failed(began), "it began half a minute ago");
    }

    #[tokio::test(start_paused = true)]
    async fn while_open_one_tries_and_the_others_wait_for_its_end() {
        let breaker = Breaker::new(1, Duration::ZERO);
        assert!(breaker.turn().await.is_none(), "closed: nobody waits");
        breaker.failed(Instant::now());
        let first = breaker.turn().await;
        assert!(first.is_some());
        let mut second = Box::pin(breaker.turn());
        assert!((&mut second).now_or_never().is_none());
        breaker.answered();
        drop(first);
        assert!(second.await.is_none(), "it is closed: no turn is needed");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_its_turn_leaves_it_to_the_next() {
        let breaker = Breaker::new(1, Duration::ZERO);
        assert!(breaker.trip() && !breaker.trip());
        let first = breaker.turn().await;
        let second = breaker.turn();
        drop(first);
        assert!(second.await.is_some());
    }
}
