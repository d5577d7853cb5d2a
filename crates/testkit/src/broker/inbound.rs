//! What a client says, in the broker's words: the packets of both versions as one type, checked.
//!
//! What the codec lets through although the specification forbids it stops here: identifiers of 0, topic aliases out
//! of range, packets that only a server sends.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::mqttbytes::QoS as QoS4;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use tidemill_core::QoS;
use tidemill_core::topic::TopicName;
use tokio::time::Instant;

use super::message::{Expiry, Message, SessionId};
use crate::wire::{self, Version, WireError, v4, v5};

/// One packet of a connected client.
#[derive(Debug)]
pub(super) enum Inbound {
    Publish { message: Arc<Message>, pkid: u16 },
    Puback { pkid: u16 },
    Pubrel { pkid: u16 },
    Subscribe(Subscribe),
    Unsubscribe { pkid: u16, filters: Vec<String> },
    Ping,
    Disconnect { reason: u8, expiry: Option<u32> },
}

#[derive(Debug)]
pub(super) struct Subscribe {
    pub(super) pkid: u16,
    pub(super) id: Option<u32>,
    pub(super) filters: Vec<Filter>,
}

#[derive(Debug)]
pub(super) struct Filter {
    pub(super) text: String,
    pub(super) qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) retain: RetainHandling,
}

/// Whether a subscription gets the retained events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetainHandling {
    Send,
    SendIfNew,
    DoNotSend,
}

/// Why a connection must be closed, as the reason code of the DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) u8);

pub(super) const PROTOCOL_ERROR: Fault = Fault(0x82);
const MALFORMED: Fault = Fault(0x81);
const TOPIC_NAME_INVALID: Fault = Fault(0x90);
const TOPIC_ALIAS_INVALID: Fault = Fault(0x94);

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        tracing::debug!(%error, "client sent bytes that are no packet");
        Self(error.reason())
    }
}

/// Reads the packets of one connection and keeps its topic aliases.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) version: Version,
    pub(super) publisher: SessionId,
    max_packet: usize,
    max_levels: usize,
    aliases: Vec<Option<TopicName>>,
}

impl Decoder {
    pub(super) fn new(version: Version, publisher: SessionId, max_packet: usize, levels: usize, aliases: u16) -> Self {
        Self { version, publisher, max_packet, max_levels: levels, aliases: vec![None; usize::from(aliases)] }
    }

