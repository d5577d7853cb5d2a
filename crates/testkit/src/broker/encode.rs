//! What the broker says, as bytes.
//!
//! CONNACK goes through the codec. PUBLISH is written here, since the codec would want the topic and the properties
//! copied for every receiver; answers are, since the codec has no room for every reason code.

use bytes::{BufMut, BytesMut};
use rumqttc::v5::mqttbytes::v5::ConnAckProperties;
use tidemill_core::QoS;
use tokio::time::Instant;

use super::message::{Ack, Delivery, Ids, Message, Outgoing, Pending};
use crate::wire::{Version, put_varint, v5, varint_len};

/// Writes what a connection has to say.
pub(super) fn outgoing(version: Version, item: &Outgoing, now: Instant, out: &mut BytesMut) {
    match item {
        Outgoing::Publish(delivery) => publish(version, delivery, now, out),
        Outgoing::SubAck { pkid, codes } => answer(version, 0x90, *pkid, codes, out),
        // MQTT 3.1.1 has no codes here.
        Outgoing::UnsubAck { pkid, .. } if version == Version::V4 => {
            out.put_slice(&[0xB0, 2]);
            out.put_u16(*pkid);
        }
        Outgoing::UnsubAck { pkid, codes } => answer(version, 0xB0, *pkid, codes, out),
        Outgoing::PingResp => out.put_slice(&[0xD0, 0]),
    }
}

fn answer(version: Version, first: u8, pkid: u16, codes: &[u8], out: &mut BytesMut) {
    let no_properties = usize::from(version == Version::V5);
    out.put_u8(first);
    put_varint(out, 2 + no_properties + codes.len());
    out.put_u16(pkid);
    out.put_bytes(0, no_properties);
    out.put_slice(codes);
}

/// Writes an answer to a PUBLISH or PUBREL.
pub(super) fn ack(version: Version, ack: Ack, out: &mut BytesMut) {
    let (first, pkid, reason) = match ack {
        Ack::Puback { pkid, reason } => (0x40, pkid, reason),
        Ack::Pubrec { pkid, reason } => (0x50, pkid, reason),
        Ack::Pubcomp { pkid, reason } => (0x70, pkid, reason),
    };
    let [high, low] = pkid.to_be_bytes();
    // The reason may be left out when it is 0.
    if version == Version::V4 || reason == 0 {
        out.put_slice(&[first, 2, high, low]);
    } else {
        out.put_slice(&[first, 3, high, low, reason]);
    }
}

/// Writes a DISCONNECT, which only exists in this direction in MQTT 5.
pub(super) fn disconnect(version: Version, reason: u8, out: &mut BytesMut) {
    if version == Version::V5 {
        // The length of the properties could be left out, but rumqttc's clients do not read it then.
        out.put_slice(&[0xE0, 2, reason, 0]);
    }
}

/// Writes a CONNACK that refuses.
pub(super) fn refusal(version: Version, code: u8, out: &mut BytesMut) {
    match version {
        Version::V5 => out.put_slice(&[0x20, 3, 0, code, 0]),
        Version::V4 => out.put_slice(&[0x20, 2, 0, code]),
    }
}

/// Writes a CONNACK that accepts.
pub(super) fn accept(version: Version, session_present: bool, properties: ConnAckProperties, out: &mut BytesMut) {
    if version == Version::V4 {
        return out.put_slice(&[0x20, 2, u8::from(session_present), 0]);
    }
    let code = v5::ConnectReturnCode::Success;
    let connack = v5::ConnAck { session_present, code, properties: Some(properties) };
    if let Err(error) = connack.write(out) {
        tracing::error!(%error, "cannot write a CONNACK");
    }
}

/// No properties at all.
pub(super) fn no_properties() -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}

fn publish(version: Version, delivery: &Delivery, now: Instant, out: &mut BytesMut) {
    let Delivery { message, ids, pkid, qos, dup, retain } = delivery;
    let expiry = message.expiry_left(now);
    let properties = properties_len(message, ids, expiry);
    let remaining = remaining_len(version, message, *qos, properties);
    out.reserve(5 + remaining);
    out.put_u8(0x30 | u8::from(*dup) << 3 | qos.level() << 1 | u8::from(*retain));
    put_varint(out, remaining);
    let topic = message.topic.as_bytes();
    // A topic name has at most 65535 bytes.
    out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
    out.put_slice(topic);
    if *qos != QoS::AtMostOnce {
        out.put_u16(*pkid);
    }
    if version == Version::V5 {
        put_varint(out, properties);
        out.put_slice(&message.properties);
        if let Some(seconds) = expiry {
            out.put_u8(0x02);
            out.put_u32(seconds);
        }
        for id in ids {
            out.put_u8(0x0B);
            put_varint(out, *id as usize);
        }
    }
    out.put_slice(&message.payload);
}

/// The bytes of the PUBLISH that an event becomes.
pub(super) fn publish_len(version: Version, pending: &Pending, now: Instant) -> usize {
    let properties = properties_len(&pending.message, &pending.ids, pending.message.expiry_left(now));
    let remaining = remaining_len(version, &pending.message, pending.qos, properties);
    1 + varint_len(remaining) + remaining
}

fn properties_len(message: &Message, ids: &Ids, expiry: Option<u32>) -> usize {
    let ids: usize = ids.iter().map(|id| 1 + varint_len(*id as usize)).sum();
    message.properties.len() + ids + if expiry.is_some() { 5 } else { 0 }
}

fn remaining_len(version: Version, message: &Message, qos: QoS, properties: usize) -> usize {
    let pkid = if qos == QoS::AtMostOnce { 0 } else { 2 };
    let properties = if version == Version::V5 { varint_len(properties) + properties } else { 0 };
    2 + message.topic.as_bytes().len() + pkid + properties + message.payload.len()
}
