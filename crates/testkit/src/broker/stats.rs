//! Counts of what the broker did and holds.

/// What the broker did since it was started, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerStats {
    /// Clients that are connected.
    pub connections: usize,
    /// Sessions, with or without a connection.
    pub sessions: usize,
    /// Sharing groups that have members.
    pub groups: usize,
    /// Retained events.
    pub retained: usize,
    /// Events that wait in queues of sessions and groups.
    pub queued: usize,
    /// Events that clients hold unacknowledged.
    pub inflight: usize,
    /// Events that publishers sent, refused ones not counted.
    pub published: u64,
    /// Events that were handed to connections, repeated ones counted again.
    pub delivered: u64,
    /// Of these, those with DUP.
    pub redelivered: u64,
    /// Acknowledgements from subscribers that ended an event.
    pub acked: u64,
    /// Events that were thrown away: a full queue, a session or group that ended, a quirk.
    pub dropped: u64,
    /// Events whose Message Expiry Interval passed in a queue.
    pub expired: u64,
    /// Events that were larger than the client's Maximum Packet Size.
    pub too_large: u64,
    /// QoS 0 events that nobody was connected for.
    pub nobody: u64,
    /// Publishes that were refused: denied, or over a quota.
    pub refused: u64,
}

/// The part of [`BrokerStats`] that only grows.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) redelivered: u64,
    pub(super) acked: u64,
    pub(super) dropped: u64,
    pub(super) expired: u64,
    pub(super) too_large: u64,
    pub(super) nobody: u64,
    pub(super) refused: u64,
}
