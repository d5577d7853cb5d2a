//! Acks of events that come singly wait a moment and leave together: sending and waking the broker cost far more than
//! everything else that is done for such an event, on both sides.
//!
//! INVARIANT: acks wait only while the broker can have no use for them, because [`MOST`] events at most are
//! unacknowledged, those included that are being handled; only while events come so close together that others are
//! likely to follow at once; and only as long as the setting says. In a burst none waits. A broker that sends nothing
//! before it has the acks is soon left in peace: each wait in vain doubles the pause before the next one.

use std::time::Duration;

use tokio::time::Instant;

/// So many acks leave at once. Whatever a client could take, some brokers have only ten events under way to it.
const MOST: usize = 4;
/// How many reads the time between two is averaged over, about: a few hiccups change nothing.
const MEMORY: u32 = 8;
/// For how many reads no ack waits after one has waited in vain, at least and at most.
const REST: (u32, u32) = (16, 4096);

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
    /// From one read to the next, on average; a long pause counts as twice the linger.
    gap: Duration,
    /// No ack waits for so many reads more.
    resting: u32,
    /// For how many it is to be after the next wait in vain.
    rest: u32,
}

impl AckLinger {
    /// `window`: how many events the broker may have unacknowledged.
    pub(super) fn new(linger: Duration, window: usize) -> Self {
        Self {
            linger,
            most: MOST.min(window / 4),
            acks: 0,
            bytes: 0,
            until: None,
            last_read: Instant::now(),
            gap: 2 * linger,
            resting: 0,
            rest: REST.0,
        }
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant) {
        let gap = (now - self.last_read).min(2 * self.linger);
        self.gap = (self.gap * (MEMORY - 1) + gap) / MEMORY;
        self.last_read = now;
        self.resting = self.resting.saturating_sub(1);
    }

    /// So many acks more are in the write buffer.
    pub(super) fn add(&mut self, acks: usize, bytes: usize) {
        self.acks += acks;
        self.bytes += bytes;
    }

    /// Until when nothing is written, of so many bytes that are to be written and while so many events are being handled.
    pub(super) fn waits(&mut self, output: usize, handled: usize) -> Option<Instant> {
        let waits = self.acks < self.most && self.acks + handled <= self.most;
        if !waits || self.gap >= self.linger || self.resting > 0 || output == 0 || output != self.bytes {
            if self.until.is_some() {
                self.rest = REST.0;
            }
            self.release();
            return None;
        }
        Some(*self.until.get_or_insert_with(|| Instant::now() + self.linger))
    }

    /// They leave now.
    pub(super) fn release(&mut self) {
        (self.acks, self.bytes, self.until) = (0, 0, None);
    }

    /// They leave now, because too few came in time. Where nothing came in the second half of it either, the broker may
    /// have waited too.
    pub(super) fn time_is_up(&mut self, now: Instant) {
        self.release();
        if now - self.last_read >= self.linger / 2 {
            self.resting = self.rest;
            self.rest = (self.rest * 2).min(REST.1);
        }
    }
}
