//! A histogram that takes many equal observations at once: a burst of events that became finished at the same moment
//! costs one clock read and two atomic additions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, LabelPair, Metric, MetricFamily, MetricType};

/// Upper bounds in seconds: from what an inline handler takes to what a person would call an outage.
const BOUNDS: [f64; 20] = [
    0.000_001, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0,
];

#[derive(Debug, Default)]
struct Cells {
    /// One per bound, and one for what lies above all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

/// One histogram of a family.
#[derive(Clone, Debug, Default)]
pub(crate) struct BurstHistogram(Arc<Cells>);

impl BurstHistogram {
    /// Records that `count` things took `duration` each.
    pub(crate) fn observe(&self, duration: Duration, count: u64) {
        let seconds = duration.as_secs_f64();
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        self.0.counts[at].fetch_add(count, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_nanos.fetch_add(nanos.saturating_mul(count), Ordering::Relaxed);
    }

    fn metric(&self, label: &str, value: &str) -> Metric {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, count) in BOUNDS.iter().zip(&self.0.counts) {
            cumulative += count.load(Ordering::Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        cumulative += self.0.counts[BOUNDS.len()].load(Ordering::Relaxed);
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative);
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds beyond 2^53 are 104 days; the sum may round")]
        histogram.set_sample_sum(self.0.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9);
        let mut pair = LabelPair::default();
        pair.set_name(label.to_owned());
        pair.set_value(value.to_owned());
        let mut metric = Metric::default();
        metric.set_label(vec![pair]);
        metric.set_histogram(histogram);
        metric
    }
}

/// A family of histograms with one label, whose values are all known at build.
#[derive(Clone, Debug)]
pub(crate) struct HistogramFamily {
    desc: Desc,
    label: &'static str,
    members: Arc<[(Box<str>, BurstHistogram)]>,
}

impl HistogramFamily {
    pub(crate) fn new(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = Box<str>>,
    ) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), vec![label.to_owned()], Default::default())?;
        let members = values.into_iter().map(|value| (value, BurstHistogram::default())).collect();
        Ok(Self { desc, label, members })
    }

    /// The histogram of the label value at this place.
    pub(crate) fn member(&self, at: usize) -> BurstHistogram {
        self.members.get(at).map(|(_, histogram)| histogram.clone()).unwrap_or_default()
    }
}

impl Collector for HistogramFamily {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(self.members.iter().map(|(value, histogram)| histogram.metric(self.label, value)).collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_equal_observations_land_in_one_bucket_and_in_the_sum() {
        let family = HistogramFamily::new("t_seconds", "help", "route", ["a".into()]).unwrap();
        family.member(0).observe(Duration::from_millis(2), 10);
        family.member(0).observe(Duration::from_secs(600), 1);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(family)).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "t_seconds_bucket{route=\"a\",le=\"0.001\"} 0",
            "t_seconds_bucket{route=\"a\",le=\"0.0025\"} 10",
            "t_seconds_bucket{route=\"a\",le=\"+Inf\"} 11",
            "t_seconds_count{route=\"a\"} 11",
            "t_seconds_sum{route=\"a\"} 600.02",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }
}
