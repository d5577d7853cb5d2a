//! A flight: one batch on its way into the sink, tried until every record of it is written or refused.
//!
//! A batch that is refused as a whole is halved until the culprits are alone: among n records k culprits cost
//! O(k log n) writes. Halves are written in their order, so a key's records stay in order; a culprit leaves a gap.

use std::sync::Arc;
use std::time::Duration;

use tidemill_core::topic::TopicName;
use tidemill_core::{Rejection, Sink, SinkError, SinkErrorKind, report};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info, warn};

use super::batch::Batch;
use super::breaker::Breaker;
use super::queue::{Queue, SinkHandle};
use super::state::SinkState;
use super::ticket::{Item, Owed, Reports};
use crate::config::SinkSettings;
use crate::guard::{guarded, panicked};
use crate::layer::Gate;
use crate::session::Backoff;

/// However long a target asks to be left alone: an hour without a try helps nobody.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// A record that the dead-letter destination refuses rests no longer than this: it holds up the acknowledgements behind it,
/// and goes out this soon after whatever refused it was mended.
const LONGEST_REST_OF_REFUSED: Duration = Duration::from_secs(60);

/// What all flights of a sink share.
pub(super) struct Airline {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) settings: SinkSettings,
    pub(super) state: Arc<SinkState>,
    pub(super) breaker: Breaker,
    pub(super) pace: Option<Gate>,
    pub(super) queue: Arc<Queue>,
    /// Where events of refused records go; `None` for the dead-letter destination itself.
    pub(super) dead_letters: Option<SinkHandle>,
}

/// How a flight has ended.
#[derive(Debug)]
pub(super) struct Landed {
    /// Written, and to be reported with [`Airline::written`]: that may wait until the next batch is under way.
    pub(super) written: Batch,
    /// Records that have nowhere else to go: the dead-letter destination itself refuses them.
    pub(super) stuck: Vec<Item>,
}

/// What the sink says to a batch in the end.
enum Answer {
    Written,
    Rejected(Vec<Rejection>),
    Refused(String),
}

impl Airline {
    /// How long a record rests that the dead-letter destination has refused so often.
    pub(super) fn rest(&self, refusals: u32) -> Duration {
        let factor = 1_u32.checked_shl(refusals.saturating_sub(1)).unwrap_or(u32::MAX);
        self.settings.max_delay.saturating_mul(factor).min(LONGEST_REST_OF_REFUSED)
    }

    /// Brings a batch to its end.
    pub(super) async fn fly(&self, batch: Batch) -> Landed {
        let mut parts = vec![batch];
        let mut stuck = Vec::new();
        while let Some(mut part) = parts.pop() {
            let rejections = match self.write(&part).await {
                Answer::Written => Vec::new(),
                Answer::Rejected(rejections) => rejections,
                Answer::Refused(reason) if part.len() == 1 => vec![Rejection { index: 0, reason }],
                Answer::Refused(reason) => {
                    self.state.metrics.splits.inc();
                    debug!(sink = &*self.state.name, records = part.len(), reason, "sink refuses a batch, halving it");
                    let second = part.halve();
                    parts.push(second);
                    parts.push(part);
                    continue;
                }
            };
            if rejections.is_empty() && parts.is_empty() {
                return Landed { written: part, stuck };
            }
            self.settle(part, rejections, &mut stuck).await;
        }
        Landed { written: Batch::default(), stuck }
    }

    /// Writes until the sink has an answer.
    async fn write(&self, part: &Batch) -> Answer {
        let name = &*self.state.name;
        let metrics = &self.state.metrics;
        let mut backoff = Backoff::new(self.settings.min_delay, self.settings.max_delay);
        let mut failed = false;
        let mut turn = None;
        loop {
            if turn.is_none() {
                turn = self.breaker.turn().await;
            }
            if let Some(pace) = &self.pace {
                pace.pass_many(part.len()).await;
            }
            if failed {
                metrics.retries.inc();
            }
            let began = Instant::now();
            let result = self.attempt(part).await;
            metrics.write.observe(began.elapsed(), 1);
            let failure = match result {
                Ok(()) => {
                    metrics.batches_written.inc();
                    self.answered();
                    return Answer::Written;
                }
                Err(failure) => failure,
            };
            match failure.kind() {
                // One that names no record of the batch has not said what was written.
                SinkErrorKind::Rejected if failure.rejections().iter().any(|named| named.index < part.len()) => {
                    metrics.batches_written.inc();
                    self.answered();
                    return Answer::Rejected(failure.rejections().to_vec());
                }
                SinkErrorKind::Rejected | SinkErrorKind::BatchRefused => {
                    metrics.batches_failed.inc();
                    self.answered();
                    return Answer::Refused(report(&failure));
                }
                _ => {}
            }
            metrics.batches_failed.inc();
            let delay = self.failed(&failure, began, &mut backoff);
            if failed {
                debug!(sink = name, error = report(&failure), ?delay, "sink still fails");
            } else if failure.kind() == SinkErrorKind::Misconfigured {
                error!(
                    sink = name,
                    error = report(&failure),
                    ?delay,
                    "sink is set up wrongly; the worker is not ready, and tries again until the settings of the sink or \
                     its target are corrected"
                );
            } else {
                warn!(
                    sink = name,
                    records = part.len(),
                    error = report(&failure),
                    ?delay,
                    "sink could not write; trying again until it can"
                );
            }
            failed = true;
            sleep(delay).await;
        }
    }

