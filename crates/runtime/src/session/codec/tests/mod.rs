//! Decoding under fire: whatever comes, in whatever pieces, ends in a packet, in an error or in asking for more; and what
//! rumqttc's own writer wrote is read back as it was.

mod cases;
mod damage;

use proptest::prelude::*;
use rumqttc::mqttbytes::QoS as QoS4;
use rumqttc::v5::mqttbytes::QoS as QoS5;

use self::cases::{Expected, case, publish, version};
use self::damage::{damage, damaged, noise, pieces, whole};
use super::*;

const MAX: u32 = 4096;

/// Feeds the bytes in pieces of these sizes, over and over, and decodes what can be decoded after each.
fn feed(version: MqttVersion, bytes: &[u8], pieces: &[usize]) -> (Vec<Incoming>, Option<DecodeError>) {
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        rest = behind;
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match decode(version, &mut buffer, MAX) {
                Ok(Some(packet)) => {
                    assert!(buffer.len() < before, "a packet of no bytes");
                    packets.push(packet);
                }
                Ok(None) => {
                    assert_eq!(buffer.len(), before, "bytes are gone without a packet");
                    break;
                }
                Err(error) => return (packets, Some(error)),
            }
            // The allocator rounds up; what counts is that a length field alone takes no memory.
            assert!(buffer.capacity() <= 4 * MAX as usize + bytes.len(), "{} bytes reserved", buffer.capacity());
        }
    }
    (packets, None)
}

fn shown(incoming: Incoming) -> Expected {
    match incoming {
        Incoming::Publish(publish) => {
            let properties = publish.properties.map(|from| v5::PublishProperties {
                payload_format_indicator: from.utf8_payload.then_some(1),
                message_expiry_interval: from.message_expiry.map(|d| u32::try_from(d.as_secs()).unwrap()),
                topic_alias: publish.topic_alias,
                response_topic: from.response_topic,
                correlation_data: from.correlation_data,
                user_properties: from.user,
                subscription_identifiers: from.subscription_ids.into_iter().map(|id| id as usize).collect(),
                content_type: from.content_type,
            });
            let qos = if publish.qos == QoS::AtMostOnce { QoS5::AtMostOnce } else { QoS5::AtLeastOnce };
            let (dup, retain) = (publish.dup, publish.retain);
            let (topic, payload) = (publish.topic, publish.payload);
            Expected::Publish(v5::Publish { dup, qos, retain, topic, pkid: publish.pkid, payload, properties })
        }
        Incoming::PubAck { pkid, reason } => Expected::PubAck(pkid, reason.code()),
        Incoming::SubAck { pkid, reasons } => Expected::SubAck(pkid, reasons.into_iter().map(Reason::code).collect()),
        Incoming::UnsubAck { pkid, reasons } => {
            Expected::UnsubAck(pkid, reasons.into_iter().map(Reason::code).collect())
        }
        Incoming::PingResp => Expected::PingResp,
        Incoming::ConnAck(ack) => Expected::ConnAck {
            code: ack.reason.code(),
            present: ack.session_present,
            receive_max: ack.receive_maximum,
            keep_alive: ack.server_keep_alive.map(|d| u16::try_from(d.as_secs()).unwrap()),
            shared: ack.shared_available,
            text: ack.reason_text,
        },
        Incoming::Disconnect(Disconnect { reason, reason_text, server_reference }) => {
            Expected::Disconnect { code: reason.code(), text: reason_text, reference: server_reference }
        }
    }
}

/// Leaves out what is not told apart: an indicator of 0 and none, empty properties and none.
fn normal(expected: Expected) -> Expected {
    let Expected::Publish(mut publish) = expected else { return expected };
    if let Some(properties) = &mut publish.properties {
        properties.payload_format_indicator = properties.payload_format_indicator.filter(|value| *value == 1);
    }
    let nothing = v5::PublishProperties {
        payload_format_indicator: None,
        message_expiry_interval: None,
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        user_properties: vec![],
        subscription_identifiers: vec![],
        content_type: None,
    };
    publish.properties = publish.properties.filter(|properties| *properties != nothing);
    Expected::Publish(publish)
}

