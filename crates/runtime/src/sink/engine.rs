//! The engine's loop: takes what comes, sends batches off, and keeps the books of what is under way.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tidemill_core::{Sink, report};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::batch::Batch;
use super::batcher::{BatchLimits, Batcher};
use super::breaker::Breaker;
use super::flight::Airline;
use super::pace::Pace;
use super::queue::{Room, SinkHandle, queue};
use super::state::SinkState;
use super::ticket::Item;
use crate::config::SinkSettings;

/// Most records that are taken in at a time.
const GULP: usize = 1024;
/// What a sink gets to close.
const LAST_CALL: Duration = Duration::from_secs(10);

/// A batch that has landed: its partition, when its oldest event arrived, and what of it has nowhere to go.
type Landed = (usize, Option<Instant>, Batch);

/// See the module's description.
pub(crate) struct SinkEngine {
    airline: Arc<Airline>,
    items: mpsc::Receiver<Item>,
    batcher: Batcher<Item>,
    room: Arc<Room>,
    force: CancellationToken,
}

impl SinkEngine {
    pub(crate) fn new(
        sink: Arc<dyn Sink>,
        settings: SinkSettings,
        state: Arc<SinkState>,
        dead_letters: Option<SinkHandle>,
        force: CancellationToken,
    ) -> (Self, SinkHandle) {
        let (handle, items, room) = queue(&settings, state.metrics.clone());
        let burst = if settings.burst == 0 { settings.max_batch_records } else { settings.burst };
        let pace = Pace::new(settings.max_rate, burst);
        let mut records = settings.max_batch_records.min(settings.queue_records).max(1);
        if pace.is_some() {
            records = records.min(burst);
        }
        let limits = BatchLimits {
            records: records as usize,
            bytes: settings.max_batch_bytes.min(settings.queue_bytes).max(1),
            linger: settings.linger,
        };
        let batcher = Batcher::new(sink.traits(), settings.in_flight as usize, limits);
        let breaker = Breaker::new(settings.breaker_failures, settings.breaker_after);
        state.opened();
        let airline = Airline { sink, settings, state, breaker, pace, room: Arc::clone(&room), dead_letters };
        (Self { airline: Arc::new(airline), items, batcher, room, force }, handle)
    }

    /// Writes until every handle is gone and everything is written, or until it is forced to stop.
    pub(crate) async fn run(mut self) {
        let force = self.force.clone();
        tokio::select! {
            () = self.write_all() => {}
            () = force.cancelled() => {}
        }
        self.items.close();
        self.room.close();
        let name = &*self.airline.state.name;
        match timeout(LAST_CALL, self.airline.sink.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(sink = name, error = report(&error), "sink could not be closed"),
            Err(_) => warn!(sink = name, "sink did not close within 10 s"),
        }
    }

    async fn write_all(&mut self) {
        let mut flights: FuturesUnordered<Pin<Box<dyn Future<Output = Landed> + Send>>> = FuturesUnordered::new();
        // Of each batch under way, when its oldest event arrived.
        let mut under_way: Vec<Option<Instant>> = Vec::new();
        let mut incoming = Vec::new();
        // Refused by the dead-letter destination, and when they are put to it again: beside the flights, so that they
        // hold up nothing (G11).
        let mut refused: VecDeque<(Instant, Batch)> = VecDeque::new();
        let mut closed = false;
        loop {
            let now = Instant::now();
            while let Some((_, batch)) = refused.pop_front_if(|(at, _)| *at <= now) {
                incoming.extend(batch);
            }
            for item in incoming.drain(..) {
                let hash = if self.batcher.is_partitioned() { hash(&item) } else { 0 };
                let bytes = u64::from(item.bytes);
                self.batcher.push(hash, item, bytes, now);
            }
            while let Some((partition, items)) = self.batcher.next(now, closed) {
                let batch: Batch = items.into_iter().collect();
                let oldest = batch.oldest();
                under_way.push(oldest);
                let airline = Arc::clone(&self.airline);
                flights.push(Box::pin(async move {
                    let stuck = airline.fly(batch).await;
                    (partition, oldest, stuck)
                }));
            }
            let fronts = self.batcher.fronts().map(|item| item.ticket.received());
            let resting = refused.iter().filter_map(|(_, batch)| batch.oldest());
            let oldest = fronts.chain(resting).chain(under_way.iter().copied().flatten()).min();
            self.airline.state.set_load(under_way.len(), oldest);
            if closed && flights.is_empty() && self.batcher.is_empty() && refused.is_empty() {
                return;
            }
            let again = refused.front().map(|(at, _)| *at);
            let due = self.batcher.next_due().into_iter().chain(again).min();
            tokio::select! {
                Some((partition, oldest, stuck)) = flights.next(), if !flights.is_empty() => {
                    self.batcher.landed(partition);
                    if stuck.len() > 0 {
                        refused.push_back((Instant::now() + self.airline.settings.max_delay, stuck));
                    }
                    if let Some(at) = under_way.iter().position(|other| *other == oldest) {
                        under_way.swap_remove(at);
                    }
                }
                taken = self.items.recv_many(&mut incoming, GULP), if !closed => closed = taken == 0,
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
        }
    }
}

fn hash(item: &Item) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(item.record.key.as_deref().unwrap_or_default());
    hasher.finish()
}
