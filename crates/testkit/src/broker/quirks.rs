//! How the broker departs from the best broker it could be, so that tests meet the brokers that exist.

/// What the broker makes of `$share/...` filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedSubscriptions {
    /// They are sharing groups.
    #[default]
    Supported,
    /// CONNACK says so and SUBACK answers 0x9E, as RabbitMQ does.
    Unavailable,
    /// Accepted as a literal filter that no topic ever matches, as NATS does.
    SilentlyPlain,
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
            refused_filters: Vec::new(),
        }
    }
}
