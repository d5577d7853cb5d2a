//! Gauges that are computed when someone looks: what the instances are doing now. The scaling signals are among them.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts};

use crate::session::Phase;

/// What the instances are doing now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// How many instances there should be.
    pub(crate) wanted: u32,
    pub(crate) phases: Vec<Phase>,
    /// Unfinished and unacknowledged events of all instances.
    pub(crate) occupied: usize,
    /// All windows together.
    pub(crate) capacity: usize,
    /// Instances that have a handler waiting.
    pub(crate) busy: usize,
    /// How long the oldest event has waited that did not finish on the spot.
    pub(crate) oldest: Duration,
    /// Per sink, the age of the oldest event that has records there.
    pub(crate) sinks: Vec<(Box<str>, Duration)>,
}

/// Collects the gauges from a snapshot that is taken at each look.
pub(crate) struct Gauges<F> {
    look: F,
    instances: IntGaugeVec,
    wanted: IntGauge,
    saturation: Gauge,
    busy: Gauge,
    oldest: Gauge,
    oldest_record: GaugeVec,
}

impl<F: Fn() -> Snapshot + Send + Sync> Gauges<F> {
    pub(crate) fn new(look: F) -> prometheus::Result<Self> {
        Ok(Self {
            look,
            instances: IntGaugeVec::new(
                Opts::new("tidemill_instances", "Instances, by phase of their connection."),
                &["phase"],
            )?,
            wanted: IntGauge::new("tidemill_instances_wanted", "Instances that there should be.")?,
            saturation: Gauge::new(
                "tidemill_window_saturation_ratio",
                "Unfinished events as a share of all windows: near 1 the worker is the bound, and more instances help.",
            )?,
            busy: Gauge::new("tidemill_busy_ratio", "Share of instances that have a handler waiting.")?,
            oldest: Gauge::new(
                "tidemill_oldest_unfinished_seconds",
                "Age of the oldest event whose handler waits or is tried again.",
            )?,
            oldest_record: GaugeVec::new(
                Opts::new("tidemill_sink_oldest_record_seconds", "Age of the oldest event with records in the sink."),
                &["sink"],
            )?,
        })
    }
}

impl<F: Fn() -> Snapshot + Send + Sync> Collector for Gauges<F> {
    fn desc(&self) -> Vec<&Desc> {
        let own = [self.wanted.desc(), self.saturation.desc(), self.busy.desc(), self.oldest.desc()];
        let vectors = [self.instances.desc(), self.oldest_record.desc()];
        vectors.into_iter().chain(own).flatten().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = (self.look)();
        for phase in Phase::ALL {
            let count = now.phases.iter().filter(|other| **other == phase).count();
            self.instances.with_label_values(&[phase.label()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        #[expect(clippy::cast_precision_loss, reason = "windows and instances are small numbers")]
        {
            self.saturation.set(now.occupied as f64 / now.capacity.max(1) as f64);
            self.busy.set(now.busy as f64 / now.phases.len().max(1) as f64);
        }
        self.oldest.set(now.oldest.as_secs_f64());
        for (sink, age) in &now.sinks {
            self.oldest_record.with_label_values(&[&**sink]).set(age.as_secs_f64());
        }
        self.wanted.set(i64::from(now.wanted));
        let own = [self.wanted.collect(), self.saturation.collect(), self.busy.collect(), self.oldest.collect()];
        let vectors = [self.instances.collect(), self.oldest_record.collect()];
        vectors.into_iter().chain(own).flatten().collect()
    }
}
