//! The ack window: which received events are unacknowledged, in the order they came.
//!
//! INVARIANT (G2, G3): acks leave in the order of `receive`, each once, and only for events received since the last
//! `reset`. Numbers of an earlier session are recognised because numbering never starts again.

use std::collections::{HashMap, VecDeque};

/// Number of an event of one instance; counts up over all its sessions.
pub(crate) type Seq = u64;

#[derive(Debug)]
struct Entry {
    pkid: u16,
    finished: bool,
    bytes: u32,
}

/// The unacknowledged events of one session.
#[derive(Debug, Default)]
pub(crate) struct AckWindow {
    /// Number of the entry at the front.
    base: Seq,
    entries: VecDeque<Entry>,
    unfinished_bytes: usize,
    /// Events of ended sessions that are still being handled, with their bytes: they count against the bounds (G5).
    stale: HashMap<Seq, u32>,
    known: KnownIds,
}

/// The last event that came with a packet ID, for the events that were looked at. It is brought up to date when somebody
/// asks, so that sessions in which nothing comes twice pay nothing.
#[derive(Debug, Default)]
struct KnownIds {
    last: HashMap<u16, Seq>,
    /// Number of the first event that was not looked at.
    until: Seq,
}

/// So many outdated packet IDs may be kept beside as many as there are events.
const OUTDATED: usize = 64;

impl AckWindow {
    /// Takes in an event that must be acknowledged with `pkid`, and numbers it.
    #[inline]
    pub(crate) fn receive(&mut self, pkid: u16, bytes: u32) -> Seq {
        let seq = self.base + self.entries.len() as u64;
        self.entries.push_back(Entry { pkid, finished: false, bytes });
        self.unfinished_bytes += bytes as usize;
        seq
    }

    /// Whether an event with this packet ID is unacknowledged on this session. Looks at those that came since it was last
    /// asked, so that a whole window that comes again costs as much per event as a single one.
    pub(crate) fn holds(&mut self, pkid: u16) -> bool {
        self.learn_ids();
        self.known.last.get(&pkid).is_some_and(|last| *last >= self.base)
    }

    /// Brings the known packet IDs up to date. Returns how many events it looked at.
    fn learn_ids(&mut self) -> usize {
        if self.known.last.len() > 2 * self.entries.len() + OUTDATED {
            self.known = KnownIds::default();
        }
        let from = self.known.until.max(self.base);
        let before = usize::try_from(from - self.base).unwrap_or(usize::MAX);
        let mut looked = 0;
        for (seq, entry) in (from..).zip(self.entries.iter().skip(before)) {
            self.known.last.insert(entry.pkid, seq);
            looked += 1;
        }
        self.known.until = self.base + self.entries.len() as u64;
        looked
    }

    /// Notes that an event is finished. An event of an ended session only stops counting.
    #[inline]
    pub(crate) fn finish(&mut self, seq: Seq) {
        let Some(at) = seq.checked_sub(self.base) else {
            self.unfinished_bytes -= self.stale.remove(&seq).unwrap_or(0) as usize;
            return;
        };
        let Some(entry) = usize::try_from(at).ok().and_then(|at| self.entries.get_mut(at)) else {
            debug_assert!(false, "finished an event that was never received");
            return;
        };
        debug_assert!(!entry.finished, "finished an event twice");
        if !entry.finished {
            entry.finished = true;
            self.unfinished_bytes -= entry.bytes as usize;
        }
    }

    /// Takes the acks that are due: the finished events at the front.
    #[inline]
    pub(crate) fn take_due(&mut self, mut ack: impl FnMut(u16)) -> usize {
        let mut due = 0;
        while let Some(entry) = self.entries.front() {
            if !entry.finished {
                break;
            }
            ack(entry.pkid);
            self.entries.pop_front();
            due += 1;
        }
        self.base += due as u64;
        due
    }

    /// Forgets everything unacknowledged: the session has ended. Returns how many events that were.
    pub(crate) fn reset(&mut self) -> usize {
        let lost = self.entries.len();
        for (seq, entry) in (self.base..).zip(self.entries.drain(..)) {
            if !entry.finished {
                self.stale.insert(seq, entry.bytes);
            }
        }
        self.base += lost as u64;
        self.known = KnownIds::default();
        lost
    }

    /// Number of the first event that can still be acknowledged.
    pub(crate) fn base(&self) -> Seq {
        self.base
    }

    /// Unacknowledged events of this session, and unfinished ones of earlier sessions.
    #[inline]
    pub(crate) fn occupied(&self) -> usize {
        self.entries.len() + self.stale.len()
    }

