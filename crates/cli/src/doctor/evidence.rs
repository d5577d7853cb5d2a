//! What the probes saw of a broker. `None` and `Unknown` say that it was not or could not be seen.

use std::time::Duration;

use tidemill::profile::{Known, OfflineMembers, ReceiveMaximum};

/// What became of a sharing group of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// Each event came to one of them.
    Works {
        /// Events per member.
        members: [usize; 2],
    },
    /// The SUBACK refuses.
    Refused(String),
    /// It was granted, and no event came.
    Silent,
    /// Something else came of it: so many of so many events, so many of them more than once.
    Otherwise {
        /// Different events that came.
        came: usize,
        /// Events that came again.
        again: usize,
    },
}

/// How many unacknowledged events a client was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cap {
    /// So many, while more waited.
    AtMost(u16),
    /// All that there were.
    AtLeast(u16),
}

/// What became of the events that a member had when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// It had so many, unacknowledged or queued for it.
    pub(super) had: usize,
    /// So many came to the other member.
    pub(super) moved: usize,
    /// After this time the last one had come.
    pub(super) after: Duration,
}

/// What became of a member that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Return {
    pub(super) session_present: bool,
    /// Of the events it had, so many went to the other member meanwhile.
    pub(super) moved: usize,
    /// So many were there for it again.
    pub(super) came_back: usize,
    /// It had so many.
    pub(super) had: usize,
    /// Events that were published in all, and those that came to nobody.
    pub(super) published: usize,
    pub(super) lost: usize,
    pub(super) offline: OfflineMembers,
}

impl Return {
    /// Whether a session is kept with all that belongs to it.
    pub(super) fn keeps_sessions(&self) -> bool {
        self.session_present && self.moved + self.came_back >= self.had
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) v5: Option<bool>,
    pub(super) v311: Option<bool>,
    /// `shared_subscription_available` of the CONNACK says no.
    pub(super) announces_no_sharing: bool,
    pub(super) shared_v5: Option<Shared>,
    pub(super) shared_v311: Option<Shared>,
    pub(super) in_order: Option<bool>,
    pub(super) qos2_on_share: Option<bool>,
    pub(super) hash_refused: Option<bool>,
    pub(super) nine_filters: Option<bool>,
    pub(super) receive_maximum: Option<ReceiveMaximum>,
    pub(super) cap_v5: Option<Cap>,
    pub(super) cap_v311: Option<Cap>,
    pub(super) ephemeral: Option<Death>,
    pub(super) durable: Option<Return>,
}

impl Evidence {
    /// What was seen of sharing, in the version that a worker would use.
    pub(super) fn shared(&self) -> Option<&Shared> {
        self.shared_v5.as_ref().or(self.shared_v311.as_ref())
    }

    /// Whether a group can work.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self.shared(), Some(Shared::Works { .. }))
    }

    /// Whether an ephemeral member may die.
    pub(super) fn moves(&self) -> Known {
        match self.ephemeral {
            Some(death) if death.had == 0 => Known::Unknown,
            Some(death) if death.moved >= death.had => Known::Yes,
            Some(_) => Known::No,
            None => Known::Unknown,
        }
    }

    /// Whether a durable member may die.
    pub(super) fn keeps_sessions(&self) -> Known {
        match self.durable {
            Some(seen) if seen.keeps_sessions() => Known::Yes,
            Some(_) => Known::No,
            None => Known::Unknown,
        }
    }
}
