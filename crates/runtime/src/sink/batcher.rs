//! What waits to be written, gathered into the batches in which it will leave, and which of them may leave next. Pure: the
//! time comes from outside.
//!
//! INVARIANT: records of one partition leave in the order they came, and a partition has no more batches under way than
//! it may. A sink that keeps order has as many partitions as writes in flight, with one batch under way each, and all
//! records of a key are in one partition: so they reach the target in order. Any other sink has one partition.

use std::collections::VecDeque;
use std::time::Duration;

use tidemill_core::SinkTraits;
use tokio::time::Instant;

/// How large batches are, and how long they wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    pub(super) records: usize,
    pub(super) bytes: u64,
    pub(super) linger: Duration,
}

/// Which batches may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Those that no more records fit into.
    Full,
    /// Those, and what has waited long enough.
    Due,
    /// Whatever waits.
    Anything,
}

/// A batch that gathers.
#[derive(Debug)]
struct Gathering<B> {
    batch: B,
    records: usize,
    bytes: u64,
    /// When its first record came.
    since: Instant,
}

#[derive(Debug)]
struct Partition<B> {
    /// In their order. More records fit into the last one only.
    gathering: VecDeque<Gathering<B>>,
    /// Batches under way.
    flying: usize,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Batcher<B> {
    partitions: Vec<Partition<B>>,
    /// Most batches under way per partition.
    flights: usize,
    limits: BatchLimits,
    /// The partition that is looked at first, so that all get their turn.
    turn: usize,
    /// Batches that gather.
    batches: usize,
    /// Emptied batches, to be filled again.
    spare: Vec<B>,
}

/// So many emptied batches wait to be used again: one is reported while one is under way and one gathers.
const SPARE: usize = 2;

impl<B: Default> Batcher<B> {
    pub(super) fn new(traits: SinkTraits, in_flight: usize, limits: BatchLimits) -> Self {
        let (partitions, flights) = match traits {
            SinkTraits { serial: true, .. } => (1, 1),
            SinkTraits { ordered: true, .. } => (in_flight.max(1), 1),
            _ => (1, in_flight.max(1)),
        };
        let partition = || Partition { gathering: VecDeque::new(), flying: 0 };
        let partitions = (0..partitions).map(|_| partition()).collect();
        Self { partitions, flights, limits, turn: 0, batches: 0, spare: Vec::new() }
    }

    /// Finds the batch of a record by a hash of its key, and lets `put` put it there. `true` when a batch may leave sooner
    /// for it than was known before.
    #[inline]
    pub(super) fn push(
        &mut self,
        hash: u64,
        bytes: u64,
        now: impl FnOnce() -> Instant,
        put: impl FnOnce(&mut B),
    ) -> bool {
        let at = match self.partitions.len() {
            1 => 0,
            // Less than the length, which is a small number.
            several => usize::try_from(hash % several as u64).unwrap_or(0),
        };
        let (limits, partition) = (&self.limits, &mut self.partitions[at]);
        let fits = |last: &Gathering<B>| !last.is_full(limits) && last.bytes + bytes <= limits.bytes;
        let begins = !partition.gathering.back().is_some_and(fits);
        if begins {
            let batch = self.spare.pop().unwrap_or_default();
            partition.gathering.push_back(Gathering { batch, records: 0, bytes: 0, since: now() });
            self.batches += 1;
        }
        let count = partition.gathering.len();
        let last = &mut partition.gathering[count - 1];
        put(&mut last.batch);
        last.records += 1;
        last.bytes += bytes;
        // The first batch is there, is full, or nothing fits into it any more.
        let tells = match count {
            1 => begins || last.is_full(limits),
            2 => begins,
            _ => false,
        };
        tells && partition.flying < self.flights
    }

    /// Whether a record's key matters.
    pub(super) fn is_partitioned(&self) -> bool {
        self.partitions.len() > 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches == 0
    }

