//! What the handlers of a worker saw: every event once in a set, and latencies per instance. Each instance has a lock of
//! its own, each publisher's set too; they are held for nanoseconds.
//!
//! Order is judged per key and instance: a group hands the events of one key to several instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::histogram::Latencies;
use super::super::process::{MemberFigures, Second, Sent, WorkerFigures};
use super::super::stamp::Stamp;
use super::seen::Seen;

/// Numbers that instances may have; those that were replaced have new ones.
const MOST_MEMBERS: usize = 2048;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Only events that are due from here on count for latency.
    from_ns: Mutex<u64>,
    publishers: Box<[Mutex<Seen>]>,
    members: Box<[Mutex<Option<Box<Member>>>]>,
    /// Members from here on were never there.
    used: AtomicUsize,
}

#[derive(Debug, Default)]
struct Member {
    id: String,
    handled: u64,
    duplicated: u64,
    resent: u64,
    out_of_order: u64,
    /// The next event of every key's publisher that may come.
    next: Vec<u64>,
    from_ns: u64,
    latency: Latencies,
    handler: Latencies,
    /// Since it was looked at last.
    recent: Latencies,
}

/// Sums of all instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) handled: u64,
    pub(crate) duplicated: u64,
    pub(crate) resent: u64,
    pub(crate) out_of_order: u64,
}

impl Tally {
    pub(crate) fn new(publishers: u32) -> Self {
        Self {
            from_ns: Mutex::new(u64::MAX),
            publishers: (0..publishers).map(|_| Mutex::default()).collect(),
            members: (0..MOST_MEMBERS).map(|_| Mutex::default()).collect(),
            used: AtomicUsize::new(0),
        }
    }

    /// From now on latencies count of events that are due from this moment on.
    pub(crate) fn measure_from(&self, ns: u64) {
        *lock(&self.from_ns) = ns;
        for member in self.members.iter().take(self.used.load(Ordering::Relaxed)) {
            if let Some(member) = &mut *lock(member) {
                member.from_ns = ns;
            }
        }
    }

