//! What a broker may send, and what it may not: the session says why and comes back, and loses nothing else.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS as WireQoS;
use tidemill_runtime::MqttVersion;
use tidemill_testkit::script::ScriptedBroker;

use crate::support::*;

pub(crate) fn no_properties() -> v5::PublishProperties {
    v5::PublishProperties {
        payload_format_indicator: None,
        message_expiry_interval: None,
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
        subscription_identifiers: Vec::new(),
        content_type: None,
    }
}

/// An event that sets (or, with an empty topic, uses) a topic alias; QoS 0 where `pkid` is 0.
pub(crate) fn aliased(pkid: u16, topic: &str, alias: u16, payload: &'static str) -> v5::Publish {
    let properties = v5::PublishProperties { topic_alias: Some(alias), ..no_properties() };
    let qos = if pkid == 0 { WireQoS::AtMostOnce } else { WireQoS::AtLeastOnce };
    v5::Publish { qos, properties: Some(properties), ..publish(pkid, topic, payload) }
}

/// The first event is handled and acknowledged although something wrong comes right behind it, in the same segment; the
/// worker says why it goes, comes back and works on.
async fn breaks_with(version: MqttVersion, wrong: &[u8], reason: v5::DisconnectReasonCode) {
    let mut config = config_of(version);
    config.mqtt.max_packet_bytes = 2048;
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    broker.send_raw(wrong).await;
    if version == MqttVersion::V5 {
        let goodbye = broker.expect_disconnect().await;
        assert_eq!(goodbye.reason_code, reason, "for {wrong:02X?}");
    }
    broker.expect_closed().await;
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "again").await;
    broker.expect_pubacks([1]).await;
    let summary = rig.leave(broker).await;
    assert_eq!((summary.received, summary.handled), (2, 2));
}

fn event(first: u8, version: MqttVersion, topic: &[u8], pkid: &[u8]) -> Vec<u8> {
    let properties: &[u8] = if version == MqttVersion::V5 { &[0] } else { &[] };
    let length = u16::try_from(topic.len()).unwrap().to_be_bytes();
    let rest = [&length[..], topic, pkid, properties, b"payload"].concat();
    [&[first, u8::try_from(rest.len()).unwrap()][..], &rest].concat()
}

