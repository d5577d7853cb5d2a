//! Latencies as a histogram: recorded in nanoseconds, passed between processes as pairs, written as text for the usual
//! plotters. From a microsecond to an hour, to three digits.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::figures::{ms, rounded};

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
/// The step of the text form: so many values for each halving of the distance to the end.
const STEPS: u32 = 5;

/// See the module's description. Values outside the range count as its ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Vec<(u64, u64)>", from = "Vec<(u64, u64)>")]
pub(crate) struct Latencies(Histogram<u64>);

/// The usual percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
}

impl Default for Latencies {
    #[expect(clippy::expect_used, reason = "the constants are within what a histogram takes")]
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS);
        Self(histogram.expect("bounds of a histogram"))
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so everything fits.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn at_ns(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    pub(crate) fn mean_ns(&self) -> f64 {
        self.0.mean()
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        if self.count() == 0 {
            return Percentiles::default();
        }
        let at = |quantile| rounded(ms(self.at_ns(quantile)), 3);
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: rounded(ms(self.0.max()), 3),
            mean: rounded(self.mean_ns() / 1e6, 3),
        }
    }

    /// Points of the curve of percentiles: part of the events, and milliseconds that so many stay within.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let values = self.0.iter_quantiles(STEPS);
        values.map(|value| (value.quantile_iterated_to(), ms(value.value_iterated_to()))).collect()
    }

    /// The percentile distribution as text, in milliseconds, as plotters of HDR histograms read it.
    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
        let mut total = 0;
        for value in self.0.iter_quantiles(STEPS) {
            total += value.count_since_last_iteration();
            let (part, at) = (value.quantile_iterated_to(), ms(value.value_iterated_to()));
            let _ = match part < 1.0 {
                true => writeln!(text, "{at:12.3} {part:14.12} {total:10} {:14.2}", 1.0 / (1.0 - part)),
                false => writeln!(text, "{at:12.3} {part:14.12} {total:10}"),
            };
        }
        let Percentiles { mean, max, .. } = self.percentiles();
        let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {:12.3}]", self.0.stdev() / 1e6);
        let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {:12}]", self.count());
        text
    }
}

impl From<Latencies> for Vec<(u64, u64)> {
    fn from(latencies: Latencies) -> Self {
        latencies.0.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

impl From<Vec<(u64, u64)>> for Latencies {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut latencies = Self::default();
        for (value, count) in pairs {
            latencies.0.saturating_record_n(value, count);
        }
        latencies
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_histogram_survives_the_way_between_processes(values in proptest::collection::vec(1_000_u64..10_000_000_000, 1..200)) {
            let mut here = Latencies::default();
            values.iter().for_each(|value| here.record(*value));
            let text = serde_json::to_string(&here).unwrap();
            let there: Latencies = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(there.count(), here.count());
            prop_assert_eq!(there.at_ns(0.99), here.at_ns(0.99));
            let mut sorted = values;
            sorted.sort_unstable();
            let (median, exact) = (here.at_ns(0.5) as f64, sorted[(sorted.len() - 1) / 2] as f64);
            prop_assert!((median - exact).abs() <= exact * 0.002, "{} {}", median, exact);
        }
    }

    #[test]
    fn the_text_ends_at_the_whole() {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|ms| latencies.record(ms * 1_000_000));
        let text = latencies.text();
        assert!(text.contains("Percentile") && text.contains("Total count    =          100"), "{text}");
        assert!(text.lines().any(|line| line.contains("1.000000000000        100")), "{text}");
    }

    #[test]
    fn nothing_recorded_is_all_zeros() {
        assert_eq!(Latencies::default().percentiles(), Percentiles::default());
    }
}
