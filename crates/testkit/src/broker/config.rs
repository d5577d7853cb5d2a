//! How a broker is set up: where it listens, what it announces, and the limit on everything it holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::access::Access;
use super::quirks::Quirks;

/// What happens to an event whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueFull {
    /// It is queued, and nothing more is read from its publisher until there is room. Acknowledgements still reach
    /// the publisher. A client that has subscriptions itself is never held back, since it may be the one that has
    /// to make room; its events are dropped at twice the limit. The queue of a session that is away holds publishers
    /// back as well, until it comes back or ends.
    #[default]
    BlockPublisher,
    /// The oldest event of the queue goes.
    DropOldest,
    /// It goes itself.
    DropNewest,
}

/// When a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Events at most.
    pub events: usize,
    /// Bytes of topics, payloads and properties at most.
    pub bytes: usize,
}

/// The set-up of a broker. `BrokerConfig::default()` listens on a free port of the loopback interface.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where to listen for TCP connections; `None` leaves [`Broker::connect`](super::Broker::connect) as the only way
    /// in, which works under paused time.
    pub listen: Option<SocketAddr>,
    /// Departures from the best behaviour.
    pub quirks: Quirks,
    /// Who may do what.
    pub access: Access,
    /// When the queue of a sharing group is full.
    pub group_queue: QueueLimits,
    /// When the queue of a session is full.
    pub session_queue: QueueLimits,
    /// What happens then.
    pub queue_full: QueueFull,
    /// Unacknowledged events that an MQTT 5 client may send; announced, and enforced with 0x93.
    pub receive_maximum: u16,
    /// Bytes of the largest packet that clients may send; announced, and enforced with 0x95.
    pub max_packet_size: usize,
    /// Topic aliases that a client may use; announced, and enforced with 0x94.
    pub topic_alias_maximum: u16,
    /// Keep-alive in seconds that MQTT 5 clients are told to use instead of their own; 0 switches it off.
    pub server_keep_alive: Option<u16>,
    /// Seconds that a session may outlive its connection at most.
    pub max_session_expiry: u32,
    /// How long a new connection may take to send its CONNECT.
    pub connect_timeout: Duration,
    /// Connections at one time.
    pub max_connections: usize,
    /// Bytes of a client identifier.
    pub max_client_id: usize,
    /// Subscriptions of one session.
    pub max_subscriptions: usize,
    /// Levels of a topic or filter; at most 256.
    pub max_topic_levels: usize,
    /// Topics with a retained event.
    pub max_retained: usize,
    /// Lines of the trace that [`Broker::trace`](super::Broker::trace) returns; 0 switches it off.
    pub trace: usize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        let limits = QueueLimits { events: 1_000_000, bytes: 1 << 30 };
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            quirks: Quirks::default(),
            access: Access::default(),
            group_queue: limits,
            session_queue: limits,
            queue_full: QueueFull::default(),
            receive_maximum: 4096,
            max_packet_size: 1 << 20,
            topic_alias_maximum: 16,
            server_keep_alive: None,
            max_session_expiry: u32::MAX,
            connect_timeout: Duration::from_secs(10),
            max_connections: 10_000,
            max_client_id: 1024,
            max_subscriptions: 10_000,
            max_topic_levels: 128,
            max_retained: 100_000,
            trace: 0,
        }
    }
}

impl BrokerConfig {
    /// A set-up without a TCP listener, for tests over in-memory pipes.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { listen: None, ..Self::default() }
    }

    /// Listens at this address instead.
    #[must_use]
    pub fn with_listen(mut self, addr: SocketAddr) -> Self {
        self.listen = Some(addr);
        self
    }

    /// Behaves with these quirks.
    #[must_use]
    pub fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Keeps a trace of that many lines.
    #[must_use]
    pub fn with_trace(mut self, lines: usize) -> Self {
        self.trace = lines;
        self
    }

    pub(super) fn levels(&self) -> usize {
        self.max_topic_levels.min(256)
    }
}