    /// Unacknowledged events of this session.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the events that are not finished.
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.unfinished_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Receive,
        Finish(prop::sample::Index),
        TakeDue,
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Receive),
            4 => any::<prop::sample::Index>().prop_map(Step::Finish),
            2 => Just(Step::TakeDue),
            1 => Just(Step::Reset),
        ]
    }

    #[test]
    fn a_window_that_comes_again_is_looked_at_once() {
        let mut window = AckWindow::default();
        let mut looked = 0;
        for pkid in 1..=u16::MAX {
            looked += window.learn_ids();
            assert!(!window.holds(pkid));
            window.receive(pkid, 10);
        }
        assert_eq!(looked, usize::from(u16::MAX) - 1, "each but the last, which nobody asked about");
        assert!((1..=u16::MAX).all(|pkid| window.holds(pkid)));
    }

    #[test]
    fn packet_ids_that_are_acknowledged_are_forgotten_in_time() {
        let mut window = AckWindow::default();
        for pkid in 1..=u16::MAX {
            let seq = window.receive(pkid, 10);
            assert!(window.holds(pkid));
            window.finish(seq);
            window.take_due(|_| {});
            assert!(!window.holds(pkid) && window.known.last.len() <= OUTDATED + 3, "{}", window.known.last.len());
        }
    }

    proptest! {
        /// Against looking at all of them. Identifiers are few, so that they come again, in use or not.
        #[test]
        fn a_packet_id_is_held_while_one_of_its_events_is_unacknowledged(
            steps in prop::collection::vec((step(), 1_u16..200, any::<bool>()), 1..600),
        ) {
            let mut window = AckWindow::default();
            let mut open = Vec::new();
            for (step, pkid, asked) in steps {
                match step {
                    Step::Receive => open.push(window.receive(pkid, 10)),
                    Step::Finish(index) if !open.is_empty() => window.finish(open.swap_remove(index.index(open.len()))),
                    Step::Finish(_) => {}
                    Step::TakeDue => {
                        window.take_due(|_| {});
                    }
                    Step::Reset => {
                        window.reset();
                    }
                }
                if asked {
                    for pkid in [pkid, pkid / 2, 200] {
                        let scanned = window.entries.iter().any(|entry| entry.pkid == pkid);
                        prop_assert_eq!(window.holds(pkid), scanned, "{}", pkid);
                    }
                }
            }
        }

        /// Against the obvious model: a list of all events ever with their session.
        #[test]
        fn acks_leave_in_order_once_and_never_across_sessions(steps in prop::collection::vec(step(), 1..200)) {
            let mut window = AckWindow::default();
            let mut session = 0;
            let mut received: Vec<(Seq, u16, u32)> = Vec::new();
            let mut open: Vec<usize> = Vec::new();
            let mut finished = std::collections::HashSet::new();
            let mut acked: Vec<usize> = Vec::new();
            for step in steps {
                match step {
                    Step::Receive => {
                        let pkid = u16::try_from(received.len() + 1).unwrap();
                        let seq = window.receive(pkid, 10);
                        prop_assert!(received.iter().all(|(other, ..)| *other != seq), "a number was given twice");
                        open.push(received.len());
                        received.push((seq, pkid, session));
                    }
                    Step::Finish(index) if !open.is_empty() => {
                        let event = open.swap_remove(index.index(open.len()));
                        window.finish(received[event].0);
                        finished.insert(event);
                    }
                    Step::Finish(_) => {}
                    Step::TakeDue => {
                        let mut due = Vec::new();
                        window.take_due(|pkid| due.push(usize::from(pkid) - 1));
                        acked.extend(due);
                    }
                    Step::Reset => {
                        window.reset();
                        session += 1;
                    }
                }
                let unacked = received.iter().enumerate()
                    .filter(|(at, (_, _, s))| *s == session && !acked.contains(at)).count();
                let stale = open.iter().filter(|at| received[**at].2 != session).count();
                prop_assert_eq!(window.occupied(), unacked + stale);
                prop_assert_eq!(window.unfinished_bytes(), open.len() * 10, "whatever session they came through");
            }
            prop_assert!(acked.is_sorted(), "acks out of order: {:?}", acked);
            prop_assert!(acked.iter().all(|event| finished.contains(event)), "acknowledged before finished");
            for (at, pair) in acked.windows(2).enumerate() {
                prop_assert!(pair[0] != pair[1], "acknowledged twice at {}", at);
            }
        }
    }
}
