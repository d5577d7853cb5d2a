//! One engine per sink: a task that takes what waits, writes it as one batch, and tries again until it is written.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkErrorKind, report};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::ticket::{Item, Ticket};
use crate::observe::SinkMetrics;
use crate::session::Backoff;

/// How a sink is fed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinkSettings {
    pub(crate) max_batch_records: usize,
    pub(crate) max_batch_bytes: usize,
    /// How long a batch waits for more records. Zero: it takes what is there.
    pub(crate) linger: Duration,
    pub(crate) queue_records: usize,
    pub(crate) min_delay: Duration,
    pub(crate) max_delay: Duration,
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            // Large enough to pay for one round trip or one fsync, small enough to be tried again whole.
            max_batch_records: 500,
            max_batch_bytes: 1024 * 1024,
            // While a batch is written the next one gathers; waiting longer would only add latency.
            linger: Duration::ZERO,
            queue_records: 4096,
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
        }
    }
}

/// The engine has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended;

/// Where records for a sink are handed in.
#[derive(Clone)]
pub(crate) struct SinkHandle {
    sender: mpsc::Sender<Item>,
    metrics: SinkMetrics,
}

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkHandle")
    }
}

impl SinkHandle {
    /// Hands a record in, waiting for a place in the queue. When it is cancelled the record was not handed in.
    pub(crate) async fn send(&self, item: Item) -> Result<(), Ended> {
        self.metrics.queue.inc();
        self.sender.send(item).await.map_err(|_| {
            self.metrics.queue.dec();
            Ended
        })
    }
}

/// See the module's description.
pub(crate) struct SinkEngine {
    name: Box<str>,
    sink: Arc<dyn Sink>,
    items: mpsc::Receiver<Item>,
    settings: SinkSettings,
    metrics: SinkMetrics,
    /// Where events of refused records go; `None` for the dead-letter destination itself.
    dead_letters: Option<SinkHandle>,
    force: CancellationToken,
}

impl SinkEngine {
    pub(crate) fn new(
        name: Box<str>,
        sink: Arc<dyn Sink>,
        settings: SinkSettings,
        metrics: SinkMetrics,
        dead_letters: Option<SinkHandle>,
        force: CancellationToken,
    ) -> (Self, SinkHandle) {
        let (sender, items) = mpsc::channel(settings.queue_records);
        let handle = SinkHandle { sender, metrics: metrics.clone() };
        (Self { name, sink, items, settings, metrics, dead_letters, force }, handle)
    }

    /// Writes until every handle is gone and everything is written, or until it is forced to stop.
    pub(crate) async fn run(mut self) {
        let force = self.force.clone();
        tokio::select! {
            () = self.write_all() => {}
            () = force.cancelled() => {}
        }
        self.items.close();
        match tokio::time::timeout(Duration::from_secs(10), self.sink.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(sink = &*self.name, error = report(&error), "sink could not be closed"),
            Err(_) => warn!(sink = &*self.name, "sink did not close within 10 s"),
        }
    }

    async fn write_all(&mut self) {
        let mut gathered: Vec<Item> = Vec::new();
        loop {
            if gathered.is_empty() && self.items.recv_many(&mut gathered, self.settings.max_batch_records).await == 0 {
                return;
            }
            self.linger(&mut gathered).await;
            let rest = gathered.split_off(self.batch_length(&gathered));
            let (records, tickets): (Vec<Record>, Vec<Arc<Ticket>>) =
                std::mem::replace(&mut gathered, rest).into_iter().map(|item| (item.record, item.ticket)).unzip();
            self.write_until_done(records, tickets).await;
        }
    }

    /// Gathers more records until the batch is full or has waited long enough.
    async fn linger(&mut self, gathered: &mut Vec<Item>) {
        if self.settings.linger.is_zero() {
            return;
        }
        let full = self.settings.max_batch_records;
        let until = sleep(self.settings.linger);
        tokio::pin!(until);
        while gathered.len() < full {
            let room = full - gathered.len();
            tokio::select! {
                () = &mut until => return,
                more = self.items.recv_many(gathered, room) => if more == 0 { return },
            }
        }
    }

    /// How many of the gathered records fit into one batch; at least one.
    fn batch_length(&self, gathered: &[Item]) -> usize {
        let mut bytes = 0;
        let fitting = gathered.iter().take(self.settings.max_batch_records).take_while(|item| {
            bytes += item.record.size_bytes();
            bytes <= self.settings.max_batch_bytes
        });
        fitting.count().max(1)
    }

    async fn write_until_done(&mut self, mut records: Vec<Record>, mut tickets: Vec<Arc<Ticket>>) {
        let mut backoff = Backoff::new(self.settings.min_delay, self.settings.max_delay);
        let mut failed = false;
        loop {
            let started = Instant::now();
            let result = AssertUnwindSafe(self.sink.write(&records)).catch_unwind().await;
            self.metrics.write.observe(started.elapsed(), 1);
            let failure = match result {
                Ok(Ok(())) => {
                    if failed {
                        info!(sink = &*self.name, records = records.len(), "sink writes again");
                    }
                    self.written(records, tickets, &[]).await;
                    return;
                }
                Ok(Err(failure)) if failure.kind() == SinkErrorKind::Rejected => {
                    let refused = self.written(records, tickets, failure.rejections()).await;
                    if refused.is_empty() {
                        return;
                    }
                    // The dead-letter destination itself refuses: there is nowhere else to go, so it is asked again.
                    (records, tickets) = refused.into_iter().map(|item| (item.record, item.ticket)).unzip();
                    failure
                }
                Ok(Err(failure)) => failure,
                Err(_) => SinkError::unavailable("the sink panicked"),
            };
            self.metrics.batches_failed.inc();
            let delay = match failure.kind() {
                SinkErrorKind::Misconfigured | SinkErrorKind::Rejected => backoff.longest(),
                _ => backoff.next(),
            };
            if failed {
                tracing::debug!(sink = &*self.name, error = report(&failure), ?delay, "sink still fails");
            } else {
                warn!(
                    sink = &*self.name,
                    records = records.len(),
                    error = report(&failure),
                    ?delay,
                    "sink could not write; trying again until it can"
                );
            }
            failed = true;
            sleep(delay).await;
        }
    }

    /// The batch is written, but for the rejected records. Returns those that have nowhere else to go.
    async fn written(&self, records: Vec<Record>, tickets: Vec<Arc<Ticket>>, rejections: &[Rejection]) -> Vec<Item> {
        let mut stuck = Vec::new();
        self.metrics.batches_written.inc();
        self.metrics.rejected.inc_by(rejections.len() as u64);
        self.metrics.written.inc_by(tickets.len().saturating_sub(rejections.len()) as u64);
        for (at, (record, ticket)) in records.into_iter().zip(tickets).enumerate() {
            let Some(rejection) = rejections.iter().find(|rejection| rejection.index == at) else {
                self.metrics.queue.dec();
                ticket.record_written();
                continue;
            };
            let reason = &*rejection.reason;
            match &self.dead_letters {
                Some(destination) => {
                    warn!(sink = &*self.name, reason, "sink refuses a record; its event goes to the dead letters");
                    self.metrics.queue.dec();
                    match ticket.dead_letter(reason) {
                        // An ended engine drops the item, and the ticket with it: the event stays unacknowledged.
                        Some(record) => drop(destination.send(Item::new(record, ticket)).await),
                        None => ticket.record_written(),
                    }
                }
                None => {
                    error!(sink = &*self.name, reason, "the dead-letter destination refuses an event");
                    stuck.push(Item::new(record, ticket));
                }
            }
        }
        stuck
    }
}
