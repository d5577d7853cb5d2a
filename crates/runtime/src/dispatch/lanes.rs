//! Lanes: which job may start, so that jobs of one key never run at the same time nor out of order (G4), and never
//! more than `limit` run at once. Pure bookkeeping: it starts nothing itself.
//!
//! A lane exists only while a job of its key runs or rests: a job that rests keeps its lane, and lets others have its
//! place. Everything that cannot start waits either in its lane or, when no place is free, in the backlog. The backlog
//! is served strictly in order; a job whose lane is busy moves into it. The next job of a lane comes before the backlog:
//! it is the older one. However many wait in a lane, starting the next one costs the same.

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Identity of a lane: a hash of route and key. Two keys with the same hash share a lane, which costs concurrency and
/// never order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey(pub(crate) u64);

/// See the module's description. `J` is whatever a job is.
#[derive(Debug)]
pub(crate) struct Lanes<J> {
    busy: HashMap<LaneKey, VecDeque<J>, foldhash::fast::FixedState>,
    backlog: VecDeque<(Option<LaneKey>, J)>,
    /// Lanes whose job has ended and whose next one may start.
    ready: VecDeque<LaneKey>,
    /// The lane of the job that [`next`](Self::next) gave last, if it may have ended at once.
    begun: Option<LaneKey>,
    running: usize,
    queued: usize,
    limit: usize,
}

