//! The wire: rumqttc's packet types and codec behind one face for MQTT 5 and 3.1.1; PUBLISH alone is taken apart here.
//!
//! Framing is checked here before the codec sees a packet: its size against the limit before any allocation, and that
//! it is whole, so that every error of the codec means a malformed packet and never "read on".

use std::fmt;
use std::time::Duration;

use bytes::{Buf as _, BufMut, Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use tidemill_core::{Properties, QoS};

use super::properties;
use super::reason::Reason;
use crate::config::MqttVersion;

/// Largest fixed header: type byte and four length bytes.
const MAX_FIXED_HEADER: usize = 5;
/// First byte of a PUBACK.
const PUBACK: u8 = 0x40;

/// A packet that the peer sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck {
        pkid: u16,
        reason: Reason,
    },
    SubAck {
        pkid: u16,
        reasons: Vec<Reason>,
    },
    /// MQTT 3.1.1 gives no reasons.
    UnsubAck {
        pkid: u16,
        reasons: Vec<Reason>,
    },
    PingResp,
    Disconnect(Disconnect),
}

/// What the broker grants for this connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnAck {
    pub(crate) reason: Reason,
    pub(crate) reason_text: Option<String>,
    pub(crate) server_reference: Option<String>,
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) max_packet_bytes: u32,
    pub(crate) max_qos: QoS,
    pub(crate) retain_available: bool,
    pub(crate) shared_available: bool,
    pub(crate) wildcard_available: bool,
    pub(crate) assigned_client_id: Option<String>,
    pub(crate) server_keep_alive: Option<Duration>,
    /// Where it differs from what CONNECT asked for (MQTT 5, 3.2.2.3.2).
    pub(crate) session_expiry: Option<Duration>,
}

/// An incoming PUBLISH; topic and payload share the read buffer.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) properties: Option<Box<Properties>>,
    pub(crate) topic_alias: Option<u16>,
    /// 0 at QoS 0.
    pub(crate) pkid: u16,
    pub(crate) qos: QoS,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    /// Bytes of the whole packet but for its topic, and what its properties take beside.
    pub(crate) length: u32,
}

/// Why the broker ends the connection.
#[derive(Clone, Debug)]
pub(crate) struct Disconnect {
    pub(crate) reason: Reason,
    pub(crate) reason_text: Option<String>,
    pub(crate) server_reference: Option<String>,
}

/// Bytes from the peer that are not MQTT, or not allowed.
#[derive(Debug)]
pub(crate) enum DecodeError {
    TooLarge { bytes: usize, limit: u32 },
    Malformed { packet: &'static str, detail: String },
    Unexpected { packet: &'static str },
}

impl DecodeError {
    /// The reason to give to the broker.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::PACKET_TOO_LARGE,
            Self::Malformed { .. } => Reason::MALFORMED,
            Self::Unexpected { .. } => Reason::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(f, "packet of {bytes} bytes exceeds the limit of {limit}; raise `mqtt.max_packet_bytes`")
            }
            Self::Malformed { packet, detail } => write!(f, "malformed {packet} packet: {detail}"),
            Self::Unexpected { packet } => write!(f, "unexpected {packet} packet"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Lengths of the fixed header and of the whole first packet in `buffer`, or `None` while the header is incomplete.
#[inline(always)]
fn frame(buffer: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut remaining = 0;
    for (at, byte) in buffer.iter().skip(1).take(MAX_FIXED_HEADER - 1).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + at, 2 + at + remaining)));
        }
    }
    if buffer.len() >= MAX_FIXED_HEADER {
        return Err(malformed(buffer[0], "remaining length takes more than four bytes"));
    }
    Ok(None)
}

#[cold]
fn malformed(first: u8, detail: impl fmt::Display) -> DecodeError {
    DecodeError::Malformed { packet: packet_name(first), detail: detail.to_string() }
}

fn packet_name(first: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "RESERVED",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    NAMES[usize::from(first >> 4)]
}

/// A whole packet at the front of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    /// Bytes of its fixed header.
    header: usize,
    /// Bytes of all of it.
    length: usize,
}

impl Front {
    /// The packet that `buffer` begins with; `None` when it is not whole yet.
    #[inline(always)]
    pub(crate) fn of(buffer: &mut BytesMut, max_packet_bytes: u32) -> Result<Option<Self>, DecodeError> {
        let Some((header, length)) = frame(buffer)? else { return Ok(None) };
        if length > max_packet_bytes as usize {
            return Err(DecodeError::TooLarge { bytes: length, limit: max_packet_bytes });
        }
        if buffer.len() < length {
            // A packet larger than the buffer would otherwise be read in many small steps.
            buffer.reserve(length - buffer.len());
            return Ok(None);
        }
        Ok(Some(Self { header, length }))
    }

