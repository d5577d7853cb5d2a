//! How many attempts may run at a time: additive increase, multiplicative decrease, as TCP does it. Pure.
//!
//! INVARIANT: the limit stays within its bounds, shrinks at most once for all attempts that ran side by side, and grows
//! only while it is used.

/// What is left of the limit after an overload.
const BACKOFF: f64 = 0.8;

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// It ended in time.
    Good,
    /// It took too long, failed in a way that may pass, or was cut.
    Overload,
    /// It says nothing about the load.
    Neither,
}

/// The generation of the limit under which an attempt began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// See the module's description.
#[derive(Clone, Debug)]
pub(super) struct Aimd {
    limit: f64,
    min: f64,
    max: f64,
    generation: u64,
}

impl Aimd {
    /// Begins at the upper bound: a worker that starts with a backlog should not creep, and the first overload shows.
    pub(super) fn new(min: u32, max: u32) -> Self {
        let min = f64::from(min.max(1));
        let max = f64::from(max).max(min);
        Self { limit: max, min, max, generation: 0 }
    }

    /// How many may run at a time.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 2^32")]
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// What an attempt that begins now is to give back at its end.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation)
    }

    /// An attempt has ended; `running` counts it too.
    pub(super) fn ended(&mut self, begun: Generation, sample: Sample, running: usize) {
        match sample {
            // Attempts that began before the last decrease tell of a load that has been answered already.
            Sample::Overload if begun.0 == self.generation => {
                self.limit = (self.limit * BACKOFF).max(self.min);
                self.generation += 1;
            }
            // About one more for every round of attempts. Many may end at the same time, before others take their
            // places, so half of the limit counts as used.
            Sample::Good if begun.0 == self.generation && running * 2 > self.limit() => {
                self.limit = (self.limit + 1.0 / self.limit).min(self.max);
            }
            Sample::Good | Sample::Overload | Sample::Neither => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> impl Strategy<Value = (bool, Sample, u8)> {
        let sample = prop_oneof![Just(Sample::Good), Just(Sample::Overload), Just(Sample::Neither)];
        (any::<bool>(), sample, any::<u8>())
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(
            min in 0_u32..100,
            max in 0_u32..1000,
            samples in prop::collection::vec(samples(), 0..500),
        ) {
            let mut aimd = Aimd::new(min, max);
            let mut old = aimd.generation();
            for (fresh, sample, running) in samples {
                let begun = if fresh { aimd.generation() } else { old };
                old = aimd.generation();
                aimd.ended(begun, sample, usize::from(running));
                let low = usize::try_from(min.max(1)).unwrap();
                let high = usize::try_from(max).unwrap().max(low);
                prop_assert!((low..=high).contains(&aimd.limit()), "{}", aimd.limit());
            }
        }

        #[test]
        fn attempts_that_ran_side_by_side_shrink_it_once(together in 1_usize..200) {
            let mut aimd = Aimd::new(1, 1000);
            let begun: Vec<_> = (0..together).map(|_| aimd.generation()).collect();
            for generation in begun {
                aimd.ended(generation, Sample::Overload, together);
            }
            prop_assert_eq!(aimd.limit(), 800);
        }

        #[test]
        fn it_settles_near_what_a_server_can_take(capacity in 4_usize..200) {
            // A server that is overloaded by every round of more than `capacity` requests.
            let mut aimd = Aimd::new(1, 400);
            let mut lowest = usize::MAX;
            let mut highest = 0;
            for round in 0..3000 {
                let running = aimd.limit();
                let sample = if running > capacity { Sample::Overload } else { Sample::Good };
                let begun = aimd.generation();
                // Whoever waits takes the place of the one that ends, so `running` stays.
                for _ in 0..running {
                    aimd.ended(begun, sample, running);
                }
                if round > 1000 {
                    lowest = lowest.min(aimd.limit());
                    highest = highest.max(aimd.limit());
                }
            }
            prop_assert!(highest <= capacity + 1, "{highest} of {capacity}");
            prop_assert!(lowest * 4 >= capacity * 3 - 4, "{lowest} of {capacity}");
        }
    }

    #[test]
    fn it_does_not_grow_while_it_is_not_used() {
        let mut aimd = Aimd::new(1, 100);
        aimd.ended(aimd.generation(), Sample::Overload, 100);
        for _ in 0..1000 {
            aimd.ended(aimd.generation(), Sample::Good, 3);
        }
        assert_eq!(aimd.limit(), 80);
    }

    #[test]
    fn it_grows_by_one_a_round() {
        let mut aimd = Aimd::new(1, 100);
        aimd.ended(aimd.generation(), Sample::Overload, 100);
        for _ in 0..81 {
            aimd.ended(aimd.generation(), Sample::Good, 90);
        }
        assert_eq!(aimd.limit(), 81);
    }
}
