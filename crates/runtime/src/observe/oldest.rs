//! Since when the oldest of something waits, told by one task and read by whoever looks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Oldest {
    /// In milliseconds after `base`, plus 1; 0: nothing waits.
    since: AtomicU64,
    base: OnceLock<Instant>,
}

impl Oldest {
    /// The oldest waits since then; `None`: nothing waits.
    pub(crate) fn set(&self, since: Option<Instant>) {
        let base = *self.base.get_or_init(Instant::now);
        let millis = |since: Instant| u64::try_from(since.saturating_duration_since(base).as_millis()).unwrap_or(0) + 1;
        self.since.store(since.map_or(0, millis), Ordering::Relaxed);
    }

    /// For how long the oldest has waited; zero when nothing waits.
    pub(crate) fn age(&self) -> Duration {
        match (self.since.load(Ordering::Relaxed), self.base.get()) {
            (0, _) | (_, None) => Duration::ZERO,
            (millis, Some(base)) => base.elapsed().saturating_sub(Duration::from_millis(millis - 1)),
        }
    }
}
