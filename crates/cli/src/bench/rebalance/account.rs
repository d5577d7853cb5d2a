//! The account of a change, told from what was sent and from every single handling. Pure.
//!
//! An event belongs to a change when it was due between its beginning and its end. Its pause is what it had to wait; a
//! gap is a time in which nobody handled anything.

use std::collections::HashMap;

use serde::Serialize;

use super::super::process::Sent;
use super::super::worker::journal::Entry;
use super::super::worker::seen::Seen;
use crate::figures::{ms, rounded};

/// Something that happened to the group, on the machine's clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) name: String,
    pub(super) from_ns: u64,
    /// When everybody that should be there was there, and for as long as events may have been held up by it.
    pub(super) settled_ns: u64,
    pub(super) to_ns: u64,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) step: String,
    /// Until everybody was there, or gone.
    pub(super) took_ms: f64,
    /// Events that were due meanwhile.
    pub(super) events: u64,
    /// What they waited.
    pub(super) pause_p50_ms: f64,
    pub(super) pause_p99_ms: f64,
    pub(super) pause_max_ms: f64,
    /// The longest time without any handling.
    pub(super) gap_ms: f64,
    /// What events waited before the first change.
    pub(super) calm_p99_ms: f64,
}

/// The sums of a scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) handled: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) resent: u64,
    pub(super) out_of_order: u64,
}

/// Sums over the journals of all workers; each was written in the order of its handlings.
pub(super) fn sums(sent: &Sent, journals: &[Vec<Entry>]) -> Sums {
    let mut seen = vec![Seen::default(); sent.events.len()];
    let (mut sums, mut duplicates, mut resent) = (Sums::default(), 0, 0);
    for journal in journals {
        let mut next: HashMap<(u32, u32, u32), u64> = HashMap::new();
        for entry in journal {
            let stamp = entry.stamp;
            let Some(seen) = seen.get_mut(stamp.publisher as usize) else { continue };
            let place = next.entry((entry.instance, stamp.publisher, stamp.key)).or_default();
            let is_late = stamp.seq < *place;
            *place = (*place).max(stamp.seq + 1);
            match seen.insert(stamp.seq) {
                true => {
                    sums.handled += 1;
                    sums.out_of_order += u64::from(is_late && !stamp.resent);
                }
                false if stamp.resent => resent += 1,
                false => duplicates += 1,
            }
        }
    }
    (sums.duplicated, sums.resent) = (duplicates, resent);
    sums.lost = (0..)
        .zip(seen.iter().zip(&sent.events))
        .map(|(number, (seen, events))| seen.missing(*events, sent.excused(number)))
        .sum();
    sums
}

/// What each change did. `from_ns` is when events began to come.
pub(super) fn changes(from_ns: u64, marks: &[Mark], journals: &[Vec<Entry>]) -> Vec<Change> {
    let all = || journals.iter().flatten();
    let mut handled: Vec<u64> = all().map(|entry| entry.handled_ns).collect();
    handled.sort_unstable();
    let first = marks.first().map_or(u64::MAX, |mark| mark.from_ns);
    let calm = Waits::of(all(), from_ns, first);
    marks
        .iter()
        .map(|mark| {
            let waits = Waits::of(all(), mark.from_ns, mark.to_ns);
            Change {
                step: mark.name.clone(),
                took_ms: rounded(ms(mark.settled_ns.saturating_sub(mark.from_ns)), 1),
                events: waits.0.len() as u64,
                pause_p50_ms: waits.at(0.5),
                pause_p99_ms: waits.at(0.99),
                pause_max_ms: waits.at(1.0),
                gap_ms: rounded(ms(gap(&handled, mark.from_ns, mark.to_ns)), 3),
                calm_p99_ms: calm.at(0.99),
            }
        })
        .collect()
}

/// Sorted waits of events.
struct Waits(Vec<u64>);

