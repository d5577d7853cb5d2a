//! How a client leaves: what becomes of its subscriptions, and of its session if that outlives the connection.

use std::sync::atomic::{AtomicU8, Ordering};

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It gives up its subscriptions, so that others get its share, and keeps its session to come back to.
    #[default]
    Group,
    /// It gives up its subscriptions and ends its session: nobody will come back to it.
    ForGood,
    /// It keeps its subscriptions and its session, because it is back in a moment: giving them up would leave a group of
    /// one without members, whose events nobody keeps. Only for sessions that outlive their connection.
    KeepPlace,
}

/// A [`Parting`] that the one who asks to leave sets, and the session reads when it comes to that.
#[derive(Debug, Default)]
pub(crate) struct PartingCell(AtomicU8);

impl PartingCell {
    pub(crate) fn set(&self, parting: Parting) {
        self.0.store(parting as u8, Ordering::Release);
    }

    pub(crate) fn get(&self) -> Parting {
        let value = self.0.load(Ordering::Acquire);
        [Parting::ForGood, Parting::KeepPlace].into_iter().find(|parting| *parting as u8 == value).unwrap_or_default()
    }
}
