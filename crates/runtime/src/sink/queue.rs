//! The queue of a sink: bounded in records and bytes.
//!
//! Whoever hands a record in puts it straight into the batch that it will leave in. That takes one short lock and, as a
//! rule, wakes nobody: the engine takes whole batches, as soon as it can use them.
//!
//! INVARIANT (G5): what was handed in and is not yet written or refused never exceeds the limits, wherever in the engine
//! it is; one record that is larger than the limit of bytes counts as exactly that, so it waits until it is alone.
//! Nobody is overtaken: who finds the queue full, or others waiting for room, waits behind them.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemill_core::Record;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::batch::Batch;
use super::batcher::{Batcher, Leave};
use super::ticket::{Item, Owed, Ticket, size};
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
    is_partitioned: bool,
    metrics: SinkMetrics,
    /// A batch may leave sooner than the engine knows, or no more records will come.
    ready: Notify,
    /// Something left. Whoever holds the turn listens.
    freed: Notify,
    /// Of those that wait for room, the first.
    turn: Semaphore,
}

#[derive(Debug)]
struct State {
    /// Handed in and not yet under way.
    batcher: Batcher<Batch>,
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

/// See [`Queue::look`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Nothing waits to leave.
    pub(super) is_empty: bool,
    /// When something may leave that waits only for its time.
    pub(super) next_due: Option<Instant>,
    /// When the oldest event arrived whose record is first to leave.
    pub(super) oldest: Option<Instant>,
}

/// One that waits for room.
struct Outside<'q>(&'q Queue);

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.0.state().outside -= 1;
    }
}

/// Whether a record was handed in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tried {
    /// It was.
    In,
    /// There is no room now, or others wait for it.
    Full,
    /// The engine has ended.
    Closed,
}

/// What the queue must know of a record that comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Of its key, where that matters.
    hash: u64,
    /// What it counts for.
    bytes: u32,
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
    fn new(settings: &SinkSettings, batcher: Batcher<Batch>, metrics: SinkMetrics) -> Self {
        Self {
            is_partitioned: batcher.is_partitioned(),
            state: Mutex::new(State { batcher, records: 0, bytes: 0, outside: 0, ended: false, closed: false }),
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

    /// Lets `put` put a record into its batch, if there is room.
    #[inline]
    fn try_enter(&self, place: Place, who: Who, put: impl FnOnce(&mut Batch)) -> Tried {
        let size = u64::from(place.bytes);
        let tells = {
            let mut state = self.state();
            if state.closed {
                return Tried::Closed;
            }
            let bytes = state.bytes + size;
            let fits = state.records < self.max_records && bytes <= u64::from(self.max_bytes);
            if !fits || (state.outside > 0 && who != Who::HoldsTurn) {
                state.outside += usize::from(who == Who::Waits);
                return Tried::Full;
            }
            state.records += 1;
            state.bytes = bytes;
            self.show(&state);
            state.batcher.push(place.hash, size, Instant::now, put)
        };
        if tells {
            self.ready.notify_one();
        }
        Tried::In
    }

    fn hash(&self, record: &Record) -> u64 {
        if !self.is_partitioned {
            return 0;
        }
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        hasher.write(record.key.as_deref().unwrap_or_default());
        hasher.finish()
    }

    async fn enter(&self, item: Item) -> Result<(), Ended> {
        let place = Place { hash: self.hash(&item.record), bytes: item.owed.bytes };
        let mut item = Some(item);
        let mut put = |batch: &mut Batch| batch.extend(item.take());
        match self.try_enter(place, Who::Waits, &mut put) {
            Tried::In => return Ok(()),
            Tried::Closed => return Err(Ended),
            Tried::Full => {}
        }
        let _outside = Outside(self);
        let _turn = self.turn.acquire().await.map_err(|_| Ended)?;
        loop {
            match self.try_enter(place, Who::HoldsTurn, &mut put) {
                Tried::In => return Ok(()),
                Tried::Closed => return Err(Ended),
                Tried::Full => {}
            }
            // What was freed since the look is remembered.
            self.freed.notified().await;
        }
    }

    /// The next batch that may leave now, and its partition.
    pub(super) fn next(&self, leave: Leave) -> Option<(usize, Batch)> {
        self.state().batcher.next(Instant::now(), leave)
    }

    /// A batch of the partition is no longer under way.
    pub(super) fn landed(&self, partition: usize) {
        self.state().batcher.landed(partition);
    }

    /// Takes back what was under way and could not be written, which it had not left.
    pub(super) fn put_back(&self, items: Vec<Item>) {
        let mut state = self.state();
        for item in items {
            let (hash, bytes) = (self.hash(&item.record), u64::from(item.owed.bytes));
            state.batcher.push(hash, bytes, Instant::now, |batch| batch.extend([item]));
        }
    }

    /// Whether no more records will come.
    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// What the engine should know before it waits.
    pub(super) fn look(&self) -> Look {
        let state = self.state();
        let batcher = &state.batcher;
        Look {
            is_empty: batcher.is_empty(),
            next_due: batcher.next_due(),
            oldest: batcher.fronts().filter_map(|batch| batch.oldest).min(),
        }
    }

    /// Waits until there may be something to take that was not there at the last look. Cancel-safe.
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

    /// Takes an emptied batch to use its room again.
    pub(super) fn reuse(&self, emptied: Batch) {
        self.state().batcher.reuse(emptied);
    }

    /// Sends everyone away who waits, and whoever comes; what waits to leave is dropped.
    pub(super) fn close(&self) {
        let dropped = {
            let mut state = self.state();
            state.closed = true;
            state.batcher.take_all()
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
        item.owed.bytes = item.owed.bytes.min(queue.max_bytes);
        queue.enter(item).await
    }

    /// What the queue must know of a record before it comes.
    #[inline]
    pub(crate) fn place(&self, record: &Record) -> Place {
        let queue = &self.0.0;
        Place { hash: queue.hash(record), bytes: size(record).min(queue.max_bytes) }
    }

    /// Hands a record in if there is room for it now. Only then record and ticket are asked for: they are large, and go
    /// right into their places. The event arrived then.
    #[inline]
    pub(crate) fn try_send(
        &self,
        place: Place,
        received: Instant,
        record: impl FnOnce() -> Record,
        ticket: impl FnOnce() -> Ticket,
    ) -> Tried {
        let owed = || Owed { ticket: ticket(), bytes: place.bytes, refusals: 0 };
        self.0.0.try_enter(place, Who::Asks, |batch| batch.put(received, record, owed))
    }
}

/// A queue with these limits, and where to hand in.
pub(super) fn queue(
    settings: &SinkSettings,
    batcher: Batcher<Batch>,
    metrics: SinkMetrics,
) -> (SinkHandle, Arc<Queue>) {
    let queue = Arc::new(Queue::new(settings, batcher, metrics));
    (SinkHandle(Arc::new(Entrance(Arc::clone(&queue)))), queue)
}
