//! The metrics by name. Every handle is resolved when the worker is built; at work only handles are touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};
use tokio::time::Instant;

use super::Oldest;
use super::histogram::{BurstHistogram, HistogramFamily};
use crate::worker::{Attempts, ScaledBy};

/// How an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The handler returned `Ok` and every record it emitted was written.
    Handled,
    /// It was written to the dead-letter destination.
    DeadLettered,
    /// Dropped by policy: a QoS 0 event without room, or one that no route matches.
    Dropped,
    /// Its session was lost, or the worker forced to stop, before it was finished.
    Abandoned,
}

impl Outcome {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Handled, Self::DeadLettered, Self::Dropped, Self::Abandoned];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::DeadLettered => "dead_lettered",
            Self::Dropped => "dropped",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The label of events that no route matches or that were dropped before routing.
const UNROUTED: &str = "unrouted";

/// Upper bounds of the sizes of batches.
const BATCH_BOUNDS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0];

/// All metrics of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    received: IntCounterVec,
    finished: IntCounterVec,
    unfinished: IntGauge,
    failed_attempts: IntCounterVec,
    retries: IntCounterVec,
    stalls: IntCounterVec,
    trips: IntCounterVec,
    scalings: IntCounterVec,
    duplicates: IntCounterVec,
    duration: HistogramFamily,
    age: HistogramFamily,
    publish_to_handle: HistogramFamily,
    layer_wait: CounterVec,
    sink_records: IntCounterVec,
    sink_batches: IntCounterVec,
    sink_bytes: IntCounterVec,
    sink_retries: IntCounterVec,
    sink_splits: IntCounterVec,
    sink_batch_records: HistogramVec,
    sink_breaker: IntGaugeVec,
    sink_queue: IntGaugeVec,
    sink_queue_bytes: IntGaugeVec,
    sink_write: HistogramFamily,
}

