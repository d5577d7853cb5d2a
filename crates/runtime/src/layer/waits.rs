//! Tells waiting for a turn from handling: a rate or concurrency limit that holds an attempt back must not use up the
//! time that its handler is given.
//!
//! INVARIANT: the time that counts as waiting grows only between the first beginning and the last end of waits that
//! overlap, so no time is counted twice.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// What an attempt has waited for its turns.
#[derive(Debug, Default)]
pub(super) struct Waits {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    since: Option<Instant>,
    total: Duration,
}

/// A wait; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Wait<'a>(&'a Waits);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        if state.open == 0
            && let Some(since) = state.since.take()
        {
            state.total += since.elapsed();
            drop(state);
            self.0.ended.notify_one();
        }
    }
}

impl Waits {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) -> Wait<'_> {
        let mut state = self.state();
        state.open += 1;
        state.since.get_or_insert_with(Instant::now);
        Wait(self)
    }

    /// How long the attempt has waited so far.
    pub(super) fn total(&self) -> Duration {
        let state = self.state();
        state.total + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn is_waiting(&self) -> bool {
        self.state().open > 0
    }

    /// Ready once `limit` has passed since `started` beside all waits. What was waited before `started` must not be in
    /// here yet, or is given as `before`.
    pub(super) async fn used_up(&self, limit: Duration, started: Instant, before: Duration) {
        // Beyond what a clock can show: never.
        let Some(first) = started.checked_add(limit) else { return std::future::pending().await };
        sleep_until(first).await;
        loop {
            let waited = self.total().saturating_sub(before);
            let left = limit.saturating_sub(started.elapsed().saturating_sub(waited));
            if left.is_zero() {
                return;
            }
            // While it waits nothing is used up, so there is no time to wake at.
            match self.is_waiting() {
                true => self.ended.notified().await,
                false => sleep(left).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Stretches of time, waited or used, in milliseconds.
    fn stretches() -> impl Strategy<Value = Vec<(bool, u32)>> {
        prop::collection::vec((any::<bool>(), 0_u32..200), 0..20)
    }

    fn paused<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn only_what_is_not_waited_is_used_up(stretches in stretches(), limit in 1_u32..500) {
            // The naive model: walk along until `limit` milliseconds are used.
            let (mut used, mut at, mut cut_at) = (0, 0, None);
            for (waited, length) in &stretches {
                if !waited && used + length >= limit && cut_at.is_none() {
                    cut_at = Some(at + limit - used);
                }
                used += if *waited { 0 } else { *length };
                at += length;
            }
            paused(async {
                let waits = Waits::default();
                let started = Instant::now();
                let work = async {
                    for (waited, length) in &stretches {
                        let wait = waited.then(|| waits.begin());
                        sleep(MS * *length).await;
                        drop(wait);
                    }
                };
                let cut = tokio::select! {
                    // The other way round than at work: what ends in the millisecond of its limit is cut.
                    biased;
                    () = waits.used_up(MS * limit, started, Duration::ZERO) => true,
                    () = work => false,
                };
                let ended = started.elapsed();
                prop_assert_eq!(cut, cut_at.is_some());
                let expected = MS * cut_at.unwrap_or(at);
                prop_assert!(ended >= expected && ended <= expected + MS, "{:?} instead of {:?}", ended, expected);
                Ok(())
            })?;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn overlapping_waits_count_once() {
        let waits = Waits::default();
        let first = waits.begin();
        sleep(MS * 10).await;
        let second = waits.begin();
        sleep(MS * 10).await;
        drop(first);
        sleep(MS * 10).await;
        assert_eq!(waits.total(), MS * 30);
        drop(second);
        sleep(MS * 10).await;
        assert_eq!(waits.total(), MS * 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_end_uses_nothing_up() {
        let waits = Waits::default();
        let _wait = waits.begin();
        let used_up = waits.used_up(MS, Instant::now(), Duration::ZERO);
        assert!(timeout(Duration::from_secs(3600), used_up).await.is_err());
    }
}
