//! When each event of an open loop is due, whatever became of those before it. Pure: time goes in as a number.
//!
//! INVARIANT: due times never go back, and within the whole run as many events are due as the rate times its length,
//! whatever the shape. Latency counts from the due time, so that a generator or a broker that stands still shows in
//! the latency of every event that should have been sent meanwhile (no coordinated omission).

use std::f64::consts::TAU;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::figures::whole;

/// How the load changes over a run. The mean is the rate in every shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    // No doc comments here: they would turn the whole help into its long form.
    #[default]
    Constant,
    Ramp,
    Burst,
    Diurnal,
}

/// Bursts in a run; each takes a fifth of its period, at four times the rate.
const BURSTS: f64 = 10.0;
const BURST_PART: f64 = 0.2;
const BURST_RATE: f64 = 4.0;
/// How far a day's load swings about its mean.
const SWING: f64 = 0.9;
/// Halvings of the search: finer than a nanosecond of a day.
const HALVINGS: u32 = 60;

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) shape: Shape,
    /// Events per second on average, above 0.
    pub(crate) rate: u64,
    /// Length of the whole run, warm-up included.
    pub(crate) length_ns: u64,
}

impl Schedule {
    /// Events of the whole run.
    pub(crate) fn total(&self) -> u64 {
        // Whole numbers: 84 200 per second for 41.8 s are 3 519 560, and a little less as a fraction.
        let total = u128::from(self.rate) * u128::from(self.length_ns) / 1_000_000_000;
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    /// When an event is due, counting from the start.
    pub(crate) fn due_ns(&self, event: u64) -> u64 {
        let (wanted, length) = (event as f64 / self.rate as f64 / self.seconds(), self.length_ns as f64);
        let at = match self.shape {
            Shape::Constant => wanted,
            Shape::Ramp => wanted.sqrt(),
            Shape::Burst => burst(wanted),
            Shape::Diurnal => diurnal(wanted),
        };
        whole((at * length).floor())
    }

    fn seconds(&self) -> f64 {
        self.length_ns as f64 / 1e9
    }
}

/// The part of the time by which this part of the events is due.
fn burst(part: f64) -> f64 {
    let (periods, within) = ((part * BURSTS).floor(), (part * BURSTS).fract());
    let in_burst = BURST_PART * BURST_RATE;
    let at = if within < in_burst {
        within / BURST_RATE
    } else {
        BURST_PART + (within - in_burst) / (1.0 - in_burst) * (1.0 - BURST_PART)
    };
    (periods + at) / BURSTS
}

/// The same for one wave from trough to trough, found by halving.
fn diurnal(part: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0_f64.max(part));
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if middle - SWING / TAU * (TAU * middle).sin() < part { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape() -> impl Strategy<Value = Shape> {
        prop_oneof![Just(Shape::Constant), Just(Shape::Ramp), Just(Shape::Burst), Just(Shape::Diurnal)]
    }

    proptest! {
        #[test]
        fn due_times_never_go_back_and_lie_within_the_run(shape in shape(), rate in 1_u64..100_000, ms in 100_u64..100_000, from: u64) {
            let schedule = Schedule { shape, rate, length_ns: ms * 1_000_000 };
            let total = schedule.total();
            prop_assert_eq!(total, rate * ms / 1000);
            if total > 1 {
                let event = from % (total - 1);
                let (this, next) = (schedule.due_ns(event), schedule.due_ns(event + 1));
                prop_assert!(this <= next && next <= schedule.length_ns, "{} {}", this, next);
            }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn no_shape_sends_more_than_four_times_its_rate(shape in shape(), tenth in 0_u64..10) {
            let schedule = Schedule { shape, rate: 10_000, length_ns: 10_000_000_000 };
            let from = tenth * 1_000_000_000;
            let inside = (0..schedule.total()).filter(|event| (from..from + 1_000_000_000).contains(&schedule.due_ns(*event)));
            prop_assert!(inside.count() <= 40_001);
        }
    }

    #[test]
    fn a_total_that_is_whole_is_not_rounded_down() {
        let schedule = Schedule { shape: Shape::Constant, rate: 84_200, length_ns: 41_800_000_000 };
        assert_eq!(schedule.total(), 3_519_560);
    }

    #[test]
    fn a_ramp_sends_a_quarter_in_its_first_half() {
        let schedule = Schedule { shape: Shape::Ramp, rate: 1000, length_ns: 10_000_000_000 };
        assert_eq!(schedule.due_ns(2500), 5_000_000_000);
    }

    #[test]
    fn a_burst_sends_four_fifths_in_a_fifth_of_its_period() {
        let schedule = Schedule { shape: Shape::Burst, rate: 1000, length_ns: 10_000_000_000 };
        let near = |event: u64, ns: u64| assert!(schedule.due_ns(event).abs_diff(ns) < 1000, "{event}");
        near(800, 200_000_000);
        near(1000, 1_000_000_000);
        near(1800, 1_200_000_000);
    }

    #[test]
    fn a_day_begins_and_ends_quietly() {
        let schedule = Schedule { shape: Shape::Diurnal, rate: 1000, length_ns: 10_000_000_000 };
        assert!(schedule.due_ns(100) > 500_000_000);
        assert!(schedule.due_ns(5000).abs_diff(5_000_000_000) < 10_000_000);
    }
}
