//! Decoding under fire: whatever comes, in whatever pieces, ends in a packet, in an error or in asking for more; and what
//! rumqttc's own writer wrote is read back as it was.

use proptest::prelude::*;
use rumqttc::mqttbytes::QoS as QoS4;
use rumqttc::v5::mqttbytes::QoS as QoS5;

use super::*;

const MAX: u32 = 4096;

/// A packet in the terms of this module and in bytes.
#[derive(Clone, Debug)]
struct Case {
    bytes: Vec<u8>,
    expected: Expected,
}

#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Publish(v5::Publish),
    PubAck(u16, u8),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16),
    PingResp,
    ConnAck { code: u8, present: bool, receive_max: u16, keep_alive: Option<u16>, shared: bool, text: Option<String> },
    Disconnect { code: u8, text: Option<String>, reference: Option<String> },
    /// Only a client may send it.
    Refused,
}

fn case_v5(packet: &v5::Packet, expected: Expected) -> Case {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    Case { bytes: bytes.to_vec(), expected }
}

fn case_v4(packet: &v4::Packet, expected: Expected) -> Case {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    Case { bytes: bytes.to_vec(), expected }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "\\PC{0,8}", Just("x".repeat(200))]
}

fn user() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((text(), text()), 0..3)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn publish_properties() -> impl Strategy<Value = v5::PublishProperties> {
    let texts = (prop::option::of(text()), prop::option::of(text()), user());
    let binary = prop::option::of(payload());
    let ids = prop::collection::vec(1_usize..268_435_456, 0..4);
    let numbers = (prop::option::of(0_u8..2), prop::option::of(any::<u32>()), prop::option::of(any::<u16>()));
    (texts, binary, ids, numbers).prop_map(|((response_topic, content_type, user), correlation, ids, numbers)| {
        v5::PublishProperties {
            payload_format_indicator: numbers.0,
            message_expiry_interval: numbers.1,
            topic_alias: numbers.2,
            response_topic,
            correlation_data: correlation,
            user_properties: user,
            subscription_identifiers: ids,
            content_type,
        }
    })
}

fn publish(version: MqttVersion) -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 1_u16.., text(), payload(), prop::option::of(publish_properties())).prop_map(
        move |((at_least_once, dup, retain), pkid, topic, payload, properties)| {
            let (qos, pkid) = if at_least_once { (QoS5::AtLeastOnce, pkid) } else { (QoS5::AtMostOnce, 0) };
            let topic5 = Bytes::from(topic.clone());
            let mut packet = v5::Publish { dup, qos, retain, topic: topic5, pkid, payload: payload.clone(), properties };
            match version {
                MqttVersion::V5 => case_v5(&v5::Packet::Publish(packet.clone()), Expected::Publish(packet)),
                MqttVersion::V3_1_1 => {
                    let qos = if at_least_once { QoS4::AtLeastOnce } else { QoS4::AtMostOnce };
                    let old = v4::Publish { dup, qos, retain, topic, pkid, payload };
                    packet.properties = None;
                    case_v4(&v4::Packet::Publish(old), Expected::Publish(packet))
                }
            }
        },
    )
}

fn acks_v5() -> impl Strategy<Value = Case> {
    use v5::{PubAckReason as P, SubscribeReasonCode as S, UnsubAckReason as U};
    let reasons = [
        (P::Success, 0x00),
        (P::NoMatchingSubscribers, 0x10),
        (P::UnspecifiedError, 0x80),
        (P::NotAuthorized, 0x87),
        (P::QuotaExceeded, 0x97),
    ];
    let granted = [
        (S::Success(QoS5::AtMostOnce), 0),
        (S::Success(QoS5::AtLeastOnce), 1),
        (S::Unspecified, 0x80),
        (S::NotAuthorized, 0x87),
        (S::SharedSubscriptionsNotSupported, 0x9E),
    ];
    let puback = (1_u16.., prop::sample::select(reasons.to_vec()), prop::option::of((text(), user()))).prop_map(
        |(pkid, (reason, code), properties)| {
            let properties = properties
                .map(|(text, user_properties)| v5::PubAckProperties { reason_string: Some(text), user_properties });
            case_v5(&v5::Packet::PubAck(v5::PubAck { pkid, reason, properties }), Expected::PubAck(pkid, code))
        },
    );
    let suback = (1_u16.., prop::collection::vec(prop::sample::select(granted.to_vec()), 1..6), user()).prop_map(
        |(pkid, codes, user_properties)| {
            let (return_codes, codes) = codes.into_iter().unzip();
            let properties = Some(v5::SubAckProperties { reason_string: None, user_properties });
            let packet = v5::SubAck { pkid, return_codes, properties };
            case_v5(&v5::Packet::SubAck(packet), Expected::SubAck(pkid, codes))
        },
    );
    let unsuback = (1_u16.., 1_usize..5).prop_map(|(pkid, count)| {
        let packet = v5::UnsubAck { pkid, reasons: vec![U::Success; count], properties: None };
        case_v5(&v5::Packet::UnsubAck(packet), Expected::UnsubAck(pkid))
    });
    let pong = Just(case_v5(&v5::Packet::PingResp(v5::PingResp), Expected::PingResp));
    prop_oneof![puback, suback, unsuback, pong]
}

