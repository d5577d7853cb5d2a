//! Cutting an attempt from outside: the stall ladder's way to end a handler that does not come back.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use tidemill_core::topic::TopicName;

use super::lanes::LaneKey;

/// What is asked of an event that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Demand {
    /// Nothing.
    None = 0,
    /// End this attempt; the route's retry policy goes on.
    Cut = 1,
    /// End this attempt, and make no further one: dead-letter the event.
    Bury = 2,
}

/// Shared between an attempt and the dispatcher's stall watch.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    demand: AtomicU8,
    waker: AtomicWaker,
    /// There is no attempt any more that could be cut: what it emitted, or its dead letter, is being handed over.
    handed_over: AtomicBool,
    /// Set when the attempt first waits.
    waiting: Mutex<Option<Waiting>>,
}

/// What must be known of an event whose handler waits, because the handler borrows the event itself.
#[derive(Clone, Debug)]
struct Waiting {
    /// What the stall watch names in its report.
    topic: TopicName,
    lane: Option<LaneKey>,
}

impl Cut {
    /// Asks for more than was asked before.
    pub(crate) fn demand(&self, demand: Demand) {
        if self.demand.fetch_max(demand as u8, Ordering::AcqRel) < demand as u8 {
            self.waker.wake();
        }
    }

    /// No further attempt will be made.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    /// Whether nothing can be asked of it any more.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// What was asked so far.
    pub(crate) fn demanded(&self) -> Demand {
        match self.demand.load(Ordering::Acquire) {
            0 => Demand::None,
            1 => Demand::Cut,
            _ => Demand::Bury,
        }
    }

    /// The next attempt begins: a demand to cut was about the last one.
    pub(crate) fn next_attempt(&self) {
        let _ = self.demand.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Registers the attempt that must be woken, and tells whether it is to end.
    pub(crate) fn poll(&self, waker: &std::task::Waker) -> bool {
        self.waker.register(waker);
        self.demanded() != Demand::None
    }

    /// Ready when the event is to go to the dead letters. Cancel-safe.
    pub(crate) async fn buried(&self) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.demanded() == Demand::Bury { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The attempt begins to wait.
    pub(crate) fn set_waiting(&self, topic: &TopicName, lane: Option<LaneKey>) {
        *self.lock() = Some(Waiting { topic: topic.clone(), lane });
    }

    /// The topic of the event, once its attempt has waited.
    pub(crate) fn topic(&self) -> Option<TopicName> {
        self.lock().as_ref().map(|waiting| waiting.topic.clone())
    }

    /// The lane of the event, once its attempt has waited.
    pub(crate) fn lane(&self) -> Option<LaneKey> {
        self.lock().as_ref().and_then(|waiting| waiting.lane)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
