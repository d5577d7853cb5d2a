//! The account of a scene, told from what was sent and from every single handling. Pure.
//!
//! A lost event belongs to the step during which it was published, a duplicate to the one during which it was handled
//! again: a crash repeats events that were published before it.

use super::journal::Entry;

/// A step began here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Events that were sent before it.
    pub(super) sent: u64,
    pub(super) at_ns: u64,
}

/// What became of the events of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) events: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
}

/// Sums of each step; the first mark is where the load began. Every step lasts until the next begins.
pub(super) fn sums(sent: u64, marks: &[Mark], journals: &[Vec<Entry>]) -> Vec<Sums> {
    let mut sums = vec![Sums::default(); marks.len()];
    let mut handlings: Vec<Entry> = journals.iter().flatten().copied().filter(|entry| entry.seq < sent).collect();
    handlings.sort_unstable_by_key(|entry| (entry.seq, entry.at_ns));
    for pair in handlings.windows(2).filter(|pair| pair[0].seq == pair[1].seq) {
        let step = marks.iter().rposition(|mark| mark.at_ns <= pair[1].at_ns).unwrap_or(0);
        sums[step].duplicated += 1;
    }
    handlings.dedup_by_key(|entry| entry.seq);
    for (step, mark) in marks.iter().enumerate() {
        let end = marks.get(step + 1).map_or(sent, |next| next.sent);
        let own = end.saturating_sub(mark.sent);
        let until = |seq: u64| handlings.partition_point(|entry| entry.seq < seq);
        let handled = until(end) - until(mark.sent);
        sums[step].events = own;
        sums[step].lost = own - handled as u64;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, at_ns: u64) -> Entry {
        Entry { seq, at_ns }
    }

    #[test]
    fn what_no_journal_has_is_lost_in_the_step_it_was_sent_in() {
        let marks = [Mark { sent: 0, at_ns: 0 }, Mark { sent: 2, at_ns: 20 }];
        let journals = [vec![entry(0, 1), entry(3, 31)], vec![entry(1, 25)]];
        let sums = sums(5, &marks, &journals);
        assert_eq!(sums, [(2, 0, 0), (3, 2, 0)].map(|(events, lost, duplicated)| Sums { events, lost, duplicated }));
    }

    #[test]
    fn what_is_there_twice_is_duplicated_in_the_step_it_came_again_in() {
        let marks = [Mark { sent: 0, at_ns: 0 }, Mark { sent: 2, at_ns: 20 }];
        let journals = [vec![entry(0, 1), entry(1, 2)], vec![entry(1, 21), entry(1, 22), entry(2, 23)]];
        let sums = sums(3, &marks, &journals);
        assert_eq!((sums[0].duplicated, sums[1].duplicated), (0, 2));
        assert_eq!((sums[0].lost, sums[1].lost), (0, 0));
    }
}
