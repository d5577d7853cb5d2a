//! What the broker holds its clients to.

use std::time::Duration;

use tidemill_testkit::broker::BrokerConfig;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_broker_announces_its_limits() {
    let broker = broker().await;
    let mut client = RawClient::new(broker.connect());
    let announced = client.connect(ConnectOptions::new("c")).await.properties.unwrap();
    assert_eq!(announced.receive_max, Some(4096));
    assert_eq!(announced.max_packet_size, Some(1 << 20));
    assert_eq!(announced.topic_alias_max, Some(16));
    assert_eq!((announced.max_qos, announced.shared_subscription_available), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_overruns_the_receive_maximum_is_disconnected() {
    let broker = broker_with(BrokerConfig { receive_maximum: 10, ..BrokerConfig::in_memory() }).await;
    let burst =
        |count: u8| -> Vec<u8> { (1..=count).flat_map(|pkid| [0x32, 7, 0, 1, b'a', 0, pkid, 0, b'x']).collect() };
    let mut keeping = clean(&broker, "keeping").await;
    for _ in 0..3 {
        keeping.send_raw(&burst(10)).await;
        for pkid in 1..=10 {
            keeping.expect_puback(pkid).await;
        }
    }
    let mut overrunning = clean(&broker, "overrunning").await;
    overrunning.send_raw(&burst(11)).await;
    for pkid in 1..=10 {
        overrunning.expect_puback(pkid).await;
    }
    assert_eq!(overrunning.expect_disconnect().await, v5::DisconnectReasonCode::ReceiveMaximumExceeded);
}

#[tokio::test(start_paused = true)]
async fn qos_2_counts_for_the_receive_maximum_until_its_handshake_is_over() {
    let broker = broker_with(BrokerConfig { receive_maximum: 2, ..BrokerConfig::in_memory() }).await;
    let mut client = clean(&broker, "c").await;
    for pkid in 1..=2 {
        let event = v5::Publish { pkid, ..v5::Publish::new("a", WireQoS::ExactlyOnce, "x", None) };
        client.send(v5::Packet::Publish(event)).await;
        client.recv().await;
    }
    client.send(v5::Packet::PubRel(v5::PubRel::new(1, None))).await;
    client.recv().await;
    client.publish_packet(v5::Publish::new("a", WireQoS::AtLeastOnce, "x", None)).await;
    client.recv().await;
    for pkid in 3..=4 {
        let event = v5::Publish { pkid, ..v5::Publish::new("a", WireQoS::ExactlyOnce, "x", None) };
        client.send(v5::Packet::Publish(event)).await;
    }
    assert!(matches!(client.recv().await, v5::Packet::PubRec(_)));
    assert_eq!(client.expect_disconnect().await, v5::DisconnectReasonCode::ReceiveMaximumExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_packet_that_is_too_large_ends_the_connection_before_it_is_read() {
    let broker = broker_with(BrokerConfig { max_packet_size: 1000, ..BrokerConfig::in_memory() }).await;
    let mut client = clean(&broker, "c").await;
    client.publish("a", Q0, vec![0; 1000 - 2 - 1 - 3 - 1]).await;
    client.ping().await;
    client.send_raw(&[0x30, 0xE9, 0x07]).await;
    assert_eq!(client.expect_disconnect().await, v5::DisconnectReasonCode::PacketTooLarge);
}

#[tokio::test(start_paused = true)]
async fn there_are_limits_on_identifiers_subscriptions_levels_and_connections() {
    let config = BrokerConfig {
        max_client_id: 8,
        max_subscriptions: 2,
        max_topic_levels: 3,
        max_connections: 2,
        ..BrokerConfig::in_memory()
    };
    let broker = broker_with(config).await;
    let mut long = RawClient::new(broker.connect());
    assert_eq!(
        long.connect(ConnectOptions::new("123456789")).await.code,
        v5::ConnectReturnCode::ClientIdentifierNotValid
    );
    long.expect_closed().await;
    let mut client = clean(&broker, "12345678").await;
    assert_eq!(client.subscribe("a/b/c/d", Q1).await, v5::SubscribeReasonCode::TopicFilterInvalid);
    client.subscribe("a", Q1).await;
    client.subscribe("b", Q1).await;
    assert_eq!(client.subscribe("c", Q1).await, v5::SubscribeReasonCode::QuotaExceeded);
    assert_eq!(client.subscribe("b", Q0).await, v5::SubscribeReasonCode::Success(WireQoS::AtMostOnce), "known already");

    let _second = clean(&broker, "2").await;
    for (version, code) in
        [(Version::V5, v5::ConnectReturnCode::QuotaExceeded), (Version::V4, v5::ConnectReturnCode::ServiceUnavailable)]
    {
        let mut third = RawClient::with_version(broker.connect(), version);
        assert_eq!(third.connect(ConnectOptions::new("3")).await.code, code);
        third.expect_closed().await;
    }
    client.publish("a/b/c/d", Q0, "x").await;
    assert_eq!(client.expect_disconnect().await, v5::DisconnectReasonCode::TopicNameInvalid);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let broker = broker().await;
    let mut silent = RawClient::new(broker.connect()).with_patience(Duration::from_secs(60));
    let start = tokio::time::Instant::now();
    silent.expect_closed().await;
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_but_does_not_read_is_let_go() {
    let broker = broker().await;
    let mut asking = clean(&broker, "asking").await;
    let pings = [0xC0, 0].repeat(10_000);
    let mut bursts = 0;
    while asking.try_send_raw(&pings).await {
        bursts += 1;
        assert!(bursts < 1000, "never let go");
    }
    until(|| broker.stats().connections == 0).await;
}
