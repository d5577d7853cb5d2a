//! The decisions on models of a load: bounds hold whatever comes, and a load that stays the same settles.

use std::time::Duration;

use proptest::prelude::*;

use super::decide::{Controller, Sample, Verdict};
use crate::config::ElasticConfig;

/// One worker under a load, looked at once a second.
struct Model {
    controller: Controller,
    limits: (u32, u32),
    instances: u32,
    seconds: u64,
    /// When and to which number it changed.
    changes: Vec<(u64, u32)>,
}

impl Model {
    fn new(min: u32, max: u32, instances: u32) -> Self {
        Self { controller: Controller::default(), limits: (min, max), instances, seconds: 0, changes: Vec::new() }
    }

    fn look(&mut self, saturation: f64, busy: f64, cpu: f64, steady: bool) -> Verdict {
        let at = Duration::from_secs(self.seconds);
        let sample = Sample { at, instances: self.instances, saturation, busy, cpu, steady };
        let verdict = self.controller.look(self.limits, &ElasticConfig::default(), &sample);
        let before = self.instances;
        match verdict {
            Verdict::Grow { .. } => self.instances += 1,
            Verdict::Shrink { .. } => self.instances -= 1,
            _ => {}
        }
        assert!(self.instances >= self.limits.0 && self.instances <= self.limits.1, "{verdict:?} at {before}");
        if before != self.instances {
            self.changes.push((self.seconds, self.instances));
        }
        self.seconds += 1;
        verdict
    }

    fn run(&mut self, seconds: u64, load: impl Fn(u32) -> f64) {
        for _ in 0..seconds {
            let saturation = load(self.instances);
            self.look(saturation, 1.0, 0.1, true);
        }
    }
}

/// Handlers that wait, all at the same time: events in hand are the load times how long one takes.
fn waiting(in_hand: f64) -> impl Fn(u32) -> f64 {
    move |instances| (in_hand / f64::from(instances)).min(1.0)
}

/// Handlers that take turns: next to nothing in hand, until the load is above what the instances can carry.
fn turns(load: f64) -> impl Fn(u32) -> f64 {
    move |instances| if load > f64::from(instances) { 1.0 } else { 0.02 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bounds_hold_whatever_comes(
        (min, more, start) in (1..6u32, 0..6u32, 0..6u32),
        samples in prop::collection::vec((0.0..1.5f64, 0.0..1.0f64, 0.0..1.2f64, prop::bool::weighted(0.97), 1..120u8), 1..40),
    ) {
        let mut model = Model::new(min, min + more, min + start.min(more));
        for (saturation, busy, cpu, steady, seconds) in samples {
            for _ in 0..seconds {
                let before = model.instances;
                let verdict = model.look(saturation, busy, cpu, steady);
                prop_assert!(before.abs_diff(model.instances) <= 1);
                prop_assert!(steady || verdict == Verdict::Unsteady);
                prop_assert!(model.instances <= before || (cpu < 0.9 && busy >= 0.5), "{:?}", verdict);
            }
        }
        let pause = model.changes.windows(2).map(|pair| pair[1].0 - pair[0].0).min();
        prop_assert!(pause.is_none_or(|pause| pause >= 10), "{:?}", model.changes);
    }

    #[test]
    fn a_load_that_stays_the_same_settles_for_good(in_hand in 0.0..12.0f64, start in 1..=10u32) {
        let mut model = Model::new(1, 10, start);
        model.run(3600, waiting(in_hand));
        let (settled, changes) = (model.instances, model.changes.len());
        model.run(24 * 3600, waiting(in_hand));
        prop_assert_eq!((model.instances, model.changes.len()), (settled, changes));
        let directions: Vec<bool> = model.changes.windows(2).map(|pair| pair[1].1 > pair[0].1).collect();
        prop_assert!(directions.windows(2).all(|pair| pair[0] == pair[1]), "back and forth: {:?}", model.changes);
        prop_assert!(in_hand > 8.0 || waiting(in_hand)(settled) < 0.8, "saturated with {settled}");
    }

    #[test]
    fn a_load_that_windows_do_not_foretell_is_tried_less_and_less_often(load in 0.1..9.9f64, start in 1..=10u32) {
        let mut model = Model::new(1, 10, start);
        model.run(12 * 3600, turns(load));
        let before = model.changes.len();
        model.run(24 * 3600, turns(load));
        // At most one trial, which is two changes, in 64 minutes.
        prop_assert!(model.changes.len() - before <= 2 * (24 * 60 / 64 + 1), "{:?}", &model.changes[before..]);
        let enough = load.ceil().max(1.0);
        prop_assert!((f64::from(model.instances) - enough).abs() <= 1.0, "{} for {load}", model.instances);
    }

    #[test]
    fn noise_around_a_load_that_fits_changes_nothing(in_hand in 2.2..2.8f64, seed in any::<u64>()) {
        // 4 instances are 55 to 70 % full, the remaining three would be 73 to 93 % full.
        let mut noise = fastrand::Rng::with_seed(seed);
        let mut model = Model::new(1, 10, 4);
        for _ in 0..4 * 3600 {
            let saturation = in_hand / 4.0 + (noise.f64() - 0.5) * 0.1;
            model.look(saturation, 1.0, 0.1, true);
        }
        prop_assert_eq!(model.changes, []);
    }
}

#[test]
fn it_grows_one_by_one_while_saturated_and_shrinks_more_slowly_when_idle() {
    let mut model = Model::new(1, 4, 1);
    model.run(60, |_| 1.0);
    let grown = model.changes.clone();
    assert_eq!(grown.iter().map(|(_, to)| *to).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(grown[0].0 == 10 && grown[1].0 - grown[0].0 >= 15, "{grown:?}");
    model.run(600, |_| 0.0);
    let shrunk = &model.changes[3..];
    assert_eq!(shrunk.iter().map(|(_, to)| *to).collect::<Vec<_>>(), [3, 2, 1]);
    assert!(shrunk[0].0 - 60 >= 60 && shrunk[1].0 - shrunk[0].0 >= 60, "{shrunk:?}");
}

#[test]
fn what_more_instances_do_not_help_adds_none_and_is_explained() {
    for (busy, cpu, told) in [(1.0, 0.95, "CPU is 95 % busy"), (0.0, 0.1, "sinks hold the events up")] {
        let mut model = Model::new(1, 4, 2);
        let mut last = Verdict::Unsteady;
        for _ in 0..600 {
            last = model.look(1.0, busy, cpu, true);
        }
        assert_eq!(model.instances, 2);
        assert!(last.to_string().contains(told), "{last}");
    }
    let mut model = Model::new(1, 2, 2);
    assert!(model.look(1.0, 1.0, 0.1, true).to_string().contains("2 instances are the upper limit"));
}

#[test]
fn while_somebody_joins_or_leaves_nothing_is_decided_and_time_starts_anew() {
    let mut model = Model::new(1, 4, 1);
    for _ in 0..20 {
        for _ in 0..9 {
            model.look(1.0, 1.0, 0.1, true);
        }
        assert_eq!(model.look(1.0, 1.0, 0.1, false), Verdict::Unsteady);
    }
    assert_eq!(model.changes, []);
}