impl Metrics {
    /// Registers all metrics of a worker with these routes and sinks.
    ///
    /// # Errors
    /// The registry already has metrics of these names.
    pub(crate) fn register(registry: &Registry, routes: &[Box<str>], sinks: &[Box<str>]) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let histograms = |name, help, label, values: &[Box<str>]| -> prometheus::Result<HistogramFamily> {
            let family = HistogramFamily::new(name, help, label, values.iter().cloned())?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let unfinished = IntGauge::new("tidemill_events_unfinished", "Events received and not finished.")?;
        registry.register(Box::new(unfinished.clone()))?;
        let gauges = |name: &str, help: &str| -> prometheus::Result<IntGaugeVec> {
            let vec = IntGaugeVec::new(Opts::new(name, help), &["sink"])?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let sizes = HistogramOpts::new("tidemill_sink_batch_records", "Records of one written batch.");
        let sink_batch_records = HistogramVec::new(sizes.buckets(BATCH_BOUNDS.to_vec()), &["sink"])?;
        registry.register(Box::new(sink_batch_records.clone()))?;
        let layer_wait = CounterVec::new(
            Opts::new("tidemill_layer_wait_seconds_total", "Time that attempts waited for their turn in layers."),
            &["route"],
        )?;
        registry.register(Box::new(layer_wait.clone()))?;
        let build = IntGaugeVec::new(Opts::new("tidemill_build_info", "Always 1."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let all = Self {
            received: counters("tidemill_events_received_total", "Events received.", &["route"])?,
            finished: counters(
                "tidemill_events_finished_total",
                "Events finished, by outcome: handled, dead_lettered, dropped, abandoned.",
                &["route", "outcome"],
            )?,
            unfinished,
            failed_attempts: counters(
                "tidemill_attempts_failed_total",
                "Attempts that ended in an error, a panic or a timeout.",
                &["route"],
            )?,
            retries: counters("tidemill_retries_total", "Attempts after the first.", &["route"])?,
            stalls: counters(
                "tidemill_stalls_total",
                "Times that a full window was held up by an event of this route.",
                &["route"],
            )?,
            duplicates: counters(
                "tidemill_duplicates_total",
                "Events that were handled before and are only acknowledged, on routes with dedup.",
                &["route"],
            )?,
            trips: counters(
                "tidemill_kill_switch_trips_total",
                "Times that a route was unsubscribed because most of its events failed or its sink could not be written.",
                &["route"],
            )?,
            scalings: counters(
                "tidemill_scaling_decisions_total",
                "Changes of the number of instances, by direction (up, down) and by whom: load, operator, file.",
                &["direction", "by"],
            )?,
            duration: histograms(
                "tidemill_handler_duration_seconds",
                "Time of a handler's attempt; one of 64 that end on the spot, all others.",
                "route",
                routes,
            )?,
            age: histograms(
                "tidemill_event_age_seconds",
                "Time from receiving an event to finishing it.",
                "route",
                routes,
            )?,
            publish_to_handle: histograms(
                "tidemill_publish_to_handle_seconds",
                "Time from the publisher's stamp to the handler, on routes that know the stamp.",
                "route",
                routes,
            )?,
            layer_wait,
            sink_records: counters(
                "tidemill_sink_records_total",
                "Records by result: written, rejected.",
                &["sink", "result"],
            )?,
            sink_batches: counters(
                "tidemill_sink_batches_total",
                "Writes by result: written, failed.",
                &["sink", "result"],
            )?,
            sink_bytes: counters(
                "tidemill_sink_bytes_total",
                "Bytes of written records: payloads, keys and headers.",
                &["sink"],
            )?,
            sink_retries: counters("tidemill_sink_retries_total", "Writes after a failed one.", &["sink"])?,
            sink_splits: counters(
                "tidemill_sink_splits_total",
                "Times that a refused batch was halved to find the record to blame.",
                &["sink"],
            )?,
            sink_batch_records,
            sink_breaker: gauges("tidemill_sink_breaker_open", "1 while the breaker of a sink is open, else 0.")?,
            sink_queue: gauges("tidemill_sink_queue_records", "Records that wait to be written or are being written.")?,
            sink_queue_bytes: gauges(
                "tidemill_sink_queue_bytes",
                "Bytes of the records that wait to be written or are being written.",
            )?,
            sink_write: histograms(
                "tidemill_sink_write_duration_seconds",
                "Time of one write of a batch.",
                "sink",
                sinks,
            )?,
        };
        for by in ScaledBy::ALL {
            for direction in ["up", "down"] {
                all.scalings.with_label_values(&[direction, by.label()]);
            }
        }
        for outcome in Outcome::ALL {
            for route in routes.iter().map(|name| &**name).chain([UNROUTED]) {
                all.finished.with_label_values(&[route, outcome.label()]);
            }
        }
        Ok(all)
    }

    pub(crate) fn route(&self, at: usize, name: &str) -> RouteMetrics {
        RouteMetrics {
            received: self.received.with_label_values(&[name]),
            finished: Outcome::ALL.map(|outcome| self.finished.with_label_values(&[name, outcome.label()])),
            unfinished: self.unfinished.clone(),
            failed_attempts: self.failed_attempts.with_label_values(&[name]),
            retries: self.retries.with_label_values(&[name]),
            stalls: self.stalls.with_label_values(&[name]),
            duplicates: self.duplicates.with_label_values(&[name]),
            duration: self.duration.member(at),
            age: self.age.member(at),
            publish_to_handle: self.publish_to_handle.member(at),
        }
    }

    pub(crate) fn instance(&self, instance: &str) -> InstanceMetrics {
        InstanceMetrics {
            instance: instance.into(),
            received: self.received.with_label_values(&[UNROUTED]),
            dropped: self.finished.with_label_values(&[UNROUTED, Outcome::Dropped.label()]),
            warned: AtomicBool::new(false),
            busy: Arc::default(),
        }
    }

    pub(crate) fn sink(&self, at: usize, name: &str) -> SinkMetrics {
        SinkMetrics {
            written: self.sink_records.with_label_values(&[name, "written"]),
            rejected: self.sink_records.with_label_values(&[name, "rejected"]),
            batches_written: self.sink_batches.with_label_values(&[name, "written"]),
            batches_failed: self.sink_batches.with_label_values(&[name, "failed"]),
            bytes: self.sink_bytes.with_label_values(&[name]),
            retries: self.sink_retries.with_label_values(&[name]),
            splits: self.sink_splits.with_label_values(&[name]),
            batch_records: self.sink_batch_records.with_label_values(&[name]),
            breaker: self.sink_breaker.with_label_values(&[name]),
            queue: self.sink_queue.with_label_values(&[name]),
            queue_bytes: self.sink_queue_bytes.with_label_values(&[name]),
            write: self.sink_write.member(at),
        }
    }

    /// Seconds that attempts of a route with layers waited for their turn.
    pub(crate) fn layer_wait(&self, route: &str) -> Counter {
        self.layer_wait.with_label_values(&[route])
    }

    /// Attempts of a route so far.
    pub(crate) fn attempts(&self, route: &str) -> Attempts {
        Attempts {
            handled: self.finished.with_label_values(&[route, Outcome::Handled.label()]).get(),
            failed: self.failed_attempts.with_label_values(&[route]).get(),
        }
    }

    /// The kill switch of a route has tripped.
    pub(crate) fn trip(&self, route: &str) {
        self.trips.with_label_values(&[route]).inc();
    }

    /// The number of instances has changed.
    pub(crate) fn scaled(&self, from: u32, to: u32, by: ScaledBy) {
        let direction = if to > from { "up" } else { "down" };
        self.scalings.with_label_values(&[direction, by.label()]).inc();
    }

    /// Events of a route that are received and not finished.
    pub(crate) fn unfinished(&self, route: &str) -> u64 {
        let finished =
            Outcome::ALL.iter().map(|outcome| self.finished.with_label_values(&[route, outcome.label()]).get());
        self.received.with_label_values(&[route]).get().saturating_sub(finished.sum())
    }

    /// Sums over all routes: received and, in the order of [`Outcome::ALL`], finished.
    pub(crate) fn totals(&self, routes: &[Box<str>]) -> (u64, [u64; Outcome::COUNT]) {
        let mut totals = (0, [0; Outcome::COUNT]);
        for route in routes.iter().map(|name| &**name).chain([UNROUTED]) {
            totals.0 += self.received.with_label_values(&[route]).get();
            for outcome in Outcome::ALL {
                totals.1[outcome as usize] += self.finished.with_label_values(&[route, outcome.label()]).get();
            }
        }
        totals
    }
}

/// Metrics of one route.
#[derive(Clone, Debug)]
pub(crate) struct RouteMetrics {
    received: IntCounter,
    finished: [IntCounter; Outcome::COUNT],
    unfinished: IntGauge,
    pub(crate) failed_attempts: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) stalls: IntCounter,
    pub(crate) duplicates: IntCounter,
    pub(crate) duration: BurstHistogram,
    pub(crate) age: BurstHistogram,
    pub(crate) publish_to_handle: BurstHistogram,
}

impl RouteMetrics {
    pub(crate) fn received(&self, events: u64) {
        self.received.inc_by(events);
        self.unfinished.add(i64::try_from(events).unwrap_or(i64::MAX));
    }

    pub(crate) fn finished(&self, outcome: Outcome, events: u64) {
        self.finished[outcome as usize].inc_by(events);
        self.unfinished.sub(i64::try_from(events).unwrap_or(i64::MAX));
    }
}

/// Events that are being handled and that wait, of one instance.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    running: AtomicUsize,
    queued: AtomicUsize,
    /// Of the events that are on their ladders.
    oldest: Oldest,
}

impl Busy {
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// How long the oldest event has waited that is on its ladder.
    pub(crate) fn oldest_age(&self) -> Duration {
        self.oldest.age()
    }
}

/// Metrics of one instance's dispatcher.
#[derive(Debug)]
pub(crate) struct InstanceMetrics {
    pub(crate) instance: Box<str>,
    received: IntCounter,
    dropped: IntCounter,
    warned: AtomicBool,
    busy: Arc<Busy>,
}

impl InstanceMetrics {
    /// Counts an event that no route matches; `true` the first time.
    pub(crate) fn unmatched(&self) -> bool {
        self.received.inc();
        self.dropped.inc();
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// Counts events that were dropped before routing.
    pub(crate) fn dropped(&self, events: u64) {
        if events > 0 {
            self.received.inc_by(events);
            self.dropped.inc_by(events);
        }
    }

    pub(crate) fn set_busy(&self, running: usize, queued: usize, oldest: Option<Instant>) {
        self.busy.oldest.set(oldest);
        self.busy.running.store(running, Ordering::Relaxed);
        self.busy.queued.store(queued, Ordering::Relaxed);
    }

    pub(crate) fn busy(&self) -> Arc<Busy> {
        Arc::clone(&self.busy)
    }
}

/// Metrics of one sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkMetrics {
    pub(crate) written: IntCounter,
    pub(crate) rejected: IntCounter,
    pub(crate) batches_written: IntCounter,
    pub(crate) batches_failed: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) splits: IntCounter,
    pub(crate) batch_records: Histogram,
    /// 1 while open.
    pub(crate) breaker: IntGauge,
    pub(crate) queue: IntGauge,
    pub(crate) queue_bytes: IntGauge,
    pub(crate) write: BurstHistogram,
}