impl<J> Lanes<J> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            busy: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            backlog: VecDeque::new(),
            ready: VecDeque::new(),
            begun: None,
            running: 0,
            queued: 0,
            limit: limit.max(1),
        }
    }

    /// Whether any job may start without asking: nothing runs and nothing waits.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.running == 0 && self.queued == 0
    }

    /// Jobs that run and do not rest.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Jobs that wait or rest.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Takes in a job. Gives it back when it may start now; the caller then says how that went: with [`occupy`] if it
    /// did not end at once.
    ///
    /// [`occupy`]: Self::occupy
    pub(crate) fn admit(&mut self, lane: Option<LaneKey>, job: J) -> Option<J> {
        if self.running >= self.limit || !self.backlog.is_empty() || !self.ready.is_empty() {
            self.backlog.push_back((lane, job));
            self.queued += 1;
            return None;
        }
        match lane.and_then(|lane| self.busy.get_mut(&lane)) {
            Some(waiting) => {
                waiting.push_back(job);
                self.queued += 1;
                None
            }
            None => Some(job),
        }
    }

    /// A job that was allowed to start goes on running.
    pub(crate) fn occupy(&mut self, lane: Option<LaneKey>) {
        self.running += 1;
        self.begun = None;
        if let Some(lane) = lane {
            self.busy.entry(lane).or_default();
        }
    }

    /// A running job gives its place to others for a while, and keeps its lane.
    pub(crate) fn rest(&mut self) {
        self.running -= 1;
        self.queued += 1;
    }

    /// A resting job takes a place again. `false`: none is free, and it goes on resting.
    pub(crate) fn resume(&mut self) -> bool {
        let free = self.running < self.limit;
        if free {
            self.running += 1;
            self.queued -= 1;
        }
        free
    }

    /// A running job has ended; [`next`](Self::next) tells what may start in its place.
    pub(crate) fn release(&mut self, lane: Option<LaneKey>) {
        self.running -= 1;
        self.free(lane);
    }

    /// A resting job has ended.
    pub(crate) fn release_resting(&mut self, lane: Option<LaneKey>) {
        self.queued -= 1;
        self.free(lane);
    }

    fn free(&mut self, lane: Option<LaneKey>) {
        let Some(lane) = lane else { return };
        if let Entry::Occupied(waiting) = self.busy.entry(lane) {
            match waiting.get().is_empty() {
                true => drop(waiting.remove()),
                false => self.ready.push_back(lane),
            }
        }
    }

    /// The next waiting job that may start now. Call it until it gives none.
    pub(crate) fn next(&mut self) -> Option<(Option<LaneKey>, J)> {
        let ended = self.begun.take();
        self.free(ended);
        while self.running < self.limit {
            if let Some(lane) = self.ready.pop_front() {
                let Some(job) = self.busy.get_mut(&lane).and_then(VecDeque::pop_front) else { continue };
                self.queued -= 1;
                self.begun = Some(lane);
                return Some((Some(lane), job));
            }
            let (lane, job) = self.backlog.pop_front()?;
            match lane.and_then(|lane| self.busy.get_mut(&lane)) {
                Some(waiting) => waiting.push_back(job),
                None => {
                    self.queued -= 1;
                    return Some((lane, job));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap as Model;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// A job of this key (none: unordered) arrives; it ends at once or goes on running.
        Arrive(Option<u8>, bool),
        /// One of the running jobs ends; what starts in its place ends at once or not.
        End(prop::sample::Index, bool),
        /// One of the running jobs rests; others may start.
        Rest(prop::sample::Index, bool),
        /// One of the resting jobs wants to run on.
        Resume(prop::sample::Index),
        /// One of the resting jobs ends.
        EndResting(prop::sample::Index, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (prop::option::weighted(0.9, 0_u8..4), any::<bool>()).prop_map(|(key, ends)| Step::Arrive(key, ends)),
            (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(index, ends)| Step::End(index, ends)),
            (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(index, ends)| Step::Rest(index, ends)),
            any::<prop::sample::Index>().prop_map(Step::Resume),
            (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(index, ends)| Step::EndResting(index, ends)),
        ]
    }

    struct Harness {
        lanes: Lanes<(usize, Option<u8>)>,
        running: Vec<(usize, Option<u8>)>,
        resting: Vec<(usize, Option<u8>)>,
        /// Per key, what has started, in order.
        started: Model<u8, Vec<usize>>,
        ended: usize,
    }

    impl Harness {
        fn start(&mut self, lane: Option<LaneKey>, job: (usize, Option<u8>), ends: bool) {
            if let Some(key) = job.1 {
                let mut begun = self.running.iter().chain(&self.resting);
                assert!(!begun.any(|(_, other)| *other == Some(key)), "two jobs of one key at once");
                self.started.entry(key).or_default().push(job.0);
            }
            if ends {
                self.ended += 1;
            } else {
                self.lanes.occupy(lane);
                self.running.push(job);
            }
        }

        fn start_waiting(&mut self, ends: bool) {
            while let Some((lane, job)) = self.lanes.next() {
                self.start(lane, job, ends);
            }
        }
    }

    proptest! {
        #[test]
        fn keys_stay_in_order_and_alone_and_nothing_is_lost(
            limit in 1_usize..5,
            steps in prop::collection::vec(step(), 1..300),
        ) {
            let lanes = Lanes::new(limit);
            let (running, resting) = (Vec::new(), Vec::new());
            let mut all = Harness { lanes, running, resting, started: Model::new(), ended: 0 };
            let mut arrived = 0;
            for step in steps {
                match step {
                    Step::Arrive(key, ends) => {
                        let lane = key.map(|key| LaneKey(key.into()));
                        if let Some(job) = all.lanes.admit(lane, (arrived, key)) {
                            all.start(lane, job, ends);
                        }
                        arrived += 1;
                        all.start_waiting(ends);
                    }
                    Step::End(index, ends) if !all.running.is_empty() => {
                        let job = all.running.swap_remove(index.index(all.running.len()));
                        all.ended += 1;
                        all.lanes.release(job.1.map(|key| LaneKey(key.into())));
                        all.start_waiting(ends);
                    }
                    Step::Rest(index, ends) if !all.running.is_empty() => {
                        let job = all.running.swap_remove(index.index(all.running.len()));
                        all.resting.push(job);
                        all.lanes.rest();
                        all.start_waiting(ends);
                    }
                    Step::Resume(index) if !all.resting.is_empty() => {
                        let free = all.running.len() < limit;
                        prop_assert_eq!(all.lanes.resume(), free);
                        if free {
                            all.running.push(all.resting.swap_remove(index.index(all.resting.len())));
                        }
                    }
                    Step::EndResting(index, ends) if !all.resting.is_empty() => {
                        let job = all.resting.swap_remove(index.index(all.resting.len()));
                        all.ended += 1;
                        all.lanes.release_resting(job.1.map(|key| LaneKey(key.into())));
                        all.start_waiting(ends);
                    }
                    Step::End(..) | Step::Rest(..) | Step::Resume(_) | Step::EndResting(..) => {}
                }
                prop_assert!(all.running.len() <= limit);
                prop_assert_eq!(all.lanes.running(), all.running.len());
                prop_assert_eq!(all.ended + all.running.len() + all.lanes.queued(), arrived);
                prop_assert_eq!(all.lanes.is_idle(), all.running.is_empty() && all.lanes.queued() == 0);
                prop_assert!(all.resting.len() <= all.lanes.queued());
            }
            // Let everything end: whatever waits must start.
            while let Some(job) = all.running.pop().or_else(|| all.resting.pop().filter(|_| all.lanes.resume())) {
                all.ended += 1;
                all.lanes.release(job.1.map(|key| LaneKey(key.into())));
                all.start_waiting(false);
            }
            prop_assert_eq!(all.ended, arrived);
            for (key, started) in all.started {
                prop_assert!(started.is_sorted(), "key {} out of order: {:?}", key, started);
            }
        }
    }
}
