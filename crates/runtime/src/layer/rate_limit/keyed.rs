//! One gate for each key, as many as there are keys that were active lately.
//!
//! INVARIANT: beside gates that somebody waits at, there are never more than `max` of them. A gate is forgotten when it
//! is as good as new; if that does not make enough room, those used longest ago go too, and begin with a full burst.

use std::sync::{Arc, Mutex, PoisonError};

use governor::Quota;
use hashbrown::HashMap;

use super::gate::Gate;

/// Below so many gates there is nothing to be tidied.
const FEW: usize = 1024;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Gates {
    quota: Quota,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    gates: HashMap<Box<[u8]>, Used, foldhash::quality::RandomState>,
    uses: u64,
    /// The number of gates at which to tidy up next.
    tidy_at: usize,
}

#[derive(Debug)]
struct Used {
    gate: Arc<Gate>,
    /// When it was last used, counted in uses of all gates.
    last: u64,
}

impl Gates {
    pub(super) fn new(quota: Quota, max: usize) -> Self {
        let max = max.max(1);
        Self { quota, max, state: Mutex::new(State { tidy_at: FEW.min(max), ..State::default() }) }
    }

    /// The gate of a key.
    pub(super) fn of(&self, key: &[u8]) -> Arc<Gate> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.uses += 1;
        let last = state.uses;
        if let Some(used) = state.gates.get_mut(key) {
            used.last = last;
            return Arc::clone(&used.gate);
        }
        if state.gates.len() >= state.tidy_at {
            state.tidy(self.max);
        }
        let gate = Arc::new(Gate::new(self.quota));
        state.gates.insert(key.into(), Used { gate: Arc::clone(&gate), last });
        gate
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).gates.len()
    }
}

impl State {
    /// Makes room for at least one more. Costs a walk over all gates, so it leaves room for many.
    fn tidy(&mut self, max: usize) {
        self.gates.retain(|_, used| in_use(used) || !used.gate.is_unused());
        let keep = max - max.div_ceil(4);
        if self.gates.len() > keep {
            let mut ages: Vec<u64> = self.gates.values().filter(|used| !in_use(used)).map(|used| used.last).collect();
            let surplus = (self.gates.len() - keep).min(ages.len());
            ages.sort_unstable();
            if let Some(oldest_kept) = ages.get(surplus) {
                self.gates.retain(|_, used| in_use(used) || used.last >= *oldest_kept);
            } else {
                self.gates.retain(|_, used| in_use(used));
            }
        }
        self.tidy_at = (self.gates.len() * 2).clamp(FEW.min(max), max).max(self.gates.len() + 1);
    }
}

/// Whether somebody waits at it.
fn in_use(used: &Used) -> bool {
    Arc::strong_count(&used.gate) > 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Rate;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_as_good_as_new_are_forgotten() {
        let gates = Gates::new(Rate::per_second(1).quota(), 1_000_000);
        for round in 0..50_u32 {
            for key in 0..500_u32 {
                gates.of(&(round * 500 + key).to_be_bytes()).pass().await;
            }
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert!(gates.len() <= 2 * FEW, "{}", gates.len());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_gates_than_allowed() {
        for max in [1, 2, 3, 10, 1000, 5000] {
            let gates = Gates::new(Rate::per_hour(1).quota(), max);
            for key in 0..12_000_u32 {
                gates.of(&key.to_be_bytes()).pass().await;
                assert!(gates.len() <= max, "{} of {max}", gates.len());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_used_longest_ago_are_forgotten_first() {
        let gates = Gates::new(Rate::per_hour(1).quota(), 100);
        for key in 0..10_000_u32 {
            gates.of(b"busy");
            gates.of(&key.to_be_bytes()).pass().await;
            if key == 0 {
                gates.of(b"busy").pass().await;
            }
        }
        assert!(!gates.of(b"busy").is_unused(), "the busy key's gate was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_somebody_waits_at_is_kept() {
        for max in [10, 100] {
            let gates = Gates::new(Rate::per_hour(1).quota(), max);
            let held: Vec<_> = (0..20_u32).map(|key| gates.of(&key.to_be_bytes())).collect();
            for key in 100..1000_u32 {
                gates.of(&key.to_be_bytes()).pass().await;
            }
            for (key, gate) in (0..20_u32).zip(&held) {
                assert!(Arc::ptr_eq(gate, &gates.of(&key.to_be_bytes())));
            }
        }
    }
}