/// What rumqttc makes of the bytes of one PUBLISH.
fn by_rumqttc(version: MqttVersion, bytes: &[u8]) -> Option<v5::Publish> {
    let mut buffer = BytesMut::from(bytes);
    match version {
        MqttVersion::V5 => match v5::Packet::read(&mut buffer, None) {
            Ok(v5::Packet::Publish(publish)) => Some(publish),
            _ => None,
        },
        MqttVersion::V3_1_1 => match v4::Packet::read(&mut buffer, usize::MAX) {
            Ok(v4::Packet::Publish(p)) => Some(v5::Publish {
                dup: p.dup,
                qos: if p.qos == QoS4::AtMostOnce { QoS5::AtMostOnce } else { QoS5::AtLeastOnce },
                retain: p.retain,
                topic: p.topic.into(),
                pkid: p.pkid,
                payload: p.payload,
                properties: None,
            }),
            _ => None,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn packets_are_read_as_they_were_written_whatever_pieces_they_come_in(
        (version, cases) in version().prop_flat_map(|v| (Just(v), prop::collection::vec(case(v), 1..8))),
        pieces in pieces(),
    ) {
        let bytes: Vec<u8> = cases.iter().flat_map(|case| case.bytes.iter().copied()).collect();
        let readable = cases.iter().take_while(|case| case.expected != Expected::Refused).count();
        let (packets, error) = feed(version, &bytes, &pieces);
        prop_assert_eq!(error.is_some(), readable < cases.len(), "{:?}", error);
        let read: Vec<Expected> = packets.into_iter().map(shown).map(normal).collect();
        let written: Vec<Expected> = cases[..readable].iter().map(|case| normal(case.expected.clone())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn events_are_read_as_rumqttc_reads_them(
        (version, case) in version().prop_flat_map(|v| (Just(v), publish(v))),
    ) {
        let (packets, _) = feed(version, &case.bytes, &[usize::MAX]);
        let ours = packets.into_iter().map(shown).map(normal).next().unwrap();
        let Expected::Publish(written) = &case.expected else { unreachable!() };
        let ids = written.properties.as_ref().map_or(0, |properties| properties.subscription_identifiers.len());
        // From two on it miscounts them.
        if ids < 2 {
            let theirs = by_rumqttc(version, &case.bytes).map(Expected::Publish).map(normal);
            prop_assert_eq!(Some(ours), theirs);
        }
    }

    #[test]
    fn damaged_events_are_refused_or_read_as_rumqttc_reads_them(
        (version, case) in version().prop_flat_map(|v| (Just(v), publish(v))),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let bytes = whole(damaged(case.bytes, damages));
        let (packets, _) = feed(version, &bytes, &[usize::MAX]);
        let Some(Expected::Publish(ours)) = packets.into_iter().map(shown).map(normal).next() else { return Ok(()) };
        let ids = ours.properties.as_ref().map_or(0, |properties| properties.subscription_identifiers.len());
        if ids < 2
            // It takes only UTF-8 on MQTT 3.1.1; here that is checked where it becomes a topic name.
            && std::str::from_utf8(&ours.topic).is_ok()
        {
            let theirs = by_rumqttc(version, &bytes).map(Expected::Publish).map(normal);
            prop_assert_eq!(Some(Expected::Publish(ours)), theirs);
        }
    }

    #[test]
    fn damaged_packets_end_in_a_packet_an_error_or_asking_for_more(
        (version, cases) in version().prop_flat_map(|v| (Just(v), prop::collection::vec(case(v), 1..4))),
        damages in prop::collection::vec(damage(), 1..6),
        pieces in pieces(),
        fits in any::<bool>(),
    ) {
        let mut bytes: Vec<u8> = cases.iter().flat_map(|case| case.bytes.iter().copied()).collect();
        bytes = damaged(bytes, damages);
        if fits {
            bytes = whole(bytes);
        }
        feed(version, &bytes, &pieces);
    }

    #[test]
    fn noise_ends_in_a_packet_an_error_or_asking_for_more(
        version in version(),
        bytes in noise(),
        pieces in pieces(),
    ) {
        feed(version, &bytes, &pieces);
    }

    /// The pieces do not matter, for good bytes or bad.
    #[test]
    fn what_comes_out_depends_on_the_bytes_alone(
        (version, cases) in version().prop_flat_map(|v| (Just(v), prop::collection::vec(case(v), 1..4))),
        damages in prop::collection::vec(damage(), 0..3),
        one in pieces(),
        other in pieces(),
    ) {
        let bytes = damaged(cases.iter().flat_map(|case| case.bytes.iter().copied()).collect(), damages);
        let outcome = |(packets, error): (Vec<Incoming>, Option<DecodeError>)| {
            (packets.into_iter().map(shown).collect::<Vec<_>>(), error.map(|error| error.to_string()))
        };
        prop_assert_eq!(outcome(feed(version, &bytes, &one)), outcome(feed(version, &bytes, &other)));
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_anything_is_reserved(
        version in version(),
        first in any::<u8>(),
        excess in 0_u32..200_000_000,
    ) {
        let mut bytes = vec![first];
        let mut remaining = MAX - 1 + excess;
        while remaining > 0 {
            let byte = u8::try_from(remaining & 0x7F).unwrap();
            remaining >>= 7;
            bytes.push(if remaining > 0 { byte | 0x80 } else { byte });
        }
        let mut buffer = BytesMut::from(&bytes[..]);
        let before = buffer.capacity();
        let refused = matches!(decode(version, &mut buffer, MAX), Err(DecodeError::TooLarge { .. }));
        prop_assert!(refused && buffer.capacity() == before);
    }
}

#[test]
fn every_reason_of_the_specification_is_understood_in_connack_and_disconnect() {
    let connack = [
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
        0x9C, 0x9D, 0x9F,
    ];
    for code in connack {
        let (packets, error) = feed(MqttVersion::V5, &[0x20, 3, 0, code, 0], &[1]);
        assert!(error.is_none(), "{code:02X}: {error:?}");
        assert!(matches!(&packets[0], Incoming::ConnAck(ack) if ack.reason.code() == code && ack.reason.is_failure()));
    }
    let disconnect = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
        0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    for code in disconnect {
        for bytes in [&[0xE0, 1, code][..], &[0xE0, 2, code, 0]] {
            let (packets, error) = feed(MqttVersion::V5, bytes, &[1]);
            assert!(error.is_none(), "{code:02X}: {error:?}");
            assert!(matches!(&packets[0], Incoming::Disconnect(d) if d.reason.code() == code));
        }
    }
}

#[test]
fn subscription_identifiers_in_any_number_do_not_shift_what_is_behind_them() {
    let ids = [&[0x0B, 1][..], &[0x0B, 0xFF, 0x7F], &[0x0B, 0xFF, 0xFF, 0xFF, 0x7F]].concat();
    let properties = [&ids[..], &[0x01, 1], &[0x23, 0, 5]].concat();
    let body = [&[0, 1, b't', 0, 9, u8::try_from(properties.len()).unwrap()][..], &properties, b"payload"].concat();
    let bytes = [&[0x32, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let (packets, _) = feed(MqttVersion::V5, &bytes, &[3]);
    let Incoming::Publish(publish) = &packets[0] else { unreachable!() };
    let properties = publish.properties.as_ref().unwrap();
    assert_eq!((&publish.payload[..], publish.topic_alias), (&b"payload"[..], Some(5)));
    assert_eq!((&properties.subscription_ids[..], properties.utf8_payload), (&[1, 16_383, 268_435_455][..], true));
}
