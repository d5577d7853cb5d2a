//! Starting, stopping, dying and coming back.

use std::time::Duration;

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};
use tokio::runtime::Handle;

use crate::support::*;

#[tokio::test]
async fn fifty_brokers_come_and_go_without_leaving_a_task_behind() {
    let before = Handle::current().metrics().num_alive_tasks();
    for round in 0..50 {
        let broker = broker_with(BrokerConfig::default()).await;
        let addr = broker.addr().unwrap();
        let mut over_tcp = RawClient::tcp(addr).await.unwrap();
        over_tcp.connect(ConnectOptions::new("tcp").keep_alive(60).expiry(60)).await;
        let mut in_memory = clean(&broker, "memory").await;
        let _idle = broker.connect();
        if round % 2 == 0 {
            broker.shutdown().await;
            assert_eq!(over_tcp.expect_disconnect().await, v5::DisconnectReasonCode::ServerShuttingDown);
            assert_eq!(in_memory.expect_disconnect().await, v5::DisconnectReasonCode::ServerShuttingDown);
        } else {
            drop(broker);
        }
        over_tcp.expect_closed().await;
        in_memory.expect_closed().await;
        assert!(tokio::net::TcpListener::bind(addr).await.is_ok(), "the port is free again");
    }
    until(|| Handle::current().metrics().num_alive_tasks() == before).await;
}

#[tokio::test]
async fn a_stopped_broker_comes_back_on_the_same_port_with_its_sessions() {
    let broker = broker_with(BrokerConfig::default()).await;
    let addr = broker.addr().unwrap();
    let mut durable = RawClient::tcp(addr).await.unwrap();
    durable.connect(ConnectOptions::new("durable").expiry(600)).await;
    durable.subscribe("$share/g/a", Q1).await;
    let mut publisher = RawClient::tcp(addr).await.unwrap();
    publisher.connect(ConnectOptions::new("publisher")).await;
    for payload in ["0", "1"] {
        publisher.publish_acked("a", payload).await;
    }
    let retained = v5::Publish { retain: true, ..v5::Publish::new("r", WireQoS::AtLeastOnce, "kept", None) };
    let pkid = publisher.publish_packet(retained).await;
    publisher.expect_puback(pkid).await;
    durable.expect_publishes(2).await;
    durable.puback(1).await;
    durable.ping().await;
    let state = broker.stop().await;
    assert_eq!(durable.expect_disconnect().await, v5::DisconnectReasonCode::ServerShuttingDown);

    let broker = Broker::start_with(BrokerConfig::default().with_listen(addr), state).await.unwrap();
    assert_eq!(broker.addr(), Some(addr));
    assert_eq!((broker.stats().sessions, broker.stats().queued), (1, 1));
    let mut durable = RawClient::tcp(addr).await.unwrap();
    assert!(durable.connect(ConnectOptions::new("durable").resume(600)).await.session_present);
    let again = durable.expect_publish().await;
    assert_eq!((text(&again), again.dup), ("1", true));
    durable.subscribe("r", Q1).await;
    assert_eq!(text(&durable.expect_publish().await), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_crash_says_nothing_and_keeps_the_state() {
    let broker = broker().await;
    let mut durable = client(&broker, ConnectOptions::new("d").expiry(10).will("w", "gone", 0)).await;
    durable.subscribe("a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "x").await;
    durable.expect_publish().await;
    let state = broker.crash();
    durable.expect_closed().await;

    let broker = Broker::start_with(BrokerConfig::in_memory(), state).await.unwrap();
    let mut durable = client(&broker, ConnectOptions::new("d").resume(10)).await;
    let again = durable.expect_publish().await;
    assert_eq!((text(&again), again.dup), ("x", true));
    durable.cut();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(broker.stats().sessions, 0, "sessions expire after a restart too");
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_time_ran_while_the_broker_was_stopped_is_gone() {
    let broker = broker().await;
    let mut durable = client(&broker, ConnectOptions::new("d").expiry(10)).await;
    durable.subscribe("a", Q1).await;
    let state = broker.stop().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let broker = Broker::start_with(BrokerConfig::in_memory(), state).await.unwrap();
    until(|| broker.stats().sessions == 0).await;
}

#[tokio::test(start_paused = true)]
async fn connections_can_be_cut_while_the_broker_goes_on() {
    let broker = broker().await;
    let mut one = client(&broker, ConnectOptions::new("one").expiry(60)).await;
    let mut two = client_v4(&broker, ConnectOptions::new("two")).await;
    broker.kill();
    assert_eq!((broker.stats().connections, broker.stats().sessions), (0, 1));
    one.expect_closed().await;
    two.expect_closed().await;

    let mut one = client(&broker, ConnectOptions::new("one").resume(60)).await;
    let mut two = clean(&broker, "two").await;
    assert!(broker.cut("one") && !broker.cut("nobody"));
    one.expect_closed().await;
    assert!(broker.disconnect("two", 0x9C));
    assert_eq!(two.expect_disconnect().await, v5::DisconnectReasonCode::UseAnotherServer);
    two.expect_closed().await;
}

#[tokio::test]
async fn both_versions_come_through_one_listener() {
    let broker = broker_with(BrokerConfig::default()).await;
    assert_eq!(broker.url(), format!("mqtt://{}", broker.addr().unwrap()));
    for version in [Version::V4, Version::V5] {
        let stream = tokio::net::TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        let mut client = RawClient::with_version(stream, version);
        client.connect(ConnectOptions::new("c")).await;
        client.ping().await;
        client.disconnect().await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let broker = broker_with(BrokerConfig::default()).await;
    let addr = broker.addr().unwrap();
    let error = Broker::start(BrokerConfig::default().with_listen(addr)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {addr}; port 0 takes any free port"));
}
