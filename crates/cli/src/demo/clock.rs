//! The demo's clock: publishers and handlers are one process, so one monotonic clock serves both ends.

use tokio::time::Instant;

/// Nanoseconds since the demo began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
