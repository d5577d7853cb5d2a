//! Events inside the broker, as they were published and as they are on their way to one client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tidemill_core::QoS;
use tidemill_core::topic::TopicName;
use tokio::time::Instant;

use super::window::Origin;

/// A session of the broker; never used twice. 0 stands for the broker itself.
pub(super) type SessionId = u64;

/// A sharing group of the broker; never used twice.
pub(super) type GroupId = u64;

/// Subscription identifiers; nearly always none or one.
pub(super) type Ids = SmallVec<[u32; 2]>;

/// A published event. Topic and payload share the buffer that they were read into.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: TopicName,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// The properties that are forwarded unaltered, encoded, without their length.
    pub(super) properties: Bytes,
    pub(super) expiry: Option<Expiry>,
    pub(super) publisher: SessionId,
}

/// The Message Expiry Interval and when it started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    pub(super) seconds: u32,
    pub(super) since: Instant,
}

impl Message {
    /// What the event counts for in the byte limits of queues.
    pub(super) fn size(&self) -> usize {
        self.topic.as_bytes().len() + self.payload.len() + self.properties.len()
    }

    /// Whether its time is over: it must not be handed out any more `[MQTT-3.3.2-5]`.
    pub(super) fn expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|expiry| now.duration_since(expiry.since) >= Duration::from_secs(expiry.seconds.into()))
    }

    /// The seconds left, as they are sent on `[MQTT-3.3.2-6]`.
    pub(super) fn expiry_left(&self, now: Instant) -> Option<u32> {
        self.expiry.map(|expiry| {
            let waited = u32::try_from(now.duration_since(expiry.since).as_secs()).unwrap_or(u32::MAX);
            // It was in time when it was picked for this client, so it is still sent.
            expiry.seconds.saturating_sub(waited).max(1)
        })
    }

    /// The same event in memory of its own, for keeping: a slice of a read buffer keeps all of that buffer.
    pub(super) fn detached(&self) -> Self {
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        Self {
            topic: TopicName::from_bytes(copy(self.topic.as_bytes())).unwrap_or_else(|_| self.topic.clone()),
            payload: copy(&self.payload),
            properties: copy(&self.properties),
            qos: self.qos,
            retain: self.retain,
            expiry: self.expiry,
            publisher: self.publisher,
        }
    }
}

/// An event for one client that waits for room.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) message: Arc<Message>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) ids: Ids,
    /// Where it came from.
    pub(super) origin: Origin,
}

/// An event for one client, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) ids: Ids,
    /// 0 at QoS 0.
    pub(super) pkid: u16,
    pub(super) qos: QoS,
    pub(super) dup: bool,
    pub(super) retain: bool,
}

/// What a connection has to write, in order.
#[derive(Debug)]
pub(super) enum Outgoing {
    Publish(Delivery),
    SubAck { pkid: u16, codes: Vec<u8> },
    UnsubAck { pkid: u16, codes: Vec<u8> },
    PingResp,
}

/// An answer to a PUBLISH or a step of its QoS 2 handshake. Its place among the PUBLISHes going out does not matter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ack {
    Puback { pkid: u16, reason: u8 },
    Pubrec { pkid: u16, reason: u8 },
    Pubcomp { pkid: u16, reason: u8 },
}

impl Ack {
    /// Whether the publisher owes nothing more for this event after it.
    pub(super) fn ends_publish(self) -> bool {
        match self {
            Self::Puback { .. } | Self::Pubcomp { .. } => true,
            Self::Pubrec { reason, .. } => reason >= 0x80,
        }
    }
}
