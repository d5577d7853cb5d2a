//! Packets of brokers, as rumqttc's own writer writes them, with what must be read.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rumqttc::mqttbytes::QoS as QoS4;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5;

use crate::config::MqttVersion;

/// A packet in the terms of this module and in bytes.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) bytes: Vec<u8>,
    pub(super) expected: Expected,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Publish(v5::Publish),
    PubAck(u16, u8),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16, Vec<u8>),
    PingResp,
    ConnAck {
        code: u8,
        present: bool,
        receive_max: u16,
        keep_alive: Option<u16>,
        shared: bool,
        text: Option<String>,
    },
    Disconnect {
        code: u8,
        text: Option<String>,
        reference: Option<String>,
    },
    /// Only a client may send it.
    Refused,
}

pub(super) fn case_v5(packet: &v5::Packet, expected: Expected) -> Case {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    Case { bytes: bytes.to_vec(), expected }
}

pub(super) fn case_v4(packet: &v4::Packet, expected: Expected) -> Case {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    Case { bytes: bytes.to_vec(), expected }
}

pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "\\PC{0,8}", Just("x".repeat(200))]
}

pub(super) fn user() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((text(), text()), 0..3)
}

pub(super) fn payload() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

pub(super) fn publish_properties() -> impl Strategy<Value = v5::PublishProperties> {
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

pub(super) fn publish(version: MqttVersion) -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 1_u16.., text(), payload(), prop::option::of(publish_properties())).prop_map(
        move |((at_least_once, dup, retain), pkid, topic, payload, properties)| {
            let (qos, pkid) = if at_least_once { (QoS5::AtLeastOnce, pkid) } else { (QoS5::AtMostOnce, 0) };
            let topic5 = Bytes::from(topic.clone());
            let mut packet =
                v5::Publish { dup, qos, retain, topic: topic5, pkid, payload: payload.clone(), properties };
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

pub(super) fn acks_v5() -> impl Strategy<Value = Case> {
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
    let gone = [
        (U::Success, 0x00),
        (U::NoSubscriptionExisted, 0x11),
        (U::UnspecifiedError, 0x80),
        (U::ImplementationSpecificError, 0x83),
        (U::NotAuthorized, 0x87),
        (U::TopicFilterInvalid, 0x8F),
        (U::PacketIdentifierInUse, 0x91),
    ];
    let unsuback =
        (1_u16.., prop::collection::vec(prop::sample::select(gone.to_vec()), 1..6)).prop_map(|(pkid, codes)| {
            let (reasons, codes) = codes.into_iter().unzip();
            let packet = v5::UnsubAck { pkid, reasons, properties: None };
            case_v5(&v5::Packet::UnsubAck(packet), Expected::UnsubAck(pkid, codes))
        });
    let pong = Just(case_v5(&v5::Packet::PingResp(v5::PingResp), Expected::PingResp));
    prop_oneof![puback, suback, unsuback, pong]
}

pub(super) fn connack_v5() -> impl Strategy<Value = Case> {
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

pub(super) fn disconnect_v5() -> impl Strategy<Value = Case> {
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

pub(super) fn from_clients_v5() -> impl Strategy<Value = Case> {
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

pub(super) fn others_v4() -> impl Strategy<Value = Case> {
    use v4::{ConnectReturnCode as C, SubscribeReasonCode as S};
    let codes =
        [(C::Success, 0), (C::BadUserNamePassword, 0x86), (C::NotAuthorized, 0x87), (C::ServiceUnavailable, 0x88)];
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
    let suback =
        (1_u16.., prop::collection::vec(prop::sample::select(granted.to_vec()), 1..6)).prop_map(|(pkid, codes)| {
            let (return_codes, codes) = codes.into_iter().unzip();
            case_v4(&v4::Packet::SubAck(v4::SubAck { pkid, return_codes }), Expected::SubAck(pkid, codes))
        });
    let puback =
        (1_u16..).prop_map(|pkid| case_v4(&v4::Packet::PubAck(v4::PubAck::new(pkid)), Expected::PubAck(pkid, 0)));
    let unsuback = (1_u16..)
        .prop_map(|pkid| case_v4(&v4::Packet::UnsubAck(v4::UnsubAck::new(pkid)), Expected::UnsubAck(pkid, vec![])));
    let pong = Just(case_v4(&v4::Packet::PingResp, Expected::PingResp));
    let refused = Just(case_v4(&v4::Packet::PingReq, Expected::Refused));
    prop_oneof![connack, suback, puback, unsuback, pong, refused]
}

pub(super) fn case(version: MqttVersion) -> BoxedStrategy<Case> {
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

pub(super) fn version() -> impl Strategy<Value = MqttVersion> {
    prop_oneof![Just(MqttVersion::V5), Just(MqttVersion::V3_1_1)]
}