#[tokio::test(start_paused = true)]
async fn a_second_connack_is_a_protocol_error() {
    breaks_with(MqttVersion::V5, &[0x20, 3, 0, 0, 0], v5::DisconnectReasonCode::ProtocolError).await;
    breaks_with(MqttVersion::V3_1_1, &[0x20, 2, 0, 0], v5::DisconnectReasonCode::ProtocolError).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_at_qos_2_is_a_protocol_error() {
    for version in BOTH {
        let wrong = event(0x34, version, b"t/a", &[0, 1]);
        breaks_with(version, &wrong, v5::DisconnectReasonCode::ProtocolError).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_at_qos_3_is_malformed() {
    for version in BOTH {
        let wrong = event(0x36, version, b"t/a", &[0, 1]);
        breaks_with(version, &wrong, v5::DisconnectReasonCode::MalformedPacket).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_with_a_topic_that_is_no_topic_name_is_refused() {
    for version in BOTH {
        let topics: [&[u8]; 6] = [b"t/\xFF", b"t/+", b"t/#", b"t/\0", b"", b"\xED\xA0\x80"];
        for topic in topics {
            let wrong = event(0x32, version, topic, &[0, 9]);
            breaks_with(version, &wrong, v5::DisconnectReasonCode::TopicNameInvalid).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_with_identifier_0_is_malformed() {
    for version in BOTH {
        let wrong = event(0x32, version, b"t/a", &[0, 0]);
        breaks_with(version, &wrong, v5::DisconnectReasonCode::MalformedPacket).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_above_the_packet_limit_is_refused_before_it_is_read() {
    for version in BOTH {
        // 1 MiB is announced; not a byte of it comes.
        breaks_with(version, &[0x32, 0x80, 0x80, 0x40], v5::DisconnectReasonCode::PacketTooLarge).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_exactly_the_packet_limit_is_taken() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut config = config_of(version);
        config.mqtt.max_packet_bytes = 2048;
        let mut rig = Rig::with_handler(config, handler);
        let mut broker = rig.subscribed().await;
        let header = 3 + 2 + 3 + 2 + usize::from(version == MqttVersion::V5);
        broker.publish(1, "t/a", Q1, vec![b'x'; 2048 - header]).await;
        calls.next().await.ok();
        broker.expect_pubacks([1]).await;
        broker.publish(2, "t/a", Q1, vec![b'x'; 2049 - header]).await;
        if version == MqttVersion::V5 {
            assert_eq!(broker.expect_disconnect().await.reason_code, v5::DisconnectReasonCode::PacketTooLarge);
        }
        broker.expect_closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_packet_are_malformed() {
    for version in BOTH {
        let cases: [&[u8]; 6] = [
            &[0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], // five bytes of length
            &[0x32, 2, 0, 50],                     // a topic longer than its packet
            &[0x32, 5, 0, 3, b't', b'/', b'a'],    // no identifier
            &[0x40, 1, 0],                         // half an identifier
            &[0x90, 0],                            // an empty SUBACK
            &[0x00, 0],                            // no type
        ];
        for wrong in cases {
            breaks_with(version, wrong, v5::DisconnectReasonCode::MalformedPacket).await;
        }
    }
    // Properties that end too early, that do not exist, or that run over the end of their length.
    let mut cases: Vec<Vec<u8>> = vec![
        vec![0x32, 7, 0, 3, b't', b'/', b'a', 0, 9],
        vec![0x32, 8, 0, 3, b't', b'/', b'a', 0, 9, 0x80],
        vec![0x32, 9, 0, 3, b't', b'/', b'a', 0, 9, 1, 0x7F],
        vec![0x32, 10, 0, 3, b't', b'/', b'a', 0, 9, 9, 0x01],
        vec![0x32, 12, 0, 3, b't', b'/', b'a', 0, 9, 2, 0x02, 0, 0, 0],
    ];
    cases.push([&[0x32, 15, 0, 3, b't', b'/', b'a', 0, 9, 3, 0x03][..], &[0, 4], b"text"].concat());
    for mut wrong in cases {
        wrong[1] = u8::try_from(wrong.len() - 2).unwrap();
        breaks_with(MqttVersion::V5, &wrong, v5::DisconnectReasonCode::MalformedPacket).await;
    }
}

#[tokio::test(start_paused = true)]
async fn packets_that_only_clients_send_are_a_protocol_error() {
    let cases: [&[u8]; 5] = [&[0xC0, 0], &[0x50, 2, 0, 1], &[0x62, 2, 0, 1], &[0x70, 2, 0, 1], &[0xF0, 0]];
    for wrong in cases {
        breaks_with(MqttVersion::V5, wrong, v5::DisconnectReasonCode::ProtocolError).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_finished_is_acknowledged_before_the_goodbye() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    for pkid in 1..=3 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let mut held = calls.take(3).await;
    held.remove(0).ok();
    held.remove(0).ok();
    broker.send_raw(&[0x20, 3, 0, 0, 0]).await;
    broker.expect_pubacks([1, 2]).await;
    assert_eq!(broker.expect_disconnect().await.reason_code, v5::DisconnectReasonCode::ProtocolError);
}

#[tokio::test(start_paused = true)]
async fn events_in_front_of_a_breach_are_received_and_those_behind_it_are_not() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    let good = event(0x32, MqttVersion::V5, b"t/a", &[0, 1]);
    let wrong = event(0x32, MqttVersion::V5, b"t/+", &[0, 2]);
    let behind = event(0x32, MqttVersion::V5, b"t/b", &[0, 3]);
    broker.send_raw(&[good, wrong, behind].concat()).await;
    broker.expect_disconnect().await;
    // It comes again, so it need not be handled now.
    calls.expect_none_for(Duration::from_secs(1)).await;
    assert_eq!((rig.finished("abandoned"), count(&rig.registry, "tidemill_events_received_total", &[])), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn topic_aliases_are_set_used_and_set_again() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.topic_alias_max = 3;
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    let sent = [("t/one", 1), ("t/three", 3), ("", 1), ("", 3), ("t/other", 1), ("", 1), ("", 3)];
    for (pkid, (topic, alias)) in (1..).zip(sent) {
        broker.send(v5::Packet::Publish(aliased(pkid, topic, alias, "x"))).await;
        let call = calls.next().await;
        let expected = ["t/one", "t/three", "t/one", "t/three", "t/other", "t/other", "t/three"];
        assert_eq!(call.event.topic(), expected[usize::from(pkid) - 1]);
        call.ok();
    }
    broker.expect_pubacks(1..=7).await;
    rig.leave(broker).await;
}

async fn refuses_alias(rig: &mut Rig, broker: &mut ScriptedBroker, event: v5::Publish) {
    broker.send(v5::Packet::Publish(event)).await;
    let goodbye = broker.expect_disconnect().await;
    assert_eq!(goodbye.reason_code, v5::DisconnectReasonCode::TopicAliasInvalid);
    *broker = rig.subscribed().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_alias_that_is_unknown_or_too_large_is_refused_and_none_outlives_its_connection() {
    let mut config = config();
    config.mqtt.topic_alias_max = 3;
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.subscribed().await;
    refuses_alias(&mut rig, &mut broker, aliased(1, "", 1, "never set")).await;
    refuses_alias(&mut rig, &mut broker, aliased(1, "t/a", 4, "too large")).await;
    refuses_alias(&mut rig, &mut broker, aliased(1, "t/a", 0, "zero")).await;
    broker.send(v5::Packet::Publish(aliased(1, "t/a", 1, "set"))).await;
    broker.expect_pubacks([1]).await;
    broker.cut();
    let mut broker = rig.subscribed().await;
    refuses_alias(&mut rig, &mut broker, aliased(1, "", 1, "of the last connection")).await;
    rig.leave(broker).await;
}

/// Subscription identifiers that nobody asked for, in front of other properties: the payload stays what it was.
#[tokio::test(start_paused = true)]
async fn many_subscription_identifiers_do_not_shift_the_payload() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    let properties = [0x0B, 1, 0x0B, 0x80, 0x01, 0x0B, 3, 0x01, 1];
    let head = [&[0, 3][..], b"t/a", &[0, 1, 9], &properties, b"payload"].concat();
    broker.send_raw(&[&[0x32, u8::try_from(head.len()).unwrap()], &head[..]].concat()).await;
    let call = calls.next().await;
    assert_eq!(call.text(), "payload");
    let seen = call.event.properties().unwrap();
    assert_eq!((seen.subscription_ids.clone(), seen.utf8_payload), (vec![1, 128, 3], true));
    call.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn packets_cut_anywhere_are_put_together() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(config_of(version), handler);
        let mut broker = rig.subscribed().await;
        let mut bytes = Vec::new();
        for pkid in 1..=20_u8 {
            bytes.extend(event(0x32, version, format!("t/{pkid}").as_bytes(), &[0, pkid]));
        }
        for piece in bytes.chunks(7) {
            broker.send_raw(piece).await;
            settle().await;
        }
        for (number, call) in (1..).zip(calls.take(20).await) {
            assert_eq!((call.event.topic(), call.text()), (&*format!("t/{number}"), "payload"));
            call.ok();
        }
        broker.expect_pubacks(1..=20).await;
        rig.leave(broker).await;
    }
}
