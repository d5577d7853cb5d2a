//! The hand-off between the session and the dispatcher of one instance: deliveries go one way, finished numbers the
//! other, whole batches at a time, so that a burst costs one lock and at most one wake-up in each direction.
//!
//! INVARIANT (G5, G6): neither side ever waits for the other. Both queues are bounded because every delivery in them
//! occupies a place in the session's window until it is finished.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tidemill_core::Arrival;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::window::Seq;
use crate::wake::Signal;

/// A received event plus the duty to acknowledge it.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) arrival: Arrival,
    pub(crate) ack: Ack,
}

/// What must happen in the session when a delivery is finished. Dropping it does nothing (G1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// QoS 0: give back the place and the bytes it took.
    Release { bytes: u32 },
    /// QoS 1: acknowledge the event with this number.
    Number(Seq),
}

/// When the deliveries of one read came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
}

/// What the dispatcher takes at once.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// The deliveries of each read. They stay in the vector that they were decoded into.
    pub(crate) bursts: Vec<(Burst, Vec<Delivery>)>,
    /// QoS 0 events that were dropped for want of room.
    pub(crate) dropped: u64,
    /// No more deliveries will come.
    pub(crate) closed: bool,
}

/// Where one side leaves something for the other.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Inbound,
    /// Vectors of earlier reads, emptied, at most [`SPARE`].
    spare: Vec<Vec<Delivery>>,
}

/// So many vectors wait to be used again: more reads than a dispatcher that keeps up finds waiting.
const SPARE: usize = 16;

/// What the session takes at once.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) numbers: Vec<Seq>,
    pub(crate) released: usize,
    pub(crate) released_bytes: usize,
}

impl Finished {
    #[inline(always)]
    pub(crate) fn push(&mut self, ack: Ack) {
        match ack {
            Ack::Number(seq) => self.numbers.push(seq),
            Ack::Release { bytes } => {
                self.released += 1;
                self.released_bytes += bytes as usize;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.released == 0
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Link {
    inbound: Mutex<Inbox>,
    inbound_ready: Signal,
    finished: Mutex<Finished>,
    finished_ready: Signal,
    session_lost: Notify,
    /// Events whose records wait to be written.
    in_sinks: AtomicUsize,
    written: Notify,
    /// How often the dispatcher has taken what waited: its progress.
    taken: AtomicU64,
    /// First number that can still be acknowledged: everything below belongs to an ended session (G3).
    floor: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these locks is held; if it did, the data would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Session: hands over the deliveries of one read, leaving `deliveries` empty.
    pub(crate) fn deliver(&self, deliveries: &mut Vec<Delivery>, dropped: u64, at: Instant, wall: SystemTime) {
        {
            let mut inbound = lock(&self.inbound);
            // Without deliveries nothing would bound the bursts but the dispatcher's haste.
            if !deliveries.is_empty() {
                let emptied = inbound.spare.pop().unwrap_or_default();
                inbound.waiting.bursts.push((Burst { at, wall }, std::mem::replace(deliveries, emptied)));
            }
            inbound.waiting.dropped += dropped;
        }
        self.inbound_ready.tell();
    }

    /// Session: no more deliveries will come.
    pub(crate) fn close(&self) {
        lock(&self.inbound).waiting.closed = true;
        self.inbound_ready.tell();
    }

    /// Dispatcher: exchanges everything that waits for the emptied buffers of the last time.
    pub(crate) fn take_inbound(&self, emptied: &mut Inbound) {
        emptied.dropped = 0;
        self.taken.fetch_add(1, Ordering::Relaxed);
        let mut inbound = lock(&self.inbound);
        let room = SPARE.saturating_sub(inbound.spare.len());
        inbound.spare.extend(emptied.bursts.drain(..).take(room).map(|(_, mut deliveries)| {
            deliveries.clear();
            deliveries
        }));
        emptied.closed = inbound.waiting.closed;
        std::mem::swap(&mut inbound.waiting, emptied);
        inbound.waiting.closed = emptied.closed;
    }

    /// Dispatcher: waits until there may be something to take. Cancel-safe.
    pub(crate) async fn inbound_ready(&self) {
        self.inbound_ready.told().await;
    }

    /// How often the dispatcher has looked here.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether deliveries wait that the dispatcher has not taken.
    pub(crate) fn has_inbound(&self) -> bool {
        !lock(&self.inbound).waiting.bursts.is_empty()
    }

    /// Dispatcher and sinks: reports finished deliveries, leaving `done` empty.
    pub(crate) fn finish(&self, done: &mut Finished) {
        if done.is_empty() {
            return;
        }
        {
            let mut finished = lock(&self.finished);
            if finished.numbers.is_empty() {
                std::mem::swap(&mut finished.numbers, &mut done.numbers);
            } else {
                finished.numbers.append(&mut done.numbers);
            }
            finished.released += std::mem::take(&mut done.released);
            finished.released_bytes += std::mem::take(&mut done.released_bytes);
        }
        self.finished_ready.tell();
    }

    /// Sinks: the records of another event wait to be written.
    pub(crate) fn enter_sinks(&self) {
        self.in_sinks.fetch_add(1, Ordering::AcqRel);
    }

    /// Sinks: those of an event do not wait any more.
    pub(crate) fn leave_sinks(&self) {
        if self.in_sinks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.written.notify_waiters();
        }
    }

    /// Waits until no event's records wait to be written. Cancel-safe.
    pub(crate) async fn all_written(&self) {
        loop {
            let written = self.written.notified();
            if self.in_sinks.load(Ordering::Acquire) == 0 {
                return;
            }
            written.await;
        }
    }

    /// Session: exchanges everything that was finished for the emptied buffer of the last time.
    pub(crate) fn take_finished(&self, emptied: &mut Finished) {
        emptied.numbers.clear();
        emptied.released = 0;
        emptied.released_bytes = 0;
        std::mem::swap(&mut *lock(&self.finished), emptied);
    }

    /// Session: waits until something may be finished. Cancel-safe.
    pub(crate) async fn finished_ready(&self) {
        self.finished_ready.told().await;
    }

    /// Session: everything below `floor` can no longer be acknowledged.
    pub(crate) fn raise_floor(&self, floor: Seq) {
        self.floor.store(floor, Ordering::Release);
    }

    /// Session: it has ended without acknowledging everything; whoever waits to try again need not.
    pub(crate) fn lose_session(&self, floor: Seq) {
        self.raise_floor(floor);
        self.session_lost.notify_waiters();
    }

    /// Waits until a session ends, counted from this call. Look at [`is_stale`](Self::is_stale) afterwards. Cancel-safe.
    pub(crate) fn session_lost(&self) -> Notified<'_> {
        self.session_lost.notified()
    }

    /// Whether the session that the delivery came through has ended, so that the broker will deliver it again.
    #[inline]
    pub(crate) fn is_stale(&self, ack: Ack) -> bool {
        match ack {
            Ack::Number(seq) => seq < self.floor.load(Ordering::Acquire),
            Ack::Release { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood of events that are all dropped must not fill the memory of a dispatcher that is busy.
    #[test]
    fn what_was_only_dropped_is_counted_and_takes_no_room() {
        let link = Link::default();
        for _ in 0..1000 {
            link.deliver(&mut Vec::new(), 3, Instant::now(), SystemTime::now());
        }
        let mut inbound = Inbound::default();
        link.take_inbound(&mut inbound);
        assert_eq!((inbound.dropped, inbound.bursts.len()), (3000, 0));
    }
}