    /// Takes it out of `buffer` as a PUBLISH, which [`is_publish`] says it is.
    ///
    /// Inlined always: what comes in millions is built where it is needed rather than moved there.
    #[inline(always)]
    pub(crate) fn take_publish(self, version: MqttVersion, buffer: &mut BytesMut) -> Result<Publish, DecodeError> {
        Publish::decode(version, buffer.split_to(self.length).freeze(), self.header)
    }

    /// Takes it out of `buffer`, whatever it is.
    pub(crate) fn take(self, version: MqttVersion, buffer: &mut BytesMut) -> Result<Incoming, DecodeError> {
        let Self { header, length } = self;
        if is_publish(buffer[0]) {
            return self.take_publish(version, buffer).map(Incoming::Publish);
        }
        // The other packet that comes in millions, in its short form, which is the same in both versions.
        if let [PUBACK, 2, high, low, ..] = **buffer {
            buffer.advance(length);
            return Ok(Incoming::PubAck { pkid: u16::from_be_bytes([high, low]), reason: Reason::SUCCESS });
        }
        match version {
            MqttVersion::V5 => decode_v5(buffer, header, length),
            MqttVersion::V3_1_1 => decode_v311(buffer, length),
        }
    }
}

/// Takes the first whole packet out of `buffer`; `None` when there is none yet.
pub(crate) fn decode(
    version: MqttVersion,
    buffer: &mut BytesMut,
    max_packet_bytes: u32,
) -> Result<Option<Incoming>, DecodeError> {
    Front::of(buffer, max_packet_bytes)?.map(|front| front.take(version, buffer)).transpose()
}

fn decode_v5(buffer: &mut BytesMut, header: usize, length: usize) -> Result<Incoming, DecodeError> {
    let first = buffer[0];
    match first >> 4 {
        // Properties may be left out, and the reason code too when it is 0 [MQTT-3.14.2]; the codec refuses both forms.
        14 if length - header < 2 => {
            let packet = buffer.split_to(length);
            let reason = packet.get(header).map_or(Reason::SUCCESS, |code| Reason::from_code(*code));
            return Ok(Incoming::Disconnect(Disconnect { reason, reason_text: None, server_reference: None }));
        }
        // The form of MQTT 3.1.1, in which a broker that speaks nothing newer answers.
        2 if length - header == 2 => {
            let packet = buffer.split_to(length);
            let reason = match packet[header + 1] {
                0 | 1 => Reason::UNSUPPORTED_VERSION,
                code if code < 0x80 => Reason::from_v311_connack(code),
                code => Reason::from_code(code),
            };
            return Ok(Incoming::ConnAck(ConnAck { reason, ..ConnAck::unlimited() }));
        }
        // Not part of the codec, and legal only when CONNECT named an authentication method, which it never does.
        15 => return Err(DecodeError::Unexpected { packet: "AUTH" }),
        _ => {}
    }
    let connack_code = if first >> 4 == 2 { connack_code(buffer) } else { 0 };
    let packet = v5::Packet::read(buffer, None).map_err(|error| malformed(first, error))?;
    Ok(match packet {
        v5::Packet::PubAck(ack) => Incoming::PubAck { pkid: ack.pkid, reason: puback_reason(ack.reason) },
        v5::Packet::PingResp(_) => Incoming::PingResp,
        v5::Packet::ConnAck(ack) => Incoming::ConnAck(ConnAck::from_v5(ack, connack_code)),
        v5::Packet::SubAck(ack) => {
            Incoming::SubAck { pkid: ack.pkid, reasons: ack.return_codes.into_iter().map(suback_reason).collect() }
        }
        v5::Packet::UnsubAck(ack) => {
            Incoming::UnsubAck { pkid: ack.pkid, reasons: ack.reasons.into_iter().map(unsuback_reason).collect() }
        }
        v5::Packet::Disconnect(disconnect) => {
            let (reason_text, server_reference) =
                disconnect.properties.map_or((None, None), |p| (p.reason_string, p.server_reference));
            Incoming::Disconnect(Disconnect {
                reason: Reason::from_code(disconnect.reason_code as u8),
                reason_text,
                server_reference,
            })
        }
        _ => return Err(DecodeError::Unexpected { packet: packet_name(first) }),
    })
}