    /// An instance's handler has had an event. Says whether that is an event of this run.
    pub(crate) fn handled(&self, number: usize, id: &str, stamp: &Stamp, began_ns: u64, ended_ns: u64) -> bool {
        let Some((seen, slot)) = self.publishers.get(stamp.publisher as usize).zip(self.members.get(number)) else {
            return false;
        };
        let first = lock(seen).insert(stamp.seq);
        let mut slot = lock(slot);
        let member = slot.get_or_insert_with(|| {
            let from_ns = *lock(&self.from_ns);
            self.used.fetch_max(number + 1, Ordering::Relaxed);
            Box::new(Member { id: id.to_owned(), from_ns, ..Member::default() })
        });
        let key = stamp.key as usize;
        if key >= member.next.len() {
            member.next.resize((key + 1).max(member.next.len() * 2), 0);
        }
        let late = stamp.seq < member.next[key];
        member.next[key] = member.next[key].max(stamp.seq + 1);
        match (first, stamp.resent) {
            (true, _) => {
                member.handled += 1;
                member.out_of_order += u64::from(late && !stamp.resent);
            }
            (false, true) => member.resent += 1,
            (false, false) => member.duplicated += 1,
        }
        let latency = began_ns.saturating_sub(stamp.due_ns);
        member.recent.record(latency);
        if stamp.due_ns >= member.from_ns {
            member.latency.record(latency);
            member.handler.record(ended_ns.saturating_sub(began_ns));
        }
        true
    }

    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.each(|member| {
            sums.handled += member.handled;
            sums.duplicated += member.duplicated;
            sums.resent += member.resent;
            sums.out_of_order += member.out_of_order;
        });
        sums
    }

    /// Events that the broker has taken over and no handler has seen.
    pub(crate) fn missing(&self, sent: &Sent) -> u64 {
        (0..)
            .zip(self.publishers.iter().zip(&sent.events))
            .map(|(number, (seen, events))| lock(seen).missing(*events, sent.excused(number)))
            .sum()
    }

    /// Latencies since the last call.
    pub(crate) fn second(&self) -> Second {
        let mut recent = Latencies::default();
        self.each(|member| {
            recent.add(&member.recent);
            member.recent.clear();
        });
        let percentiles = recent.percentiles();
        Second {
            handled: recent.count(),
            p50: percentiles.p50,
            p99: percentiles.p99,
            max: percentiles.max,
            window_use: 0.0,
        }
    }

    /// Fills in what it knows.
    pub(crate) fn report(&self, figures: &mut WorkerFigures) {
        let sums = self.sums();
        (figures.handled, figures.duplicated) = (sums.handled, sums.duplicated);
        (figures.resent, figures.out_of_order) = (sums.resent, sums.out_of_order);
        self.each(|member| {
            figures.latency.add(&member.latency);
            figures.handler.add(&member.handler);
            figures.members.push(MemberFigures {
                id: member.id.clone(),
                events: member.handled + member.duplicated + member.resent,
                latency: member.latency.percentiles(),
            });
        });
    }

    fn each(&self, mut look: impl FnMut(&mut Member)) {
        for member in self.members.iter().take(self.used.load(Ordering::Relaxed)) {
            if let Some(member) = &mut *lock(member) {
                look(member);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; if it did, the numbers would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(key: u32, seq: u64, resent: bool) -> Stamp {
        Stamp { publisher: 0, key, resent, seq, due_ns: 1_000 }
    }

    fn tally(events: &[(usize, Stamp)]) -> Tally {
        let tally = Tally::new(1);
        for (member, stamp) in events {
            assert!(tally.handled(*member, "a", stamp, 5_000_000, 6_000_000));
        }
        tally
    }

    #[test]
    fn an_event_that_comes_twice_is_a_duplicate_unless_it_was_published_twice() {
        let tally =
            tally(&[(0, stamp(0, 0, false)), (1, stamp(0, 0, false)), (1, stamp(0, 1, false)), (0, stamp(0, 1, true))]);
        assert_eq!(tally.sums(), Sums { handled: 2, duplicated: 1, resent: 1, out_of_order: 0 });
    }

    #[test]
    fn order_is_kept_by_key_and_instance() {
        let tally = tally(&[
            (0, stamp(0, 4, false)),
            (1, stamp(0, 2, false)),
            (0, stamp(1, 1, false)),
            (0, stamp(0, 0, false)),
        ]);
        assert_eq!(tally.sums().out_of_order, 1);
    }

    #[test]
    fn what_was_confirmed_and_not_seen_is_missing() {
        let tally = tally(&[(0, stamp(0, 1, false))]);
        let sent = Sent { events: vec![4], unconfirmed: vec![(0, 3)], ..Sent::default() };
        assert_eq!(tally.missing(&sent), 2);
    }

    #[test]
    fn latency_counts_from_when_an_event_was_due_and_not_before_the_warm_up_is_over() {
        let tally = Tally::new(1);
        tally.measure_from(2_000_000);
        for due_ns in [1_000_000, 3_000_000] {
            tally.handled(0, "a", &Stamp { due_ns, ..stamp(0, due_ns, false) }, 13_000_000, 14_000_000);
        }
        let mut figures = WorkerFigures::default();
        tally.report(&mut figures);
        assert_eq!((figures.handled, figures.latency.count()), (2, 1));
        assert!((figures.latency.percentiles().p50 - 10.0).abs() < 0.02, "{:?}", figures.latency.percentiles());
        assert!((figures.handler.percentiles().p50 - 1.0).abs() < 0.01);
    }

    #[test]
    fn an_event_of_another_run_is_none_of_ours() {
        assert!(!Tally::new(1).handled(0, "a", &Stamp { publisher: 7, ..stamp(0, 0, false) }, 0, 0));
    }
}
