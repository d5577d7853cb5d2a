//! How much of the CPU that this process may use it does use.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Measures from one reading to the next.
#[derive(Debug)]
pub(super) struct CpuMeter {
    at: Instant,
    used: Duration,
    processors: f64,
}

impl CpuMeter {
    pub(super) fn new() -> Self {
        // Follows the quota of a container.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        #[expect(clippy::cast_precision_loss, reason = "no machine has so many")]
        Self { at: Instant::now(), used: used(), processors: processors as f64 }
    }

    /// The share of the time since the last reading, from 0 to about 1.
    pub(super) fn read(&mut self) -> f64 {
        let (at, used) = (Instant::now(), used());
        let wall = at.duration_since(self.at).as_secs_f64();
        let spent = used.saturating_sub(self.used).as_secs_f64();
        (self.at, self.used) = (at, used);
        if wall > 0.0 { spent / (wall * self.processors) } else { 0.0 }
    }
}

/// CPU time of this process since it began, over all threads.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}
