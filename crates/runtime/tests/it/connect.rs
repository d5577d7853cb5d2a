//! Opening a session: CONNECT, and everything that can come instead of a good CONNACK.

use std::time::Duration;

use tidemill_runtime::{MqttVersion, RunErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

pub(crate) fn no_properties() -> v5::ConnAckProperties {
    v5::ConnAckProperties {
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

#[tokio::test(start_paused = true)]
async fn connect_says_what_the_configuration_says() {
    for version in BOTH {
        let mut config = config_of(version);
        config.identity.prefix = "plant7".to_owned();
        config.mqtt.keep_alive = Duration::from_secs(77);
        config.mqtt.window = 321;
        config.mqtt.max_packet_bytes = 123_456;
        config.mqtt.topic_alias_max = 9;
        if version == MqttVersion::V5 {
            config.mqtt.user_properties.insert("site".to_owned(), "north".to_owned());
        }
        config.mqtt.will = Some(Default::default());
        let will = config.mqtt.will.as_mut().unwrap();
        (will.topic, will.payload, will.retain) = ("gone".to_owned(), "bye".to_owned(), true);
        let mut rig = Rig::with_handler(config, Fine);
        let mut broker = rig.connection().await;
        let connected = broker.expect_connect().await;
        let connect = connected.connect;
        assert!(connect.client_id.starts_with("plant7-") && connect.client_id.ends_with("-0"), "{}", connect.client_id);
        assert_eq!((connect.keep_alive, connect.clean_start), (77, true));
        let will = connected.will.unwrap();
        assert_eq!((&will.topic[..], &will.message[..], will.retain), (&b"gone"[..], &b"bye"[..], true));
        if version == MqttVersion::V5 {
            let properties = connect.properties.unwrap();
            assert_eq!(properties.receive_maximum, Some(321));
            assert_eq!(properties.max_packet_size, Some(123_456));
            assert_eq!(properties.topic_alias_max, Some(9));
            assert_eq!(properties.session_expiry_interval.unwrap_or(0), 0);
            assert_eq!(properties.user_properties, [("site".to_owned(), "north".to_owned())]);
        }
    }
}

/// Reasons that no further attempt can mend, with a word that the operator must find.
#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_stops_the_worker_with_the_way_out() {
    for (code, words) in [
        (0x84, ["unsupported protocol version", "mqtt.version"]),
        (0x85, ["client identifier not valid", "identity.prefix"]),
        (0x86, ["bad user name or password", "mqtt.username"]),
        (0x87, ["not authorized", "access rules"]),
        (0x8A, ["banned", ""]),
        (0x8C, ["bad authentication method", ""]),
        (0x95, ["packet too large", "limit"]),
    ] {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        // Reason, and a reason string.
        let mut text = vec![0x20, 3 + 11, 0, code, 11, 0x1F, 0, 8];
        text.extend_from_slice(b"see log!");
        broker.send_raw(&text).await;
        let error = rig.ended().await.unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::Broker);
        let told = told(&error);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert!(told.contains("see log!") && told.contains(&format!("0x{code:02X}")), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_stops_the_worker_on_mqtt_3_too() {
    for (code, word) in [(1, "mqtt.version"), (2, "identity.prefix"), (4, "mqtt.username"), (5, "access rules")] {
        let mut rig = Rig::with_handler(config_of(MqttVersion::V3_1_1), Fine);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_raw(&[0x20, 2, 0, code]).await;
        let error = rig.ended().await.unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::Broker);
        assert!(told(&error).contains(word), "{}", told(&error));
    }
}

/// A broker that speaks only MQTT 3.1.1 answers a newer CONNECT in the old form `[MQTT-3.1.2-2]` of 3.1.1.
#[tokio::test(start_paused = true)]
async fn a_broker_that_only_speaks_mqtt_3_is_told_apart_from_one_that_speaks_none() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_raw(&[0x20, 2, 0, 1]).await;
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Broker);
    assert!(told(&error).contains("mqtt.version"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_short_form_is_understood() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_raw(&[0x20, 2, 0, 0x87]).await;
    let error = rig.ended().await.unwrap_err();
    assert!(told(&error).contains("not authorized"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_busy_is_asked_again_after_a_long_wait() {
    for code in [0x89, 0x97, 0x9F] {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_raw(&[0x20, 3, 0, code, 0]).await;
        // Half of the longest wait at least.
        assert!(rig.stays_away(Duration::from_millis(14_900)).await);
        assert!(rig.handle.status().instances[0].last_error.as_ref().unwrap().contains(&format!("0x{code:02X}")));
        let broker = rig.subscribed().await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_unavailable_is_asked_again_soon() {
    let mut rig = Rig::with_handler(config_of(MqttVersion::V3_1_1), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_raw(&[0x20, 2, 0, 3]).await;
    let began = tokio::time::Instant::now();
    let broker = rig.subscribed().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    rig.leave(broker).await;

    for code in [0x80, 0x83, 0x88, 0x9C, 0x9D] {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_raw(&[0x20, 3, 0, code, 0]).await;
        let broker = rig.subscribed().await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_shared_subscriptions_stops_a_worker_that_has_a_group() {
    let properties = || Some(v5::ConnAckProperties { shared_subscription_available: Some(0), ..no_properties() });
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(false, properties()).await;
    let error = rig.ended().await.unwrap_err();
    let told = told(&error);
    assert!(told.contains("no shared subscriptions") && told.contains("$share/g/t/#"), "{told}");

    let mut config = config();
    config.group.name = None;
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(false, properties()).await;
    broker.accept_subscribe().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_cannot_do_is_said_at_once() {
    let wildcards = v5::ConnAckProperties { wildcard_subscription_available: Some(0), ..no_properties() };
    let qos = v5::ConnAckProperties { max_qos: Some(0), ..no_properties() };
    for (properties, word) in [(wildcards, "wildcard"), (qos, "mqtt.qos = 0")] {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_connack(false, Some(properties)).await;
        let error = rig.ended().await.unwrap_err();
        assert!(told(&error).contains(word), "{}", told(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_connect_is_given_up_after_the_timeout() {
    let mut config = config();
    config.mqtt.connect_timeout = Duration::from_secs(4);
    let mut rig = Rig::with_handler(config, Fine);
    let mut silent = rig.connection().await;
    silent.expect_connect().await;
    let began = tokio::time::Instant::now();
    silent.expect_closed().await;
    assert_eq!(began.elapsed().as_secs(), 4);
    settle().await;
    let last = rig.handle.status().instances[0].last_error.clone().unwrap();
    assert!(last.contains("4s"), "{last}");
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn another_packet_than_connack_is_not_an_mqtt_broker() {
    let first: [&[u8]; 5] = [&[0xD0, 0], &[0x90, 4, 0, 1, 0, 1], &[0x30, 4, 0, 1, b't', 0], &[0xE0, 0], &[0x10, 0]];
    for bytes in first {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_raw(bytes).await;
        broker.expect_closed().await;
        settle().await;
        let last = rig.handle.status().instances[0].last_error.clone().unwrap();
        assert!(last.contains("MQTT"), "{last}");
        let broker = rig.subscribed().await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_server_is_recognised_as_something_else() {
    for version in BOTH {
        let mut rig = Rig::with_handler(config_of(version), Fine);
        let mut stream = rig.stream().await;
        let mut buffer = [0; 1024];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        let answer = "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n\
                      <html><head><title>400 Bad Request</title></head></html>\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "it hangs up");
        settle().await;
        let last = rig.handle.status().instances[0].last_error.clone().unwrap();
        assert!(last.contains("MQTT"), "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_instead_of_answering_is_described() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.cut();
    settle().await;
    let last = rig.handle.status().instances[0].last_error.clone().unwrap();
    assert!(last.contains("closed") && last.contains("mqtt.url"), "{last}");
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_connack_in_pieces_and_events_right_behind_it_are_read() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    for byte in [0x20, 3, 0, 0] {
        broker.send_raw(&[byte]).await;
        broker.expect_no_packet().await;
    }
    // The rest of it with an event of a resumed session in the same segment.
    broker.send_raw(&[0, 0x32, 8, 0, 3, b't', b'/', b'a', 0, 7, 0]).await;
    calls.next().await.ok();
    let subscribe = broker.expect_subscribe().await;
    broker.expect_pubacks([7]).await;
    let granted = vec![v5::SubscribeReasonCode::Success(subscribe.filters[0].qos)];
    broker.send(v5::Packet::SubAck(v5::SubAck { pkid: subscribe.pkid, return_codes: granted, properties: None })).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_connack_that_claims_to_be_huge_is_refused_unread() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_raw(&[0x20, 0xFF, 0xFF, 0xFF, 0x7F]).await;
    broker.expect_closed().await;
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}
