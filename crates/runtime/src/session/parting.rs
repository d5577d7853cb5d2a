//! How a client leaves: what becomes of its subscriptions, and of its session if that outlives the connection.

use std::sync::atomic::{AtomicU8, Ordering};

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It gives up its subscriptions, so that others get its share, and ends its session: that is empty then, and nobody
    /// can tell whether this replica will ever be back.
    #[default]
    Leave,
    /// It keeps its subscriptions and its session, because it is back in a moment: giving them up would leave a group of
    /// one without members, whose events nobody keeps. Only for sessions that outlive their connection.
    KeepPlace,
}

/// A [`Parting`] that the one who asks to leave sets, and the session reads when it comes to that. Once the session has
/// left it stays as it was done.
#[derive(Debug, Default)]
pub(crate) struct PartingCell(AtomicU8);

/// Beside the parting: the client has left so.
const DONE: u8 = 0x80;

impl PartingCell {
    pub(crate) fn set(&self, parting: Parting) {
        let set = |old: u8| (old & DONE == 0).then_some(parting as u8);
        // It fails where the client has left.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, set);
    }

    pub(crate) fn get(&self) -> Parting {
        let kept = self.0.load(Ordering::Acquire) & !DONE == Parting::KeepPlace as u8;
        if kept { Parting::KeepPlace } else { Parting::Leave }
    }

    /// The client leaves so, unless it is asked by now to leave another way.
    pub(crate) fn conclude(&self, parting: Parting) -> bool {
        let done = |old: u8| (old & !DONE == parting as u8).then_some(old | DONE);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, done).is_ok()
    }

    /// Whether the client has left so.
    pub(crate) fn is_done(&self, parting: Parting) -> bool {
        self.0.load(Ordering::Acquire) == parting as u8 | DONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_can_change_until_it_is_done() {
        let cell = PartingCell::default();
        cell.set(Parting::KeepPlace);
        assert!(!cell.conclude(Parting::Leave) && !cell.is_done(Parting::KeepPlace));
        cell.set(Parting::Leave);
        assert!(!cell.conclude(Parting::KeepPlace), "asked otherwise in between");
        assert!(cell.conclude(Parting::Leave) && cell.conclude(Parting::Leave));
        cell.set(Parting::KeepPlace);
        assert!(cell.is_done(Parting::Leave) && cell.get() == Parting::Leave);
    }
}