    /// The batches that have waited longest, one per partition.
    pub(super) fn fronts(&self) -> impl Iterator<Item = &B> {
        self.partitions.iter().filter_map(|partition| Some(&partition.gathering.front()?.batch))
    }

    /// The next batch that may leave, and its partition; `None` when there is none now.
    pub(super) fn next(&mut self, now: Instant, leave: Leave) -> Option<(usize, B)> {
        if self.batches == 0 {
            return None;
        }
        let count = self.partitions.len();
        let at = (self.turn..self.turn + count).map(|at| at % count).find(|at| {
            let partition = &self.partitions[*at];
            let may = match leave {
                Leave::Full => partition.is_full(&self.limits),
                Leave::Due => partition.due(&self.limits).is_some_and(|due| due <= now),
                Leave::Anything => !partition.gathering.is_empty(),
            };
            partition.flying < self.flights && may
        })?;
        self.turn = (at + 1) % count;
        let partition = &mut self.partitions[at];
        let Gathering { batch, .. } = partition.gathering.pop_front()?;
        partition.flying += 1;
        self.batches -= 1;
        Some((at, batch))
    }

    /// A batch of the partition is no longer under way.
    pub(super) fn landed(&mut self, partition: usize) {
        self.partitions[partition].flying -= 1;
    }

    /// Takes out everything that waits, whether it may leave or not.
    pub(super) fn take_all(&mut self) -> Vec<B> {
        self.batches = 0;
        let waiting = self.partitions.iter_mut().flat_map(|partition| partition.gathering.drain(..));
        waiting.map(|gathering| gathering.batch).collect()
    }

    /// Takes an emptied batch to use its room again.
    pub(super) fn reuse(&mut self, emptied: B) {
        if self.spare.len() < SPARE {
            self.spare.push(emptied);
        }
    }

    /// When a batch will have waited long enough that waits now for nothing else.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let free = self.partitions.iter().filter(|partition| partition.flying < self.flights);
        free.filter_map(|partition| partition.due(&self.limits)).min()
    }
}

impl<B> Gathering<B> {
    fn is_full(&self, limits: &BatchLimits) -> bool {
        self.records >= limits.records || self.bytes >= limits.bytes
    }
}

impl<B> Partition<B> {
    /// Whether no more records fit into the front batch.
    fn is_full(&self, limits: &BatchLimits) -> bool {
        self.gathering.len() > 1 || self.gathering.front().is_some_and(|front| front.is_full(limits))
    }

    /// When the front batch may leave; `None` without one. A full one is due since its first record came.
    fn due(&self, limits: &BatchLimits) -> Option<Instant> {
        let since = self.gathering.front()?.since;
        Some(if self.is_full(limits) { since } else { since + limits.linger })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn limits(records: usize, bytes: u64, linger: u64) -> BatchLimits {
        BatchLimits { records, bytes, linger: Duration::from_millis(linger) }
    }

    #[test]
    fn a_batch_leaves_when_it_is_full_or_has_waited_long_enough() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut batcher = Batcher::<Vec<_>>::new(SinkTraits::default(), 2, limits(3, 100, 50));
        batcher.push(0, 10, || at(0), |batch| batch.push('a'));
        batcher.push(0, 10, || at(20), |batch| batch.push('b'));
        assert_eq!(batcher.next(at(49), Leave::Due), None);
        assert_eq!(batcher.next_due(), Some(at(50)));
        assert_eq!(batcher.next(at(50), Leave::Full), None);
        assert_eq!(batcher.next(at(50), Leave::Due), Some((0, vec!['a', 'b'])));
        for item in ['c', 'd', 'e', 'f'] {
            batcher.push(0, 10, || at(60), |batch| batch.push(item));
        }
        assert_eq!(batcher.next(at(60), Leave::Due), Some((0, vec!['c', 'd', 'e'])), "full by its number");
        assert_eq!(batcher.next(at(999), Leave::Anything), None, "two are under way");
        batcher.landed(0);
        batcher.push(0, 95, || at(61), |batch| batch.push('g'));
        assert_eq!(
            batcher.next(at(61), Leave::Due),
            Some((0, vec!['f'])),
            "full by its bytes, which do not go together"
        );
        batcher.landed(0);
        assert_eq!(batcher.next(at(62), Leave::Due), None);
        assert_eq!(batcher.next(at(62), Leave::Anything), Some((0, vec!['g'])), "in a hurry");
        assert!(batcher.is_empty());
    }

