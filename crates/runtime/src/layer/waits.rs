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
