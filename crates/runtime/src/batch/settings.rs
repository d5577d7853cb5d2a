//! How batches are made up.

use std::time::Duration;

/// When a batch is handled: as soon as one of these is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchSettings {
    /// Events in a batch at most; at least one is taken. More than the `dispatch.concurrency` of all instances together
    /// is never reached.
    pub max_events: usize,
    /// Bytes of payloads and topics in a batch at most. An event that alone has more comes alone.
    pub max_bytes: usize,
    /// How long the first event of a batch waits for others. Zero: a batch is what came while its task was started.
    pub linger: Duration,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            // Pays for one round trip, and a tenth of the default window: several batches are under way at once.
            max_events: 100,
            // A size that databases and HTTP servers take in one piece.
            max_bytes: 1024 * 1024,
            // About what a bulk write takes, so that waiting at most doubles the time.
            linger: Duration::from_millis(10),
        }
    }
}

impl BatchSettings {
    /// Sets how many events a batch holds.
    #[must_use]
    pub fn max_events(mut self, max_events: usize) -> Self {
        self.max_events = max_events;
        self
    }

    /// Sets how many bytes of payloads and topics a batch holds.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets how long the first event of a batch waits for others.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}
