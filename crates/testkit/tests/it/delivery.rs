//! Events on their way from publishers to plain subscribers.

use std::time::Duration;

use bytes::Bytes;
use tidemill_testkit::client::ConnectOptions;
use tidemill_testkit::wire::v5;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_event_reaches_subscribers_of_both_versions_at_the_lower_qos() {
    let broker = broker().await;
    let mut five = subscriber(&broker, "five", "plant/+/temperature").await;
    let mut four = client_v4(&broker, ConnectOptions::new("four")).await;
    four.subscribe("plant/#", Q0).await;
    let mut publisher = client_v4(&broker, ConnectOptions::new("publisher")).await;
    publisher.publish_acked("plant/1/temperature", "20").await;

    let at_five = five.expect_publish().await;
    assert_eq!((at_five.qos, at_five.dup, at_five.retain, at_five.pkid), (WireQoS::AtLeastOnce, false, false, 1));
    assert_eq!((&at_five.topic[..], &at_five.payload[..]), (&b"plant/1/temperature"[..], &b"20"[..]));
    let at_four = four.expect_publish().await;
    assert_eq!((at_four.qos, text(&at_four)), (WireQoS::AtMostOnce, "20"));
}

#[tokio::test(start_paused = true)]
async fn every_property_is_passed_on() {
    let broker = broker().await;
    let mut subscriber = clean(&broker, "subscriber").await;
    subscriber.subscribe_with(vec![v5::Filter::new("a/#", WireQoS::AtLeastOnce)], Some(300)).await;
    let mut publisher = clean(&broker, "publisher").await;
    let properties = v5::PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(60),
        topic_alias: None,
        response_topic: Some("answers/here".into()),
        correlation_data: Some(Bytes::from_static(&[0, 255, 7])),
        user_properties: vec![("k".into(), "v1".into()), ("k".into(), "v2".into())],
        subscription_identifiers: Vec::new(),
        content_type: Some("text/plain".into()),
    };
    let event = v5::Publish::new("a/b", WireQoS::AtLeastOnce, "x", Some(properties.clone()));
    publisher.publish_packet(event).await;
    let got = subscriber.expect_publish().await.properties.unwrap();
    assert_eq!(got, v5::PublishProperties { subscription_identifiers: vec![300], ..properties });
}

#[tokio::test(start_paused = true)]
async fn overlapping_subscriptions_give_one_copy_with_all_identifiers_and_the_higher_qos() {
    let broker = broker().await;
    let mut subscriber = clean(&broker, "subscriber").await;
    subscriber.subscribe_with(vec![v5::Filter::new("a/#", WireQoS::AtMostOnce)], Some(1)).await;
    subscriber.subscribe_with(vec![v5::Filter::new("a/b", WireQoS::AtLeastOnce)], Some(2)).await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a/b", "x").await;
    let got = subscriber.expect_publish().await;
    assert_eq!(got.qos, WireQoS::AtLeastOnce);
    let mut ids = got.properties.unwrap().subscription_identifiers;
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    subscriber.expect_no_packet().await;
}

#[tokio::test(start_paused = true)]
async fn no_local_keeps_a_clients_own_events_from_it() {
    let broker = broker().await;
    let mut both = clean(&broker, "both").await;
    let filter = v5::Filter { nolocal: true, ..v5::Filter::new("a", WireQoS::AtLeastOnce) };
    both.subscribe_with(vec![filter], None).await;
    assert_eq!(both.publish_acked("a", "mine").await, v5::PubAckReason::NoMatchingSubscribers);
    let mut other = clean(&broker, "other").await;
    other.publish_acked("a", "theirs").await;
    assert_eq!(text(&both.expect_publish().await), "theirs");
}

