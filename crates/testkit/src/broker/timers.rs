//! What is to happen to sessions later: their end, and the publishing of their wills.
//!
//! A timer whose session has lived on since does nothing when it is due; they are cleared out when they are many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

use super::message::SessionId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Before the end of a session that is due at the same time, so that it is published once and in order.
    Will,
    SessionEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) at: Instant,
    pub(super) due: Due,
    pub(super) session: SessionId,
    /// The session's count of connections when the timer was set.
    pub(super) life: u64,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<Timer>>);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer) {
        self.0.push(Reverse(timer));
    }

    /// Forgets timers, when there are more than `limit`, that `keep` says nothing would be done for.
    pub(super) fn prune(&mut self, limit: usize, keep: impl FnMut(&Timer) -> bool) {
        let mut keep = keep;
        if self.0.len() > limit {
            self.0.retain(|timer| keep(&timer.0));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|timer| timer.0.at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|timer| timer.0)
    }
}
