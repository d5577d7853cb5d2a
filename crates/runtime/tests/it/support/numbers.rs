//! The metrics of a worker as numbers.

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily};

/// The sum of a metric over everything that carries these labels; counters, gauges, and the counts of histograms.
pub(crate) fn metric(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = registry.gather();
    let metrics = families.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric);
    let carries = |metric: &&Metric| {
        labels.iter().all(|(name, value)| {
            metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
        })
    };
    #[expect(clippy::cast_precision_loss, reason = "tests count to small numbers")]
    let value = |metric: &Metric| {
        metric.get_counter().get_value()
            + metric.get_gauge().get_value()
            + metric.get_histogram().get_sample_count() as f64
    };
    metrics.filter(carries).map(value).sum()
}

/// The same for a counter.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
pub(crate) fn count(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> u64 {
    metric(registry, name, labels) as u64
}

/// received = handled + dead_lettered + dropped + abandoned + unfinished (G9).
#[track_caller]
pub(crate) fn assert_balanced(registry: &Registry) {
    let received = metric(registry, "tidemill_events_received_total", &[]);
    let finished = metric(registry, "tidemill_events_finished_total", &[]);
    let unfinished = metric(registry, "tidemill_events_unfinished", &[]);
    assert!(
        (received - finished - unfinished).abs() < 0.5 && unfinished >= 0.0,
        "received {received} is not finished {finished} plus unfinished {unfinished}"
    );
}