fn connack_v5() -> impl Strategy<Value = Case> {
    use v5::ConnectReturnCode as C;
    let codes = [(C::Success, 0), (C::NotAuthorized, 0x87), (C::ServerBusy, 0x89), (C::ConnectionRateExceeded, 0x9F)];
    let properties = (prop::option::of(1_u16..), prop::option::of(any::<u16>()), any::<bool>(), text(), user());
    (prop::sample::select(codes.to_vec()), any::<bool>(), properties).prop_map(
        |((code, number), present, (receive_max, server_keep_alive, shared, text, user_properties))| {
            let properties = v5::ConnAckProperties {
                session_expiry_interval: Some(7),
                receive_max,
                max_qos: Some(1),
                retain_available: Some(1),
                max_packet_size: Some(9999),
                assigned_client_identifier: Some("assigned".to_owned()),
                topic_alias_max: Some(3),
                reason_string: Some(text.clone()),
                user_properties,
                wildcard_subscription_available: Some(1),
                subscription_identifiers_available: Some(1),
                shared_subscription_available: Some(u8::from(shared)),
                server_keep_alive,
                response_information: Some("r".to_owned()),
                server_reference: None,
                authentication_method: None,
                authentication_data: None,
            };
            let packet = v5::ConnAck { session_present: present, code, properties: Some(properties) };
            let expected = Expected::ConnAck {
                code: number,
                present,
                receive_max: receive_max.unwrap_or(u16::MAX),
                keep_alive: server_keep_alive,
                shared,
                text: Some(text),
            };
            case_v5(&v5::Packet::ConnAck(packet), expected)
        },
    )
}

fn disconnect_v5() -> impl Strategy<Value = Case> {
    use v5::DisconnectReasonCode as D;
    let codes = [(D::ServerShuttingDown, 0x8B), (D::SessionTakenOver, 0x8E), (D::UseAnotherServer, 0x9C)];
    let long = (prop::sample::select(codes.to_vec()), text(), prop::option::of(text()), user()).prop_map(
        |((reason_code, code), text, reference, user_properties)| {
            let properties = v5::DisconnectProperties {
                session_expiry_interval: None,
                reason_string: Some(text.clone()),
                user_properties,
                server_reference: reference.clone(),
            };
            let packet = v5::Disconnect { reason_code, properties: Some(properties) };
            let expected = Expected::Disconnect { code, text: Some(text), reference };
            case_v5(&v5::Packet::Disconnect(packet), expected)
        },
    );
    let bare = |code| Expected::Disconnect { code, text: None, reference: None };
    let short = (0x80_u8..0xA3).prop_map(move |code| Case { bytes: vec![0xE0, 1, code], expected: bare(code) });
    prop_oneof![long, short, Just(Case { bytes: vec![0xE0, 0], expected: bare(0) })]
}

fn from_clients_v5() -> impl Strategy<Value = Case> {
    let connect = v5::Connect { keep_alive: 1, client_id: "c".into(), clean_start: true, properties: None };
    let packets = [
        v5::Packet::Connect(connect, None, None),
        v5::Packet::PingReq(v5::PingReq),
        v5::Packet::Subscribe(v5::Subscribe::new(v5::Filter::new("a", QoS5::AtLeastOnce), None)),
        v5::Packet::PubRel(v5::PubRel::new(3, None)),
    ];
    let cases: Vec<Case> = packets
        .into_iter()
        .map(|packet| {
            let packet = match packet {
                v5::Packet::Subscribe(subscribe) => v5::Packet::Subscribe(v5::Subscribe { pkid: 1, ..subscribe }),
                other => other,
            };
            case_v5(&packet, Expected::Refused)
        })
        .collect();
    prop::sample::select(cases)
}

