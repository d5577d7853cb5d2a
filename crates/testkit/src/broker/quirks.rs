//! How the broker departs from the best broker it could be, so that tests meet the brokers that exist.

/// What the broker makes of `$share/...` filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedSubscriptions {
    /// They are sharing groups.
    #[default]
    Supported,
    /// CONNACK says so and SUBACK answers 0x9E.
    Unavailable,
    /// CONNACK says so, SUBACK grants them all the same, and no topic ever matches, as with RabbitMQ 4. In MQTT 3.1.1,
    /// whose CONNACK has no room for it, that is [`SilentlyPlain`](Self::SilentlyPlain).
    AnnouncedUnavailable,
    /// Accepted as a literal filter that no topic ever matches, as NATS does.
    SilentlyPlain,
    /// SUBACK answers "not authorized" without a word in CONNACK.
    Refused,
}

/// Which members of a sharing group an event may be given to when it comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distribution {
    /// None yet: the group has a queue that its connected members draw from, as far as their windows have room.
    #[default]
    GroupQueue,
    /// The connected ones in turn, each with a queue of its own. An event for a group that has none is dropped.
    Online,
    /// The connected ones in turn, each with a queue of its own; without any, those that are away.
    OnlineFirst,
    /// All in turn, those that are away too, each with a queue of its own.
    Everyone,
}

/// Departures from the default behaviour. The default has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// What becomes of `$share/...` filters.
    pub shared_subscriptions: SharedSubscriptions,
    /// Unacknowledged events per client at most, whatever its Receive Maximum says.
    pub inflight_cap: Option<u16>,
    /// After each acknowledgement the client may be handed as many more events as its Receive Maximum, without
    /// bound, as Mosquitto 2.0.11 does.
    pub overshoot_receive_maximum: bool,
    /// Whether the unacknowledged events of a member go back to the group when its connection ends. If not, they stay
    /// with a session that lives on and are lost with one that ends.
    pub redeliver_on_member_loss: bool,
    /// Whether what waits for a member, or is unacknowledged, is given to other members when its session ends.
    pub redeliver_on_session_end: bool,
    /// Which members events are given to.
    pub distribution: Distribution,
    /// Whether sessions outlive their connections, when clients ask for it.
    pub keeps_sessions: bool,
    /// Unacknowledged events per client that speaks MQTT 3.1.1 at most.
    pub inflight_cap_v4: Option<u16>,
    /// The Receive Maximum of clients counts for nothing, as with rumqttd.
    pub ignore_receive_maximum: bool,
    /// Whether MQTT 5 is spoken at all; a CONNECT that asks for it is answered with 0x84 otherwise.
    pub mqtt5: bool,
    /// Filters with `#` are refused with "not authorized".
    pub forbid_multi_level: bool,
    /// A SUBSCRIBE with more filters than this is refused as a whole.
    pub max_filters_per_subscribe: Option<usize>,
    /// Filters, exactly as they stand in a SUBSCRIBE, that are refused with "not authorized".
    pub refused_filters: Vec<String>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            shared_subscriptions: SharedSubscriptions::Supported,
            inflight_cap: None,
            overshoot_receive_maximum: false,
            redeliver_on_member_loss: true,
            redeliver_on_session_end: false,
            distribution: Distribution::GroupQueue,
            keeps_sessions: true,
            inflight_cap_v4: None,
            ignore_receive_maximum: false,
            mqtt5: true,
            forbid_multi_level: false,
            max_filters_per_subscribe: None,
            refused_filters: Vec::new(),
        }
    }
}
