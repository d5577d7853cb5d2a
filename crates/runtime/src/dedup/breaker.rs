//! Leaving a store alone that fails.
//!
//! INVARIANT: after a failure nobody asks the store until its rest is over, then one does, and all do as soon as one got
//! an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_core::{BoxError, report};
use tokio::time::Instant;
use tracing::{info, warn};

/// How long a store that failed is left alone.
const REST: Duration = Duration::from_secs(1);
/// How long the one who tries again has the store to itself, whatever its limit.
const LONGEST_TRY: Duration = Duration::from_secs(60);

/// Leaves a store alone that fails, so that events need not wait for the limit one after another.
pub(super) struct Breaker {
    epoch: Instant,
    /// When the store may be asked again, in milliseconds since the epoch; zero while it answers.
    until: AtomicU64,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), until: AtomicU64::new(0) }
    }

    /// The time so long from now.
    fn after(&self, delay: Duration) -> u64 {
        u64::try_from(self.epoch.elapsed().saturating_add(delay).as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Whether the store may be asked now. Of those that come when its rest is over, one may.
    pub(super) fn may_ask(&self, limit: Duration) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        // Should the one who may be dropped before there is an answer, it is another one's turn after that.
        let next = self.after(limit.min(LONGEST_TRY).saturating_add(REST));
        until <= self.after(Duration::ZERO)
            && self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes note of an answer, or of the want of one.
    pub(super) fn note(&self, failure: Option<&BoxError>) {
        match failure {
            None if self.until.load(Ordering::Relaxed) == 0 => {}
            None => {
                if self.until.swap(0, Ordering::Relaxed) != 0 {
                    info!("the dedup store answers again");
                }
            }
            Some(failure) => {
                if self.until.swap(self.after(REST), Ordering::Relaxed) == 0 {
                    warn!(error = report(&**failure), "the dedup store fails; events are handled unchecked");
                }
            }
        }
    }
}