fn others_v4() -> impl Strategy<Value = Case> {
    use v4::{ConnectReturnCode as C, SubscribeReasonCode as S};
    let codes = [(C::Success, 0), (C::BadUserNamePassword, 0x86), (C::NotAuthorized, 0x87), (C::ServiceUnavailable, 0x88)];
    let connack = (prop::sample::select(codes.to_vec()), any::<bool>()).prop_map(|((code, number), present)| {
        let expected = Expected::ConnAck {
            code: number,
            present,
            receive_max: u16::MAX,
            keep_alive: None,
            shared: true,
            text: None,
        };
        case_v4(&v4::Packet::ConnAck(v4::ConnAck { session_present: present, code }), expected)
    });
    let granted = [(S::Success(QoS4::AtMostOnce), 0), (S::Success(QoS4::AtLeastOnce), 1), (S::Failure, 0x80)];
    let suback = (1_u16.., prop::collection::vec(prop::sample::select(granted.to_vec()), 1..6)).prop_map(
        |(pkid, codes)| {
            let (return_codes, codes) = codes.into_iter().unzip();
            case_v4(&v4::Packet::SubAck(v4::SubAck { pkid, return_codes }), Expected::SubAck(pkid, codes))
        },
    );
    let puback =
        (1_u16..).prop_map(|pkid| case_v4(&v4::Packet::PubAck(v4::PubAck::new(pkid)), Expected::PubAck(pkid, 0)));
    let unsuback =
        (1_u16..).prop_map(|pkid| case_v4(&v4::Packet::UnsubAck(v4::UnsubAck::new(pkid)), Expected::UnsubAck(pkid)));
    let pong = Just(case_v4(&v4::Packet::PingResp, Expected::PingResp));
    let refused = Just(case_v4(&v4::Packet::PingReq, Expected::Refused));
    prop_oneof![connack, suback, puback, unsuback, pong, refused]
}

fn case(version: MqttVersion) -> BoxedStrategy<Case> {
    match version {
        MqttVersion::V5 => prop_oneof![
            4 => publish(version),
            2 => acks_v5(),
            1 => connack_v5(),
            1 => disconnect_v5(),
            1 => from_clients_v5(),
        ]
        .boxed(),
        MqttVersion::V3_1_1 => prop_oneof![publish(version), others_v4()].boxed(),
    }
}

fn version() -> impl Strategy<Value = MqttVersion> {
    prop_oneof![Just(MqttVersion::V5), Just(MqttVersion::V3_1_1)]
}

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
        Incoming::UnsubAck { pkid } => Expected::UnsubAck(pkid),
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

#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        at().prop_map(Damage::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        at().prop_map(Damage::Remove),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            return bytes;
        }
        let len = bytes.len();
        match damage {
            Damage::Set(at, byte) => bytes[at.index(len)] = byte,
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Insert(at, more) => drop(bytes.splice(at.index(len)..at.index(len), more)),
            Damage::Remove(at) => drop(bytes.remove(at.index(len))),
        }
    }
    bytes
}

/// The same bytes with a remaining length that fits, so that damage reaches the inside of a packet.
fn whole(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < 2 {
        return bytes;
    }
    let rest = bytes.split_off(2);
    bytes.truncate(1);
    let mut remaining = rest.len();
    loop {
        let byte = u8::try_from(remaining & 0x7F).unwrap();
        remaining >>= 7;
        bytes.push(if remaining > 0 { byte | 0x80 } else { byte });
        if remaining == 0 {
            break;
        }
    }
    bytes.extend(rest);
    bytes
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..300, 1..6)
}

/// Bytes that look like packets more often than chance would have it.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![any::<u8>(), (1_u8..16).prop_map(|kind| kind << 4), 0x30_u8..0x40];
    let packet = (first, 0_u8..40, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(first, length, rest)| [&[first, length][..], &rest].concat());
    prop::collection::vec(packet, 0..6).prop_map(|packets| packets.concat())
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
