//! Acks of events that come singly wait a moment and leave together: sending and waking the broker cost far more than
//! everything else that is done for such an event, on both sides.
//!
//! INVARIANT: acks wait only while the broker can have no use for them, because [`MOST`] events at most are
//! unacknowledged, those included that are being handled; and only as long as the setting says. In a burst none waits.

use std::time::Duration;

use tokio::time::Instant;

/// So many acks leave at once. Whatever a client could take, some brokers have only ten events under way to it.
const MOST: usize = 4;

/// See the module's description.
#[derive(Debug)]
pub(super) struct AckLinger {
    /// 0: acks leave at once.
    linger: Duration,
    most: usize,
    /// Acks in the write buffer, and their bytes.
    acks: usize,
    bytes: usize,
    /// When they leave at the latest.
    until: Option<Instant>,
    last_read: Instant,
    /// The last read came so soon after the one before that another one is likely to come in time.
    flows: bool,
}

impl AckLinger {
    /// `window`: how many events the broker may have unacknowledged.
    pub(super) fn new(linger: Duration, window: usize) -> Self {
        let last_read = Instant::now();
        Self { linger, most: MOST.min(window / 4), acks: 0, bytes: 0, until: None, last_read, flows: false }
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.flows = now - self.last_read < self.linger;
        self.last_read = now;
    }

    /// So many acks more are in the write buffer.
    pub(super) fn add(&mut self, acks: usize, bytes: usize) {
        self.acks += acks;
        self.bytes += bytes;
    }

    /// Until when nothing is written, of so many bytes that are to be written and while so many events are being handled.
    pub(super) fn waits(&mut self, output: usize, handled: usize) -> Option<Instant> {
        let occupied = self.acks >= self.most || self.acks + handled > self.most;
        if !self.flows || occupied || output == 0 || output != self.bytes {
            self.release();
            return None;
        }
        Some(*self.until.get_or_insert_with(|| Instant::now() + self.linger))
    }

    /// They leave now.
    pub(super) fn release(&mut self) {
        (self.acks, self.bytes, self.until) = (0, 0, None);
    }
}
