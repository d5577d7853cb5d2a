//! The in-flight window of a session: what was sent at QoS 1 and is not acknowledged yet, by packet identifier.
//!
//! Identifiers are given out in sequence, so the window is a ring of slots that starts at the oldest unacknowledged
//! one. The sequence goes on when a session is resumed: an acknowledgement that belongs to the old connection then
//! meets an identifier that is not in use, not another event's.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::message::{Delivery, GroupId};

const IDENTIFIERS: u16 = u16::MAX;

/// Where an unacknowledged event came from, so where it goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Plain,
    /// Drawn from the queue of a group.
    Group {
        group: GroupId,
        seq: u64,
    },
    /// Given to this member of a group when it came in.
    Pushed {
        group: GroupId,
    },
}

#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) delivery: Delivery,
    pub(super) origin: Origin,
    /// Whether this connection was given it; false after a resumption until it is sent again.
    pub(super) sent: bool,
}

#[derive(Debug)]
pub(super) struct Window {
    /// The identifier of `slots[0]`, or the next one when there are no slots.
    first: u16,
    slots: VecDeque<Option<InFlight>>,
    live: usize,
    sent: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { first: 1, slots: VecDeque::new(), live: 0, sent: 0 }
    }

    /// Unacknowledged events.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Unacknowledged events that this connection was given: what the Receive Maximum counts.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// The next identifier; `None` when the oldest event stayed unacknowledged for a whole round of identifiers.
    pub(super) fn next_pkid(&self) -> Option<u16> {
        let span = u16::try_from(self.slots.len()).ok().filter(|span| *span < IDENTIFIERS)?;
        Some(step(self.first, span))
    }

    /// Adds an event under the identifier that [`next_pkid`](Self::next_pkid) gave.
    pub(super) fn push(&mut self, entry: InFlight) {
        debug_assert_eq!(Some(entry.delivery.pkid), self.next_pkid());
        self.live += 1;
        self.sent += usize::from(entry.sent);
        self.slots.push_back(Some(entry));
    }

    /// Ends an event. `None` when the identifier is not in use.
    pub(super) fn ack(&mut self, pkid: u16) -> Option<InFlight> {
        let entry = self.slot(pkid)?.take()?;
        self.live -= 1;
        self.sent -= usize::from(entry.sent);
        self.trim();
        Some(entry)
    }

    /// Marks an event as given to this connection and returns what to write.
    pub(super) fn resend(&mut self, pkid: u16) -> Option<Delivery> {
        let entry = self.slot(pkid)?.as_mut()?;
        let newly = !std::mem::replace(&mut entry.sent, true);
        let delivery = entry.delivery.clone();
        self.sent += usize::from(newly);
        Some(delivery)
    }

    /// The identifiers in use, oldest first.
    pub(super) fn pkids(&self) -> impl Iterator<Item = u16> {
        self.slots.iter().flatten().map(|entry| entry.delivery.pkid)
    }

    /// Ends the connection's part: nothing counts as sent any more, and what was sent becomes a duplicate. `unsent`
    /// says which events were still waiting to be written.
    pub(super) fn connection_lost(&mut self, unsent: impl Fn(u16) -> bool) {
        for entry in self.slots.iter_mut().flatten() {
            let was_sent = std::mem::replace(&mut entry.sent, false) && !unsent(entry.delivery.pkid);
            entry.delivery.dup |= was_sent;
        }
        self.sent = 0;
    }

    /// Takes out every event that came from a group, oldest first.
    pub(super) fn take_shared(&mut self) -> Vec<InFlight> {
        let is_shared = |slot: &mut Option<InFlight>| slot.take_if(|entry| entry.origin != Origin::Plain);
        let taken: Vec<_> = self.slots.iter_mut().filter_map(is_shared).collect();
        self.live -= taken.len();
        self.sent -= taken.iter().filter(|entry| entry.sent).count();
        self.trim();
        taken
    }

    fn slot(&mut self, pkid: u16) -> Option<&mut Option<InFlight>> {
        if pkid == 0 {
            return None;
        }
        let ahead = if pkid >= self.first { pkid - self.first } else { IDENTIFIERS - self.first + pkid };
        self.slots.get_mut(usize::from(ahead))
    }

    fn trim(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first = step(self.first, 1);
        }
    }
}

/// The identifier `by` places after `pkid`; 0 is left out.
fn step(pkid: u16, by: u16) -> u16 {
    match pkid.checked_add(by) {
        Some(next) => next,
        None => by - (IDENTIFIERS - pkid),
    }
}