    async fn attempt(&self, part: &Batch) -> Result<(), SinkError> {
        let write = guarded(async { self.sink.write(&part.records).await });
        let limit = self.settings.write_timeout;
        let result = match limit.is_zero() {
            true => write.await,
            false => match timeout(limit, write).await {
                Ok(result) => result,
                Err(_) => return Err(SinkError::unavailable(format!("the write took longer than {limit:?}"))),
            },
        };
        result.unwrap_or_else(|panic| Err(SinkError::unavailable(panicked("the sink", &*panic))))
    }

    /// Takes note of a failure, and says how long to wait.
    fn failed(&self, failure: &SinkError, began: Instant, backoff: &mut Backoff) -> Duration {
        let misconfigured = failure.kind() == SinkErrorKind::Misconfigured;
        self.state.failed(report(failure), misconfigured);
        let opens = if misconfigured { self.breaker.trip() } else { self.breaker.failed(began) };
        if opens {
            self.state.set_broken(true);
            let probe = self.settings.probe_interval;
            warn!(sink = &*self.state.name, ?probe, "breaker opens: one write is tried at a time");
        }
        let delay = if misconfigured {
            backoff.longest()
        } else if self.breaker.is_open() {
            self.settings.probe_interval.mul_f64(0.5 + 0.5 * fastrand::f64())
        } else {
            backoff.next()
        };
        delay.max(failure.retry_after().unwrap_or_default().min(LONGEST_REST))
    }

    /// The sink has answered, whatever it said.
    fn answered(&self) {
        self.state.answered();
        if self.breaker.answered() {
            self.state.set_broken(false);
            info!(sink = &*self.state.name, "sink answers again, breaker closes");
        }
    }

    /// The part is written but for the rejected records. Those that have nowhere else to go are `stuck`.
    async fn settle(&self, mut part: Batch, rejections: Vec<Rejection>, stuck: &mut Vec<Item>) {
        let metrics = &self.state.metrics;
        if rejections.is_empty() {
            self.written(&mut part);
            return;
        }
        let mut reasons: Vec<Option<String>> = vec![None; part.len()];
        for Rejection { index, reason } in rejections {
            if let Some(slot) = reasons.get_mut(index) {
                *slot = Some(reason);
            }
        }
        let mut written = Batch::default();
        let mut refused = Vec::new();
        for ((record, owed), reason) in part.records.into_iter().zip(part.owed).zip(reasons) {
            match reason {
                None => written.extend([Item { record, owed }]),
                Some(reason) => refused.push((record, owed, reason)),
            }
        }
        // First, so that they do not wait for the dead letters.
        self.written(&mut written);
        for (record, mut owed, reason) in refused {
            let name = &*self.state.name;
            if owed.refusals == 0 {
                metrics.rejected.inc();
            }
            let Some(destination) = &self.dead_letters else {
                match owed.refusals {
                    0 => error!(
                        sink = name,
                        topic = record.topic.as_ref().map(TopicName::as_str),
                        reason,
                        "the dead-letter destination refuses an event, which stays unfinished; it is tried again \
                         until it is taken, and this is said once"
                    ),
                    refusals => debug!(sink = name, refusals, reason, "the dead-letter destination still refuses"),
                }
                self.state.failed(reason, false);
                let refusals = owed.refusals.saturating_add(1);
                stuck.push(Item { record, owed: Owed { refusals, ..owed } });
                continue;
            };
            warn!(sink = &*self.state.name, reason, "sink refuses a record; its event goes to the dead letters");
            match owed.ticket.dead_letter(&reason) {
                // An ended engine drops the item, and the ticket with it: the event stays unacknowledged.
                Some(letter) => drop(destination.send(Item::new(letter, owed.ticket)).await),
                None => owed.ticket.record_written(&mut Reports::new()),
            }
            self.queue.leave(1, u64::from(owed.bytes));
        }
    }

    /// These records are written: reports the events that waited for nothing else, and leaves the batch empty.
    pub(super) fn written(&self, part: &mut Batch) {
        if part.len() == 0 {
            return;
        }
        let metrics = &self.state.metrics;
        metrics.written.inc_by(part.len() as u64);
        metrics.bytes.inc_by(part.records.iter().map(|record| record.size_bytes() as u64).sum());
        #[expect(clippy::cast_precision_loss, reason = "batches are small numbers")]
        metrics.batch_records.observe(part.len() as f64);
        self.queue.leave(part.len(), part.bytes());
        let mut reports = Reports::new();
        for mut owed in part.owed.drain(..) {
            owed.ticket.record_written(&mut reports);
        }
        part.clear();
    }
}