fn decode_v311(buffer: &mut BytesMut, length: usize) -> Result<Incoming, DecodeError> {
    let first = buffer[0];
    let connack_code = if first >> 4 == 2 { connack_code(buffer) } else { 0 };
    let packet = v4::Packet::read(buffer, length).map_err(|error| malformed(first, error))?;
    Ok(match packet {
        v4::Packet::PubAck(ack) => Incoming::PubAck { pkid: ack.pkid, reason: Reason::SUCCESS },
        v4::Packet::PingResp => Incoming::PingResp,
        v4::Packet::ConnAck(ack) => Incoming::ConnAck(ConnAck {
            reason: Reason::from_v311_connack(connack_code),
            session_present: ack.session_present,
            ..ConnAck::unlimited()
        }),
        v4::Packet::SubAck(ack) => Incoming::SubAck {
            pkid: ack.pkid,
            reasons: ack
                .return_codes
                .into_iter()
                .map(|code| match code {
                    v4::SubscribeReasonCode::Success(qos) => Reason::from_code(qos as u8),
                    v4::SubscribeReasonCode::Failure => Reason::UNSPECIFIED,
                })
                .collect(),
        },
        v4::Packet::UnsubAck(ack) => Incoming::UnsubAck { pkid: ack.pkid, reasons: Vec::new() },
        _ => return Err(DecodeError::Unexpected { packet: packet_name(first) }),
    })
}

/// The return code of a whole CONNACK; read here because the codec keeps only its own names for it.
fn connack_code(packet: &[u8]) -> u8 {
    let header = 1 + packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    packet.get(header + 1).copied().unwrap_or(Reason::MALFORMED.code())
}

/// Whether a packet that begins with this byte is an event.
pub(crate) fn is_publish(first: u8) -> bool {
    first >> 4 == 3
}

/// Whether a packet that begins with this byte is an event that must be acknowledged.
pub(crate) fn is_qos1_publish(first: u8) -> bool {
    is_publish(first) && first & 0b0110 != 0
}

fn qos_of_flags(first: u8) -> Result<QoS, DecodeError> {
    match (first >> 1) & 0b11 {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        // Never subscribed to, so the broker must not send it [MQTT-3.8.4-8].
        2 => Err(DecodeError::Unexpected { packet: "QoS 2 PUBLISH" }),
        _ => Err(malformed(first, "QoS 3 does not exist")),
    }
}

impl Publish {
    /// Takes a whole PUBLISH apart, and leaves only its properties to rumqttc: it is the one packet that comes in
    /// millions, and the codec's packet type alone is 392 bytes to be moved several times.
    #[inline(always)]
    fn decode(version: MqttVersion, mut packet: Bytes, header: usize) -> Result<Self, DecodeError> {
        let first = packet[0];
        let short = || malformed(first, "it ends too early");
        let qos = qos_of_flags(first)?;
        let topic_start = header + 2;
        let topic_length = packet.get(header..topic_start).ok_or_else(short)?;
        let topic_end = topic_start + usize::from(u16::from_be_bytes([topic_length[0], topic_length[1]]));
        let mut pkid = 0;
        let mut rest = topic_end;
        if qos != QoS::AtMostOnce {
            rest += 2;
            let id = packet.get(topic_end..rest).ok_or_else(short)?;
            pkid = u16::from_be_bytes([id[0], id[1]]);
            if pkid == 0 {
                return Err(malformed(first, "its packet identifier is 0"));
            }
        }
        let mut properties = None;
        let mut topic_alias = None;
        let mut overhead = 0;
        if version == MqttVersion::V5 {
            match packet.get(rest) {
                Some(0) => rest += 1,
                Some(_) => {
                    let broken = |error| malformed(first, error);
                    let (size, length) = properties::varint(&packet[rest..]).map_err(broken)?;
                    let from = rest + size;
                    rest = from + length as usize;
                    if rest > packet.len() {
                        return Err(short());
                    }
                    let (decoded, alias) = properties::read(packet.slice(from..rest)).map_err(broken)?;
                    topic_alias = alias;
                    overhead = properties::overhead(&decoded);
                    properties = Some(Box::new(decoded));
                }
                None => return Err(short()),
            }
        }
        if rest > packet.len() {
            return Err(short());
        }
        let topic = packet.slice(topic_start..topic_end);
        let length = u32::try_from(packet.len() - topic.len() + overhead).unwrap_or(u32::MAX);
        packet.advance(rest);
        let (dup, retain) = (first & 0b1000 != 0, first & 0b0001 != 0);
        Ok(Self { topic, payload: packet, properties, topic_alias, pkid, qos, dup, retain, length })
    }
}

