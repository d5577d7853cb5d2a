//! The engine's loop: sends batches off, reports what was written, and keeps the books of what is under way.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tidemill_core::{Sink, SinkTraits};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::batcher::{BatchLimits, Batcher, Leave};
use super::breaker::Breaker;
use super::flight::{Airline, Landed};
use super::open::close;
use super::queue::{Queue, SinkHandle, queue};
use super::state::SinkState;
use super::ticket::Item;
use crate::config::SinkSettings;
use crate::layer::Gate;

/// What a sink gets to close.
const LAST_CALL: Duration = Duration::from_secs(10);

/// A batch under way; gives its partition, and when its oldest event arrived.
type Flight = Pin<Box<dyn Future<Output = (usize, Option<Instant>, Landed)> + Send>>;

/// See the module's description.
pub(crate) struct SinkEngine {
    airline: Arc<Airline>,
    queue: Arc<Queue>,
    /// Of each batch under way, when its oldest event arrived.
    under_way: Vec<Option<Instant>>,
    /// Written, and not yet reported.
    unreported: Vec<Batch>,
    /// Refused by the dead-letter destination, and when they are put to it again: beside the flights, so that they hold
    /// up nothing (G11).
    refused: BTreeMap<Instant, Vec<Item>>,
    force: CancellationToken,
}

impl Drop for SinkEngine {
    /// What waits would wait for ever, and hold the handles of the queue that it is in.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl SinkEngine {
    /// An engine for a sink, with what the sink promises: that is asked for once, see [`promises`](super::promises).
    pub(crate) fn new(
        (sink, traits): (Arc<dyn Sink>, SinkTraits),
        settings: SinkSettings,
        state: Arc<SinkState>,
        dead_letters: Option<SinkHandle>,
        force: CancellationToken,
    ) -> (Self, SinkHandle) {
        let burst = if settings.burst == 0 { settings.max_batch_records } else { settings.burst };
        let pace = Gate::per_second(settings.max_rate, burst);
        let mut records = settings.max_batch_records.min(settings.queue_records).max(1);
        if pace.is_some() {
            records = records.min(burst);
        }
        let limits = BatchLimits {
            records: records as usize,
            bytes: settings.max_batch_bytes.min(settings.queue_bytes).max(1),
            linger: settings.linger,
        };
        let batcher = Batcher::new(traits, settings.in_flight as usize, limits);
        let (handle, queue) = queue(&settings, batcher, state.metrics.clone());
        let breaker = Breaker::new(settings.breaker_failures, settings.breaker_after);
        state.opened();
        let airline = Airline { sink, settings, state, breaker, pace, queue: Arc::clone(&queue), dead_letters };
        let engine = Self {
            airline: Arc::new(airline),
            queue,
            under_way: Vec::new(),
            unreported: Vec::new(),
            refused: BTreeMap::new(),
            force,
        };
        (engine, handle)
    }

    /// Writes until every handle is gone and everything is written, or until it is forced to stop.
    pub(crate) async fn run(mut self) {
        let force = self.force.clone();
        tokio::select! {
            () = self.write_all() => {}
            () = force.cancelled() => {}
        }
        self.queue.close();
        close(&self.airline.state.name, &*self.airline.sink, LAST_CALL).await;
    }

    async fn write_all(&mut self) {
        let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
        loop {
            // Nothing else here waits while the sink never does.
            consume_budget().await;
            // A full batch leaves before anything else is done: the target works on it while this task reports the events
            // of the last one.
            let launched = self.launch(&mut flights, Leave::Full);
            let landed = if launched { flights.next().now_or_never().flatten() } else { None };
            self.report();
            self.put_back();
            if let Some(landed) = landed {
                self.land(landed);
                // What else is due leaves now too: full batches may come and go for as long as there are some.
                self.launch(&mut flights, Leave::Due);
                self.show_load(self.queue.look().oldest);
                continue;
            }
            let ended = self.queue.has_ended();
            self.launch(&mut flights, if ended { Leave::Anything } else { Leave::Due });
            let look = self.queue.look();
            self.show_load(look.oldest);
            if ended && flights.is_empty() && look.is_empty && self.refused.is_empty() {
                return;
            }
            let again = self.refused.keys().next().copied();
            let due = look.next_due.into_iter().chain(again).min();
            tokio::select! {
                Some(landed) = flights.next(), if !flights.is_empty() => self.land(landed),
                () = self.queue.ready(), if !ended => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Sends off what may leave. `false` when there is nothing.
    fn launch(&mut self, flights: &mut FuturesUnordered<Flight>, leave: Leave) -> bool {
        let before = flights.len();
        while let Some((partition, batch)) = self.queue.next(leave) {
            flights.push(self.take_off(partition, batch));
        }
        flights.len() > before
    }

    /// Puts refused records that have rested behind those that wait.
    fn put_back(&mut self) {
        if self.refused.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(due) = self.refused.first_entry().filter(|due| *due.key() <= now) {
            self.queue.put_back(due.remove());
        }
    }

    fn take_off(&mut self, partition: usize, batch: Batch) -> Flight {
        let oldest = batch.oldest;
        self.under_way.push(oldest);
        let airline = Arc::clone(&self.airline);
        Box::pin(async move { (partition, oldest, airline.fly(batch).await) })
    }

    fn land(&mut self, (partition, oldest, landed): (usize, Option<Instant>, Landed)) {
        self.queue.landed(partition);
        self.unreported.push(landed.written);
        if !landed.stuck.is_empty() {
            let now = Instant::now();
            for item in landed.stuck {
                let due = now + self.airline.rest(item.owed.refusals);
                self.refused.entry(due).or_default().push(item);
            }
        }
        if let Some(at) = self.under_way.iter().position(|other| *other == oldest) {
            self.under_way.swap_remove(at);
        }
    }

    fn report(&mut self) {
        for mut batch in self.unreported.drain(..) {
            self.airline.written(&mut batch);
            self.queue.reuse(batch);
        }
    }

    /// Shows what is under way; `waiting` is when the oldest event arrived whose record is first to leave.
    fn show_load(&self, waiting: Option<Instant>) {
        let resting = self.refused.values().flatten().map(|item| item.owed.ticket.received());
        let oldest = resting.chain(waiting).chain(self.under_way.iter().copied().flatten()).min();
        self.airline.state.set_load(self.under_way.len(), oldest);
    }
}
