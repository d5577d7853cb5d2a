//! How acks of events that come singly leave: sending and waking the broker cost far more than everything else that is
//! done for such an event, on both sides.
//!
//! In a dense flow they wait here a moment for each other. In a sparse one the kernel gets them at once and may keep each
//! until the broker sends the next event: it leaves with TCP's own acknowledgement of that, while the broker is awake.
//!
//! INVARIANT: an ack waits only while the broker can have no use for it, because [`MOST`] events at most are
//! unacknowledged, those included that are being handled; only while events come so close together that others are
//! likely to follow at once; here until the first millisecond of the clock at which the setting's time is over, in the
//! kernel until the broker's TCP has confirmed what was written before. In a burst none waits. A broker that sends
//! nothing before it has the acks is soon left in peace: each wait in vain doubles the pause before the next one.

use std::time::Duration;

use tokio::time::Instant;

/// So many acks leave at once. Whatever a client could take, some brokers have only ten events under way to it.
const MOST: usize = 4;
/// How many reads the time between two is averaged over, about: a few hiccups change nothing.
const MEMORY: u32 = 8;
/// For how many reads no ack waits after one has waited in vain, at least and at most.
const REST: (u32, u32) = (16, 4096);

/// Above so long a pause between two reads an ack does not count on the next one to come soon.
const SPARSE: Duration = Duration::from_millis(20);

/// How what is to be written leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    AtOnce,
    /// Then, or together with others before.
    Later(Instant),
    /// Given to the kernel, with TCP's acknowledgement of what the broker sends next.
    AlongWithTcp,
}

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
    /// From the read before to that one.
    pause: Duration,
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
            pause: Duration::MAX,
            gap: 2 * linger,
            resting: 0,
            rest: REST.0,
        }
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.pause = now - self.last_read;
        let gap = self.pause.min(2 * self.linger);
        self.gap = (self.gap * (MEMORY - 1) + gap) / MEMORY;
        self.last_read = now;
        self.resting = self.resting.saturating_sub(1);
    }

    /// So many acks more are in the write buffer.
    pub(super) fn add(&mut self, acks: usize, bytes: usize) {
        self.acks += acks;
        self.bytes += bytes;
    }

    /// How so many bytes leave that are to be written, while so many events are being handled.
    pub(super) fn leave(&mut self, output: usize, handled: usize) -> Leave {
        let few = self.acks + handled <= self.most && output == self.bytes && output > 0;
        let dense = self.gap < self.linger;
        if few && dense && self.acks < self.most && self.resting == 0 {
            return Leave::Later(*self.until.get_or_insert_with(|| Instant::now() + self.linger));
        }
        if self.until.is_some() {
            self.rest = REST.0;
        }
        self.release();
        let sparse = !dense && self.pause < SPARSE && !self.linger.is_zero();
        if few && sparse { Leave::AlongWithTcp } else { Leave::AtOnce }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_micros(50);

    /// How the ack of one event leaves, after reads that came so far apart, while so many other events are being handled.
    fn left(linger: Duration, gap: Duration, handled: usize) -> Leave {
        let mut acks = AckLinger::new(linger, 1024);
        let mut now = acks.last_read;
        for _ in 0..64 {
            now += gap;
            acks.heard(now);
        }
        acks.add(1, 4);
        acks.leave(4, handled)
    }

    #[test]
    fn acks_of_a_sparse_flow_may_leave_with_tcps_own() {
        for gap in [100, 500, 19_000] {
            assert_eq!(left(LINGER, Duration::from_micros(gap), 0), Leave::AlongWithTcp, "{gap} us");
        }
    }

    #[test]
    fn acks_of_a_dense_flow_wait_for_each_other() {
        assert!(matches!(left(LINGER, Duration::from_micros(20), 0), Leave::Later(_)));
    }

    #[test]
    fn an_ack_leaves_at_once_where_the_next_event_is_not_about_to_come() {
        assert_eq!(left(LINGER, Duration::from_millis(20), 0), Leave::AtOnce);
        let mut first = AckLinger::new(LINGER, 1024);
        first.add(1, 4);
        assert_eq!(first.leave(4, 0), Leave::AtOnce);
    }

    #[test]
    fn an_ack_leaves_at_once_while_others_are_being_handled_that_the_broker_may_wait_for() {
        let gap = Duration::from_micros(500);
        assert_eq!(left(LINGER, gap, MOST - 1), Leave::AlongWithTcp);
        assert_eq!(left(LINGER, gap, MOST), Leave::AtOnce);
    }

    #[test]
    fn an_ack_leaves_at_once_together_with_anything_else() {
        let mut acks = AckLinger::new(LINGER, 1024);
        acks.heard(acks.last_read + Duration::from_micros(500));
        acks.add(1, 4);
        assert_eq!(acks.leave(4 + 2, 0), Leave::AtOnce);
    }

    #[test]
    fn with_a_linger_of_zero_every_ack_leaves_at_once() {
        for gap in [20, 500] {
            assert_eq!(left(Duration::ZERO, Duration::from_micros(gap), 0), Leave::AtOnce, "{gap} us");
        }
    }

    #[test]
    fn with_a_window_of_a_few_events_every_ack_leaves_at_once() {
        let mut acks = AckLinger::new(LINGER, 3);
        acks.heard(acks.last_read + Duration::from_micros(500));
        acks.add(1, 4);
        assert_eq!(acks.leave(4, 0), Leave::AtOnce);
    }
}
