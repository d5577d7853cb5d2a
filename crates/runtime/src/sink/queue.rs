//! The queue of a sink: bounded in records and bytes.
//!
//! Handing a record in takes one short lock and, as a rule, wakes nobody: the engine takes everything that waits at once,
//! as soon as it can use it.
//!
//! INVARIANT (G5): what was handed in and is not yet written or refused never exceeds the limits, wherever in the engine
//! it is; one record that is larger than the limit of bytes counts as exactly that, so it waits until it is alone.
//! Nobody is overtaken: who finds the queue full, or others waiting for room, waits behind them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::ticket::Item;
use crate::config::SinkSettings;
use crate::observe::SinkMetrics;

/// The engine has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    max_records: usize,
    max_bytes: u32,
    metrics: SinkMetrics,
    /// Something waits to be taken that was not there before, or no more will come.
    ready: Notify,
    /// Something left. Whoever holds the turn listens.
    freed: Notify,
    /// Of those that wait for room, the first.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// Handed in and not yet taken.
    waiting: Vec<Item>,
    /// Handed in and not yet done with, and their bytes.
    records: usize,
    bytes: u64,
    /// How many wait for room.
    outside: usize,
    /// Every handle is gone.
    ended: bool,
    /// The engine has ended.
    closed: bool,
}

/// One that waits for room.
struct Outside<'q>(&'q Queue);

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.0.state().outside -= 1;
    }
}

/// Whether a record was handed in.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, on the stack")]
pub(crate) enum Tried {
    /// It was.
    In,
    /// There is no room now, or others wait for it.
    Full(Item),
    /// The engine has ended.
    Closed,
}

/// Who hands a record in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The first of those that wait.
    HoldsTurn,
    /// One that waits, if there is no room, and counts as outside from then on.
    Waits,
    /// One that does something else if there is no room.
    Asks,
}

impl Queue {
    fn new(settings: &SinkSettings, metrics: SinkMetrics) -> Self {
        Self {
            state: Mutex::default(),
            max_records: settings.queue_records.max(1) as usize,
            max_bytes: u32::try_from(settings.queue_bytes).unwrap_or(u32::MAX).max(1),
            metrics,
            ready: Notify::new(),
            freed: Notify::new(),
            turn: Semaphore::new(1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, state: &State) {
        self.metrics.queue.set(i64::try_from(state.records).unwrap_or(i64::MAX));
        self.metrics.queue_bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }

    /// Hands an item in if there is room.
    fn try_enter(&self, item: Item, who: Who) -> Tried {
        let is_first = {
            let mut state = self.state();
            if state.closed {
                return Tried::Closed;
            }
            let bytes = state.bytes + u64::from(item.bytes);
            let fits = state.records < self.max_records && bytes <= u64::from(self.max_bytes);
            if !fits || (state.outside > 0 && who != Who::HoldsTurn) {
                state.outside += usize::from(who == Who::Waits);
                return Tried::Full(item);
            }
            state.records += 1;
            state.bytes = bytes;
            self.show(&state);
            state.waiting.push(item);
            state.waiting.len() == 1
        };
        if is_first {
            self.ready.notify_one();
        }
        Tried::In
    }

    async fn enter(&self, item: Item) -> Result<(), Ended> {
        let mut item = match self.try_enter(item, Who::Waits) {
            Tried::In => return Ok(()),
            Tried::Closed => return Err(Ended),
            Tried::Full(item) => item,
        };
        let _outside = Outside(self);
        let _turn = self.turn.acquire().await.map_err(|_| Ended)?;
        loop {
            item = match self.try_enter(item, Who::HoldsTurn) {
                Tried::In => return Ok(()),
                Tried::Closed => return Err(Ended),
                Tried::Full(item) => item,
            };
            // What was freed since the look is remembered.
            self.freed.notified().await;
        }
    }

    /// Exchanges everything that waits for an empty buffer. `true` when no more will come.
    pub(super) fn take(&self, emptied: &mut Vec<Item>) -> bool {
        debug_assert!(emptied.is_empty(), "what was taken is forgotten");
        let mut state = self.state();
        std::mem::swap(&mut state.waiting, emptied);
        state.ended
    }

    /// Waits until there may be something to take. Cancel-safe.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// So many records of so many bytes are done with.
    pub(super) fn leave(&self, records: usize, bytes: u64) {
        {
            let mut state = self.state();
            state.records -= records;
            state.bytes -= bytes;
            self.show(&state);
        }
        self.freed.notify_one();
    }

    /// Sends everyone away who waits, and whoever comes; what was not taken is dropped.
    pub(super) fn close(&self) {
        let dropped = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        drop(dropped);
        self.turn.close();
        self.freed.notify_one();
    }
}

/// Ends the queue with the last handle.
struct Entrance(Arc<Queue>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.ready.notify_one();
    }
}

/// Where records for a sink are handed in.
#[derive(Clone)]
pub(crate) struct SinkHandle(Arc<Entrance>);

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkHandle")
    }
}

impl SinkHandle {
    /// Hands a record in, waiting for room in the queue. When it is cancelled the record was not handed in.
    pub(crate) async fn send(&self, mut item: Item) -> Result<(), Ended> {
        let queue = &self.0.0;
        item.bytes = item.bytes.min(queue.max_bytes);
        queue.enter(item).await
    }

    /// Hands a record in if there is room for it now.
    pub(crate) fn try_send(&self, mut item: Item) -> Tried {
        let queue = &self.0.0;
        item.bytes = item.bytes.min(queue.max_bytes);
        queue.try_enter(item, Who::Asks)
    }
}

/// A queue with these limits, and where to hand in.
pub(super) fn queue(settings: &SinkSettings, metrics: SinkMetrics) -> (SinkHandle, Arc<Queue>) {
    let queue = Arc::new(Queue::new(settings, metrics));
    (SinkHandle(Arc::new(Entrance(Arc::clone(&queue)))), queue)
}