impl Waits {
    /// Of the events that were due in that time; of an event that was handled twice, the first handling counts.
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>, from_ns: u64, to_ns: u64) -> Self {
        let mut first: HashMap<(u32, u64), u64> = HashMap::new();
        for entry in entries.filter(|entry| (from_ns..to_ns).contains(&entry.stamp.due_ns)) {
            let wait = entry.handled_ns.saturating_sub(entry.stamp.due_ns);
            let known = first.entry((entry.stamp.publisher, entry.stamp.seq)).or_insert(wait);
            *known = wait.min(*known);
        }
        let mut waits: Vec<u64> = first.into_values().collect();
        waits.sort_unstable();
        Self(waits)
    }

    /// In milliseconds; the smallest wait that so large a part stays within.
    fn at(&self, part: f64) -> f64 {
        let rank = usize::try_from(crate::figures::whole((part * self.0.len() as f64).ceil())).unwrap_or(usize::MAX);
        let at = rank.clamp(1, self.0.len().max(1)) - 1;
        rounded(self.0.get(at).map_or(0.0, |ns| ms(*ns)), 3)
    }
}

/// The longest time between two handlings that lies in that time, at least in part.
fn gap(handled: &[u64], from_ns: u64, to_ns: u64) -> u64 {
    let pairs = handled.windows(2).filter(|pair| pair[1] > from_ns && pair[0] < to_ns);
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::super::stamp::Stamp;
    use super::*;

    fn entry(seq: u64, due: u64, handled: u64, resent: bool) -> Entry {
        let stamp = Stamp { publisher: 0, key: 0, resent, seq, due_ns: due * 1_000_000 };
        Entry { stamp, handled_ns: handled * 1_000_000, instance: 0 }
    }

    fn sent(events: u64) -> Sent {
        Sent { events: vec![events], ..Sent::default() }
    }

    #[test]
    fn an_event_in_two_journals_is_a_duplicate_unless_it_was_published_twice() {
        let journals =
            [vec![entry(0, 0, 1, false), entry(1, 1, 2, false)], vec![entry(1, 1, 3, false), entry(0, 0, 4, true)]];
        let sums = sums(&sent(3), &journals);
        assert_eq!((sums.handled, sums.lost, sums.duplicated, sums.resent), (2, 1, 1, 1));
    }

    #[test]
    fn an_event_that_the_broker_refused_is_not_lost() {
        let mut sent = sent(3);
        sent.refuse(0, 1);
        let sums = sums(&sent, &[vec![entry(0, 0, 1, false)]]);
        assert_eq!((sums.handled, sums.lost), (1, 1));
    }

    #[test]
    fn order_is_that_of_each_journal() {
        let journals = [
            vec![entry(1, 0, 1, false), entry(0, 1, 2, false)],
            vec![entry(3, 0, 1, false)],
            vec![entry(2, 0, 2, false)],
        ];
        assert_eq!(sums(&sent(4), &journals).out_of_order, 1);
    }

    #[test]
    fn a_pause_is_what_events_of_that_time_waited_the_first_time() {
        let journals = [vec![
            entry(0, 0, 1, false),
            entry(1, 10, 110, false),
            entry(2, 20, 112, false),
            entry(3, 200, 201, false),
            entry(1, 10, 300, false),
        ]];
        let mark = Mark { name: "x".to_owned(), from_ns: 5_000_000, settled_ns: 60_000_000, to_ns: 150_000_000 };
        let change = &changes(0, &[mark], &journals)[0];
        assert_eq!((change.events, change.took_ms, change.gap_ms), (2, 55.0, 109.0));
        assert_eq!((change.pause_p50_ms, change.pause_max_ms, change.calm_p99_ms), (92.0, 100.0, 1.0));
    }

    #[test]
    fn nothing_handled_is_no_pause() {
        let mark = Mark { name: "x".to_owned(), from_ns: 0, settled_ns: 0, to_ns: 1 };
        let change = &changes(0, &[mark], &[])[0];
        assert_eq!((change.events, change.pause_max_ms, change.gap_ms), (0, 0.0, 0.0));
    }
}
