//! What can be known about a broker.

use super::Profile;

/// What a broker makes of shared subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharing {
    /// They are sharing groups.
    Yes,
    /// It has none, and says so in the CONNACK of MQTT 5.
    AnnouncesNo,
    /// It has none, and takes one for a plain filter that no topic matches.
    Silent,
    /// Groups are made by the client IDs of their members, and shared filters are refused.
    ByClientId,
    /// It is not known.
    Unknown,
}

/// What becomes of the events that a member had, unacknowledged or queued for it alone, when its session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// Other members get them.
    Moved,
    /// They are gone.
    Lost,
    /// It is not known.
    Unknown,
}

/// Whether a member whose session lives on without a connection is given its share of new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OfflineMembers {
    /// As if it were connected.
    Picked,
    /// Only while no member is connected.
    IfNoneOnline,
    /// Never: what comes while no member is connected waits for the whole group, or for nobody.
    NotPicked,
    /// It is not known.
    Unknown,
}

/// How many unacknowledged events a broker lets a client have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InFlight {
    /// So many.
    AtMost(u16),
    /// So many in MQTT 3.1.1. In MQTT 5 the client's Receive Maximum alone holds.
    AtMostInV311(u16),
    /// The client's limit alone holds.
    ClientsOwn,
    /// It is not known.
    Unknown,
}

/// Whether a broker keeps to the Receive Maximum of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReceiveMaximum {
    /// It never sends more.
    Honoured,
    /// It sends more once acknowledgements come in.
    Overshot,
    /// It sends as much as it likes.
    Ignored,
    /// It is not known.
    Unknown,
}

/// Yes, no or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "there is nothing to add")]
pub enum Known {
    Yes,
    No,
    Unknown,
}

/// Which characters a broker takes in client IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientIds {
    /// All of them.
    Any,
    /// Letters, digits, `-`, `_`, `.`, and `:` between the parts.
    Parts,
}

impl ClientIds {
    /// Whether a client ID has only such characters.
    #[must_use]
    pub fn allow(self, id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Parts => id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)),
        }
    }
}

/// What is known about a broker, as it comes out of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerProfile {
    /// Which one it is.
    pub profile: Profile,
    /// The name that people know it by.
    pub title: &'static str,
    /// Whether it has shared subscriptions.
    pub sharing: Sharing,
    /// Whether it speaks MQTT 5.
    pub mqtt5: Known,
    /// Unacknowledged events per client at most.
    pub in_flight: InFlight,
    /// Events that it queues per client or group before it drops some, silently. `None`: it is not known.
    pub queue: Option<u32>,
    /// What becomes of the events of a member whose session ended with its connection.
    pub dead_member: Fate,
    /// Whether a durable member that is away is given events.
    pub offline_members: OfflineMembers,
    /// Whether a session outlives its connection with everything that belongs to it.
    pub keeps_sessions: Known,
    /// Bytes of the longest client ID.
    pub max_client_id: u16,
    /// Characters of client IDs.
    pub client_ids: ClientIds,
    /// Whether it refuses filters with `#`.
    pub forbids_multi_level: bool,
    /// Whether it keeps to the Receive Maximum.
    pub receive_maximum: ReceiveMaximum,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE at most; more are asked for in several. `None`: as many as the packet holds.
    pub max_filters: Option<u16>,
    /// Subscriptions of one connection at most. `None`: it is not known.
    pub max_subscriptions: Option<u16>,
    /// Whether it grants QoS 2 to a shared subscription.
    pub qos2_on_share: Known,
    /// What its operator should know.
    pub note: &'static str,
    /// Where all this is known from.
    pub source: &'static str,
}