#[tokio::test(start_paused = true)]
async fn qos_2_publishing_is_a_whole_handshake_and_delivers_once() {
    let broker = broker().await;
    let mut subscriber = clean(&broker, "subscriber").await;
    let granted = subscriber.subscribe("a", Q2).await;
    assert_eq!(granted, v5::SubscribeReasonCode::Success(WireQoS::AtLeastOnce), "granted less than was asked for");
    let mut publisher = clean(&broker, "publisher").await;
    let event = v5::Publish { pkid: 9, ..v5::Publish::new("a", WireQoS::ExactlyOnce, "x", None) };
    for dup in [false, true] {
        publisher.send(v5::Packet::Publish(v5::Publish { dup, ..event.clone() })).await;
        assert_eq!(publisher.recv().await, v5::Packet::PubRec(v5::PubRec::new(9, None)));
    }
    for reason in [v5::PubCompReason::Success, v5::PubCompReason::PacketIdentifierNotFound] {
        publisher.send(v5::Packet::PubRel(v5::PubRel::new(9, None))).await;
        assert_eq!(publisher.recv().await, v5::Packet::PubComp(v5::PubComp { pkid: 9, reason, properties: None }));
    }
    assert_eq!(subscriber.expect_publish().await.qos, WireQoS::AtLeastOnce);
    subscriber.expect_no_packet().await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_event_is_not_delivered_and_a_waiting_one_says_how_long_it_has_left() {
    let broker = broker().await;
    let mut subscriber = client(&broker, ConnectOptions::new("s").expiry(1000)).await;
    subscriber.subscribe("a", Q1).await;
    subscriber.disconnect().await;
    let mut publisher = clean(&broker, "publisher").await;
    for (payload, seconds) in [("short", 10), ("long", 100)] {
        let properties = v5::PublishProperties { message_expiry_interval: Some(seconds), ..Default::default() };
        let event = v5::Publish::new("a", WireQoS::AtLeastOnce, payload, Some(properties));
        let pkid = publisher.publish_packet(event).await;
        publisher.expect_puback(pkid).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut subscriber = client(&broker, ConnectOptions::new("s").resume(1000)).await;
    let got = subscriber.expect_publish().await;
    assert_eq!((text(&got), got.properties.as_ref().unwrap().message_expiry_interval), ("long", Some(70)));
    subscriber.expect_no_packet().await;
    assert_eq!(broker.stats().expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_alias_stands_for_the_topic_that_it_was_given_with() {
    let broker = broker().await;
    let mut subscriber = subscriber(&broker, "subscriber", "#").await;
    let mut publisher = clean(&broker, "publisher").await;
    let event = |topic: &str, alias| {
        let properties = v5::PublishProperties { topic_alias: Some(alias), ..Default::default() };
        v5::Publish::new(topic, WireQoS::AtMostOnce, "x", Some(properties))
    };
    for (topic, alias) in [("one", 1), ("", 1), ("two", 1), ("three", 16), ("", 1), ("", 16)] {
        publisher.publish_packet(event(topic, alias)).await;
    }
    let got = subscriber.expect_publishes(6).await;
    let topics: Vec<&[u8]> = got.iter().map(|publish| &publish.topic[..]).collect();
    assert_eq!(topics, [&b"one"[..], b"one", b"two", b"three", b"two", b"three"]);
    assert!(got.iter().all(|publish| publish.properties.is_none()), "the alias is not passed on");
    publisher.publish_packet(event("four", 17)).await;
    assert_eq!(publisher.expect_disconnect().await, v5::DisconnectReasonCode::TopicAliasInvalid);
}

#[tokio::test(start_paused = true)]
async fn an_event_for_nobody_says_so() {
    let broker = broker().await;
    let mut publisher = clean(&broker, "publisher").await;
    assert_eq!(publisher.publish_acked("a", "x").await, v5::PubAckReason::NoMatchingSubscribers);
    let mut four = client_v4(&broker, ConnectOptions::new("four")).await;
    assert_eq!(four.publish_acked("a", "x").await, v5::PubAckReason::Success);
}

#[tokio::test(start_paused = true)]
async fn a_pingresp_comes_behind_everything_that_was_handed_out_before() {
    let broker = broker().await;
    let mut subscriber = client(&broker, ConnectOptions::new("s").receive_maximum(2)).await;
    subscriber.subscribe("a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    for payload in ["1", "2", "3"] {
        publisher.publish_acked("a", payload).await;
    }
    // The acknowledgement makes room for the third, which comes before the answer to the ping behind it.
    let first = subscriber.expect_publish().await;
    subscriber.send_raw(&[0x40, 2, 0, 1, 0xC0, 0]).await;
    assert_eq!(first.pkid, 1);
    let mut seen = Vec::new();
    loop {
        match subscriber.recv().await {
            v5::Packet::Publish(publish) => seen.push(text(&publish).to_owned()),
            v5::Packet::PingResp(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_larger_than_the_clients_maximum_packet_size_is_not_sent() {
    let broker = broker().await;
    let mut subscriber = client(&broker, ConnectOptions::new("s").max_packet_size(40)).await;
    subscriber.subscribe("a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    // 2 header, 3 topic, 2 identifier, 1 properties: 32 bytes of payload just fit.
    publisher.publish_acked("a", "x".repeat(33)).await;
    publisher.publish_acked("a", "y".repeat(32)).await;
    assert_eq!(text(&subscriber.expect_publish().await), "y".repeat(32));
    assert_eq!(broker.stats().too_large, 1);
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_ends_the_flow_and_says_what_was_not_there() {
    let broker = broker().await;
    let mut subscriber = subscriber(&broker, "s", "a").await;
    assert_eq!(subscriber.unsubscribe("a").await.reasons, [v5::UnsubAckReason::Success]);
    assert_eq!(subscriber.unsubscribe("a").await.reasons, [v5::UnsubAckReason::NoSubscriptionExisted]);
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "x").await;
    subscriber.expect_no_packet().await;
}