    #[test]
    fn a_record_above_the_limit_leaves_alone() {
        let now = Instant::now();
        let mut batcher = Batcher::<Vec<_>>::new(SinkTraits::default(), 1, limits(10, 100, 0));
        batcher.push(0, 500, || now, |batch| batch.push('a'));
        batcher.push(0, 1, || now, |batch| batch.push('b'));
        assert_eq!(batcher.next(now, Leave::Due), Some((0, vec!['a'])));
    }

    #[derive(Clone, Debug)]
    enum Act {
        Push(u64, u64),
        Next(Leave),
        Land(prop::sample::Index),
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..6_u64, 0..60_u64).prop_map(|(key, bytes)| Act::Push(key, bytes)),
            3 => prop::sample::select(vec![Leave::Full, Leave::Due, Leave::Anything]).prop_map(Act::Next),
            2 => any::<prop::sample::Index>().prop_map(Act::Land),
            1 => (0..40_u64).prop_map(Act::Wait),
        ]
    }

    proptest! {
        #[test]
        fn per_key_order_and_limits_hold_whatever_happens(
            acts in prop::collection::vec(act(), 1..120), in_flight in 1..5_usize, kind in 0..3_u8,
        ) {
            let traits = match kind {
                0 => SinkTraits::default(),
                1 => SinkTraits::default().ordered(),
                _ => SinkTraits::default().ordered().serial(),
            };
            let mut now = Instant::now();
            let mut batcher = Batcher::<Vec<_>>::new(traits, in_flight, limits(4, 100, 30));
            let mut flying: Vec<(usize, Vec<(u64, usize)>)> = Vec::new();
            let mut left: BTreeMap<u64, usize> = BTreeMap::new();
            let (mut pushed, mut gone) = (0, 0);
            for act in acts {
                match act {
                    Act::Push(key, bytes) => { batcher.push(key, bytes, || now, |batch| batch.push((key, pushed))); pushed += 1; }
                    Act::Wait(millis) => now += Duration::from_millis(millis),
                    Act::Land(which) => if !flying.is_empty() {
                        let (partition, _) = flying.swap_remove(which.index(flying.len()));
                        batcher.landed(partition);
                    },
                    Act::Next(leave) => if let Some((partition, items)) = batcher.next(now, leave) {
                        prop_assert!(!items.is_empty() && items.len() <= 4);
                        gone += items.len();
                        for (key, number) in &items {
                            // Every key leaves in the order in which it came.
                            let last = left.insert(*key, *number);
                            prop_assert!(last.is_none_or(|last| last < *number));
                            if traits.ordered {
                                let busy = flying.iter().any(|(_, batch)| batch.iter().any(|(other, _)| other == key));
                                prop_assert!(!busy, "a key is in two writes at once");
                            }
                        }
                        flying.push((partition, items));
                    },
                }
                let most = if traits.serial { 1 } else { in_flight };
                prop_assert!(flying.len() <= most);
                prop_assert_eq!(batcher.is_empty(), pushed == gone);
            }
            // Nothing is forgotten.
            while !batcher.is_empty() {
                flying.drain(..).for_each(|(partition, _)| batcher.landed(partition));
                while let Some((partition, items)) = batcher.next(now, Leave::Anything) {
                    gone += items.len();
                    flying.push((partition, items));
                }
            }
            prop_assert_eq!(pushed, gone);
        }
    }
}