    /// Takes one packet off the start of `bytes`; `None` asks for more bytes.
    pub(super) fn read(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<Option<Inbound>, Fault> {
        // The packet that comes most often from a subscriber, without a detour.
        if let [0x40, 2, high, low, ..] = **bytes {
            bytes.advance(4);
            return Ok(Some(Inbound::Puback { pkid: known(u16::from_be_bytes([high, low]))? }));
        }
        match self.version {
            Version::V5 => match wire::read_v5(bytes, self.max_packet)? {
                Some(packet) => self.take_v5(packet, now).map(Some),
                None => Ok(None),
            },
            Version::V4 => match wire::read_v4(bytes, self.max_packet)? {
                Some(packet) => self.take_v4(packet, now).map(Some),
                None => Ok(None),
            },
        }
    }

    fn take_v5(&mut self, packet: v5::Packet, now: Instant) -> Result<Inbound, Fault> {
        match packet {
            v5::Packet::Publish(publish) => self.take_publish(publish, now),
            v5::Packet::PubAck(ack) => Ok(Inbound::Puback { pkid: known(ack.pkid)? }),
            v5::Packet::PubRel(rel) => Ok(Inbound::Pubrel { pkid: known(rel.pkid)? }),
            v5::Packet::Subscribe(subscribe) => take_subscribe(subscribe),
            v5::Packet::Unsubscribe(unsubscribe) if unsubscribe.filters.is_empty() => Err(PROTOCOL_ERROR),
            v5::Packet::Unsubscribe(unsubscribe) => {
                Ok(Inbound::Unsubscribe { pkid: known(unsubscribe.pkid)?, filters: unsubscribe.filters })
            }
            v5::Packet::PingReq(_) => Ok(Inbound::Ping),
            v5::Packet::Disconnect(disconnect) => Ok(Inbound::Disconnect {
                reason: disconnect.reason_code as u8,
                expiry: disconnect.properties.and_then(|properties| properties.session_expiry_interval),
            }),
            // Only a server sends these; a second CONNECT is no better, and nothing is sent at QoS 2.
            v5::Packet::Auth(_)
            | v5::Packet::Connect(..)
            | v5::Packet::ConnAck(_)
            | v5::Packet::PingResp(_)
            | v5::Packet::SubAck(_)
            | v5::Packet::PubRec(_)
            | v5::Packet::PubComp(_)
            | v5::Packet::UnsubAck(_) => Err(PROTOCOL_ERROR),
        }
    }

    fn take_publish(&mut self, publish: v5::Publish, now: Instant) -> Result<Inbound, Fault> {
        let mut properties = publish.properties.unwrap_or_default();
        let topic = self.resolve(publish.topic, properties.topic_alias.take())?;
        let expiry = properties.message_expiry_interval.take().map(|seconds| Expiry { seconds, since: now });
        if !properties.subscription_identifiers.is_empty() {
            return Err(PROTOCOL_ERROR);
        }
        if properties.response_topic.as_deref().is_some_and(|topic| TopicName::new(topic).is_err()) {
            return Err(PROTOCOL_ERROR);
        }
        let message = Message {
            topic,
            payload: publish.payload,
            qos: qos5(publish.qos),
            retain: publish.retain,
            properties: encode_properties(&properties)?,
            expiry,
            publisher: self.publisher,
        };
        Ok(Inbound::Publish { message: Arc::new(message), pkid: publish.pkid })
    }

    /// Finds the topic that a PUBLISH means `[MQTT-3.3.2-8]`.
    fn resolve(&mut self, topic: Bytes, alias: Option<u16>) -> Result<TopicName, Fault> {
        let slot = match alias {
            None => None,
            Some(0) => return Err(TOPIC_ALIAS_INVALID),
            Some(alias) => Some(self.aliases.get_mut(usize::from(alias) - 1).ok_or(TOPIC_ALIAS_INVALID)?),
        };
        if topic.is_empty() {
            return slot.and_then(|slot| slot.clone()).ok_or(PROTOCOL_ERROR);
        }
        let topic = self::topic(topic, self.max_levels)?;
        if let Some(slot) = slot {
            *slot = Some(topic.clone());
        }
        Ok(topic)
    }

    fn take_v4(&mut self, packet: v4::Packet, now: Instant) -> Result<Inbound, Fault> {
        match packet {
            v4::Packet::Publish(publish) => {
                let message = Message {
                    topic: topic(publish.topic.into(), self.max_levels)?,
                    payload: publish.payload,
                    qos: qos4(publish.qos),
                    retain: publish.retain,
                    properties: Bytes::new(),
                    expiry: None,
                    publisher: self.publisher,
                };
                _ = now;
                Ok(Inbound::Publish { message: Arc::new(message), pkid: publish.pkid })
            }
            v4::Packet::PubAck(ack) => Ok(Inbound::Puback { pkid: known(ack.pkid)? }),
            v4::Packet::PubRel(rel) => Ok(Inbound::Pubrel { pkid: known(rel.pkid)? }),
            v4::Packet::Subscribe(subscribe) => {
                let filters = subscribe.filters.into_iter().map(|filter| Filter {
                    text: filter.path,
                    qos: qos4(filter.qos),
                    no_local: false,
                    retain_as_published: false,
                    retain: RetainHandling::Send,
                });
                let filters = filters.collect();
                Ok(Inbound::Subscribe(Subscribe { pkid: known(subscribe.pkid)?, id: None, filters }))
            }
            v4::Packet::Unsubscribe(unsubscribe) if unsubscribe.topics.is_empty() => Err(PROTOCOL_ERROR),
            v4::Packet::Unsubscribe(unsubscribe) => {
                Ok(Inbound::Unsubscribe { pkid: known(unsubscribe.pkid)?, filters: unsubscribe.topics })
            }
            v4::Packet::PingReq => Ok(Inbound::Ping),
            v4::Packet::Disconnect => Ok(Inbound::Disconnect { reason: 0, expiry: None }),
            v4::Packet::Connect(_)
            | v4::Packet::ConnAck(_)
            | v4::Packet::PingResp
            | v4::Packet::SubAck(_)
            | v4::Packet::PubRec(_)
            | v4::Packet::PubComp(_)
            | v4::Packet::UnsubAck(_) => Err(PROTOCOL_ERROR),
        }
    }
}

fn take_subscribe(subscribe: v5::Subscribe) -> Result<Inbound, Fault> {
    let id = match subscribe.properties.and_then(|properties| properties.id) {
        Some(0) => return Err(PROTOCOL_ERROR),
        Some(id) => Some(u32::try_from(id).map_err(|_| MALFORMED)?),
        None => None,
    };
    let filters = subscribe.filters.into_iter().map(|filter| Filter {
        text: filter.path,
        qos: qos5(filter.qos),
        no_local: filter.nolocal,
        retain_as_published: filter.preserve_retain,
        retain: match filter.retain_forward_rule {
            v5::RetainForwardRule::OnEverySubscribe => RetainHandling::Send,
            v5::RetainForwardRule::OnNewSubscribe => RetainHandling::SendIfNew,
            v5::RetainForwardRule::Never => RetainHandling::DoNotSend,
        },
    });
    Ok(Inbound::Subscribe(Subscribe { pkid: known(subscribe.pkid)?, id, filters: filters.collect() }))
}

/// Checks a topic name.
pub(super) fn topic(bytes: Bytes, max_levels: usize) -> Result<TopicName, Fault> {
    let topic = TopicName::from_bytes(bytes).map_err(|_| TOPIC_NAME_INVALID)?;
    if topic.as_str().split('/').count() > max_levels {
        return Err(TOPIC_NAME_INVALID);
    }
    Ok(topic)
}

/// Encodes properties once for all that they are forwarded to, without the length in front.
pub(super) fn encode_properties(properties: &v5::PublishProperties) -> Result<Bytes, Fault> {
    if *properties == v5::PublishProperties::default() {
        return Ok(Bytes::new());
    }
    let mut bytes = BytesMut::new();
    properties.write(&mut bytes).map_err(|_| MALFORMED)?;
    let length_ends = bytes.iter().position(|byte| byte & 0x80 == 0).map_or(0, |at| at + 1);
    bytes.advance(length_ends);
    Ok(bytes.freeze())
}

fn known(pkid: u16) -> Result<u16, Fault> {
    if pkid == 0 { Err(MALFORMED) } else { Ok(pkid) }
}

pub(super) const fn qos5(qos: QoS5) -> QoS {
    match qos {
        QoS5::AtMostOnce => QoS::AtMostOnce,
        QoS5::AtLeastOnce => QoS::AtLeastOnce,
        QoS5::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub(super) const fn qos4(qos: QoS4) -> QoS {
    match qos {
        QoS4::AtMostOnce => QoS::AtMostOnce,
        QoS4::AtLeastOnce => QoS::AtLeastOnce,
        QoS4::ExactlyOnce => QoS::ExactlyOnce,
    }
}
