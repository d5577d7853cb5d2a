//! Sessions: how long they live, what they keep, and who owns them.

use std::time::Duration;

use tidemill_testkit::broker::BrokerConfig;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::v5;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_session_lives_as_long_as_its_expiry_says() {
    let broker = broker().await;
    let mut first = client(&broker, ConnectOptions::new("s").expiry(60)).await;
    first.subscribe("a", Q1).await;
    first.cut();
    tokio::time::sleep(Duration::from_secs(59)).await;
    let mut second = RawClient::new(broker.connect());
    assert!(second.connect(ConnectOptions::new("s").resume(60)).await.session_present);
    second.cut();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(broker.stats().sessions, 0);
    let mut third = RawClient::new(broker.connect());
    assert!(!third.connect(ConnectOptions::new("s").resume(60)).await.session_present);
}

#[tokio::test(start_paused = true)]
async fn a_clean_start_ends_the_session_before_it() {
    let broker = broker().await;
    let mut first = client(&broker, ConnectOptions::new("s").expiry(60)).await;
    first.subscribe("a", Q1).await;
    first.disconnect().await;
    let mut second = RawClient::new(broker.connect());
    assert!(!second.connect(ConnectOptions::new("s").expiry(60)).await.session_present);
    let mut publisher = clean(&broker, "publisher").await;
    assert_eq!(publisher.publish_acked("a", "x").await, v5::PubAckReason::NoMatchingSubscribers);
}

#[tokio::test(start_paused = true)]
async fn a_v311_session_that_is_not_clean_stays() {
    let broker = broker().await;
    let mut first = client_v4(&broker, ConnectOptions::new("s").resume(0)).await;
    first.subscribe("a", Q1).await;
    first.disconnect().await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "x").await;
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    let mut second = RawClient::with_version(broker.connect(), tidemill_testkit::wire::Version::V4);
    assert!(second.connect(ConnectOptions::new("s").resume(0)).await.session_present);
    assert_eq!(text(&second.expect_publish().await), "x");
}

#[tokio::test(start_paused = true)]
async fn unacknowledged_events_come_again_in_order_with_dup_and_the_same_identifiers() {
    let broker = broker().await;
    let mut first = client(&broker, ConnectOptions::new("s").expiry(60).receive_maximum(3)).await;
    first.subscribe("a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    for payload in ["1", "2", "3", "4", "5"] {
        publisher.publish_acked("a", payload).await;
    }
    assert_eq!(texts(&first.expect_publishes(3).await), ["1", "2", "3"]);
    first.puback(2).await;
    assert_eq!(text(&first.expect_publish().await), "4");
    first.cut();
    until(|| broker.stats().connections == 1).await;

    let mut second = client(&broker, ConnectOptions::new("s").resume(60).receive_maximum(2)).await;
    let again = second.expect_publishes(2).await;
    assert_eq!(texts(&again), ["1", "3"], "no more than the new Receive Maximum");
    assert_eq!(again.iter().map(|publish| (publish.pkid, publish.dup)).collect::<Vec<_>>(), [(1, true), (3, true)]);
    second.expect_no_packet().await;
    second.puback(1).await;
    let third = second.expect_publish().await;
    assert_eq!((text(&third), third.pkid, third.dup), ("4", 4, true));
    second.puback(3).await;
    let fourth = second.expect_publish().await;
    assert_eq!((text(&fourth), fourth.pkid, fourth.dup), ("5", 5, false));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_the_old_connection_ends_no_other_event() {
    let broker = broker().await;
    let mut first = client(&broker, ConnectOptions::new("s").expiry(60)).await;
    first.subscribe("$share/g/a", Q1).await;
    let mut other = subscriber(&broker, "other", "$share/g/b").await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "old").await;
    let old = first.expect_publish().await;
    first.cut();
    let mut second = client(&broker, ConnectOptions::new("s").resume(60)).await;
    let again = second.expect_publish().await;
    assert_eq!((text(&again), again.dup), ("old", true));
    assert_ne!(again.pkid, old.pkid, "a shared event comes under a new identifier");
    second.puback(old.pkid).await;
    second.ping().await;
    assert_eq!(broker.stats().inflight, 1);
    other.expect_no_packet().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_of_a_client_takes_the_session_over() {
    let broker = broker().await;
    let mut old = client(&broker, ConnectOptions::new("s").expiry(60)).await;
    old.subscribe("a", Q1).await;
    let mut new = RawClient::new(broker.connect());
    assert!(new.connect(ConnectOptions::new("s").resume(60)).await.session_present);
    assert_eq!(old.expect_disconnect().await, v5::DisconnectReasonCode::SessionTakenOver);
    old.expect_closed().await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "x").await;
    assert_eq!(text(&new.expect_publish().await), "x");
    assert_eq!(broker.stats().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_can_shorten_the_session_but_not_begin_one() {
    let broker = broker().await;
    let goodbye = |seconds| v5::Disconnect {
        reason_code: v5::DisconnectReasonCode::NormalDisconnection,
        properties: Some(v5::DisconnectProperties {
            session_expiry_interval: Some(seconds),
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }),
    };
    let mut leaving = client(&broker, ConnectOptions::new("leaving").expiry(600)).await;
    leaving.disconnect_with(goodbye(0)).await;
    assert_eq!(broker.stats().sessions, 0);
    let mut cheating = clean(&broker, "cheating").await;
    cheating.send(v5::Packet::Disconnect(goodbye(600))).await;
    assert_eq!(cheating.expect_disconnect().await, v5::DisconnectReasonCode::ProtocolError);
    until(|| broker.stats().sessions == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_without_an_identifier_is_given_one() {
    let broker = broker().await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::new(broker.connect());
        let ack = client.connect(ConnectOptions::new("")).await;
        names.push(ack.properties.unwrap().assigned_client_identifier.unwrap());
    }
    assert_ne!(names[0], names[1]);
    let mut durable = RawClient::with_version(broker.connect(), tidemill_testkit::wire::Version::V4);
    let ack = durable.connect(ConnectOptions::new("").resume(0)).await;
    assert_eq!(ack.code, v5::ConnectReturnCode::BadClientId);
    durable.expect_closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go_after_one_and_a_half_times_its_keep_alive() {
    let broker = broker().await;
    let mut client =
        client(&broker, ConnectOptions::new("s").keep_alive(10)).await.with_patience(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(14)).await;
    client.ping().await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.expect_disconnect().await, v5::DisconnectReasonCode::KeepAliveTimeout);
    assert_eq!(start.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn the_broker_can_set_the_keep_alive_and_switch_it_off() {
    let broker = broker_with(BrokerConfig { server_keep_alive: Some(2), ..BrokerConfig::in_memory() }).await;
    let mut client = RawClient::new(broker.connect());
    let ack = client.connect(ConnectOptions::new("s").keep_alive(1000)).await;
    assert_eq!(ack.properties.unwrap().server_keep_alive, Some(2));
    assert_eq!(client.expect_disconnect().await, v5::DisconnectReasonCode::KeepAliveTimeout);

    let broker = broker_with(BrokerConfig { server_keep_alive: Some(0), ..BrokerConfig::in_memory() }).await;
    let mut client = crate::support::client(&broker, ConnectOptions::new("s").keep_alive(1)).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    client.ping().await;
}