impl ConnAck {
    /// What holds when the broker announces nothing.
    fn unlimited() -> Self {
        Self {
            reason: Reason::SUCCESS,
            reason_text: None,
            server_reference: None,
            session_present: false,
            receive_maximum: u16::MAX,
            max_packet_bytes: u32::MAX,
            max_qos: QoS::ExactlyOnce,
            retain_available: true,
            shared_available: true,
            wildcard_available: true,
            assigned_client_id: None,
            server_keep_alive: None,
            session_expiry: None,
        }
    }

    fn from_v5(ack: v5::ConnAck, code: u8) -> Self {
        let mut all = Self { reason: Reason::from_code(code), ..Self::unlimited() };
        all.session_present = ack.session_present;
        if let Some(p) = ack.properties {
            all.reason_text = p.reason_string;
            all.server_reference = p.server_reference;
            all.receive_maximum = p.receive_max.unwrap_or(u16::MAX).max(1);
            all.max_packet_bytes = p.max_packet_size.unwrap_or(u32::MAX);
            all.max_qos = p.max_qos.and_then(QoS::from_level).unwrap_or(QoS::ExactlyOnce);
            all.retain_available = p.retain_available != Some(0);
            all.shared_available = p.shared_subscription_available != Some(0);
            all.wildcard_available = p.wildcard_subscription_available != Some(0);
            all.assigned_client_id = p.assigned_client_identifier;
            all.server_keep_alive = p.server_keep_alive.map(|s| Duration::from_secs(s.into()));
            all.session_expiry = p.session_expiry_interval.map(|s| Duration::from_secs(s.into()));
        }
        all
    }
}

fn puback_reason(reason: v5::PubAckReason) -> Reason {
    use v5::PubAckReason as R;
    Reason::from_code(match reason {
        R::Success => 0x00,
        R::NoMatchingSubscribers => 0x10,
        R::UnspecifiedError => 0x80,
        R::ImplementationSpecificError => 0x83,
        R::NotAuthorized => 0x87,
        R::TopicNameInvalid => 0x90,
        R::PacketIdentifierInUse => 0x91,
        R::QuotaExceeded => 0x97,
        R::PayloadFormatInvalid => 0x99,
    })
}

fn suback_reason(reason: v5::SubscribeReasonCode) -> Reason {
    use v5::SubscribeReasonCode as R;
    Reason::from_code(match reason {
        R::Success(qos) => qos as u8,
        R::Failure | R::Unspecified => 0x80,
        R::ImplementationSpecific => 0x83,
        R::NotAuthorized => 0x87,
        R::TopicFilterInvalid => 0x8F,
        R::PkidInUse => 0x91,
        R::QuotaExceeded => 0x97,
        R::SharedSubscriptionsNotSupported => 0x9E,
        R::SubscriptionIdNotSupported => 0xA1,
        R::WildcardSubscriptionsNotSupported => 0xA2,
    })
}

fn unsuback_reason(reason: v5::UnsubAckReason) -> Reason {
    use v5::UnsubAckReason as R;
    Reason::from_code(match reason {
        R::Success => 0x00,
        R::NoSubscriptionExisted => 0x11,
        R::UnspecifiedError => 0x80,
        R::ImplementationSpecificError => 0x83,
        R::NotAuthorized => 0x87,
        R::TopicFilterInvalid => 0x8F,
        R::PacketIdentifierInUse => 0x91,
    })
}

/// Writes the PUBACK of a handled event: success without properties, the same four bytes in both versions.
#[inline]
pub(crate) fn write_puback(out: &mut BytesMut, pkid: u16) {
    let [high, low] = pkid.to_be_bytes();
    out.put_slice(&[0x40, 0x02, high, low]);
}

/// An expiry as MQTT counts it. What is left of a second counts as one: 0 would mean that it has passed.
pub(crate) fn whole_seconds(expiry: Duration) -> u32 {
    let seconds = expiry.as_secs().saturating_add(u64::from(expiry.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Writes a PINGREQ.
pub(crate) fn write_pingreq(out: &mut BytesMut) {
    out.put_slice(&[0xC0, 0x00]);
}

#[cfg(test)]
mod tests;
